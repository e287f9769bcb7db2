//! Configs changed: what is recorded, what is refused, what follows for leaders.

use std::sync::Arc;

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{MetadataOffset, NodeId};
use drave_raft::image::PartitionRegistration;

use super::*;
use crate::controller::test_cluster::{
    add_topic, change_broker, change_of, cluster, name_of, nodes, partition, policy, policy_with,
    set_topic_config,
};

fn topic() -> ConfigResource {
    ConfigResource::Topic("t".to_owned())
}

fn image() -> MetadataImage {
    let mut image = cluster(&[1, 2, 3]);
    add_topic(
        &mut image,
        "t",
        vec![partition(&[1, 2, 3], &[1, 2, 3], &[])],
    );
    image
}

fn some(resource: ConfigResource, entries: Vec<(&str, EntryChange)>) -> AlterResource {
    let own = |(key, change): (&str, EntryChange)| (key.to_owned(), change);
    AlterResource {
        resource,
        alteration: Alteration::Some(entries.into_iter().map(own).collect()),
    }
}

fn set(resource: ConfigResource, key: &str, value: &str) -> AlterResource {
    some(resource, vec![(key, EntryChange::Set(value.to_owned()))])
}

fn decide(image: &MetadataImage, asked: Vec<AlterResource>) -> Decision<Vec<AlteredConfigs>> {
    let (resources, mode) = (asked, CreateMode::Create);
    alter(image, &policy(), &AlterConfigs { resources, mode })
}

/// The entries of a resource after the request.
fn entries_after(image: &MetadataImage, asked: AlterResource) -> Entries {
    let resource = asked.resource.clone();
    let decision = decide(image, vec![asked]);
    assert_eq!(decision.response[0].result, Ok(()));
    let after = image.apply(MetadataOffset(101), 1, &decision.records);
    let after = after.unwrap().0;
    after
        .configs
        .get(&resource)
        .map(|it| it.as_ref().clone())
        .unwrap_or_default()
}

fn refusal(image: &MetadataImage, asked: AlterResource) -> ErrorCode {
    let decision = decide(image, vec![asked]);
    assert_eq!(decision.records, vec![]);
    (&decision.response[0].result.clone().unwrap_err()).into()
}

fn entries(pairs: &[(&str, &str)]) -> Entries {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(own).collect()
}

#[test]
fn entries_are_set_and_removed_and_lists_grow_and_shrink() {
    let mut image = image();
    set_topic_config(&mut image, "t", "retention.ms", "5");
    let after = entries_after(&image, set(topic(), "segment.bytes", "2000000"));
    assert_eq!(
        after,
        entries(&[("retention.ms", "5"), ("segment.bytes", "2000000")])
    );
    let gone = some(topic(), vec![("retention.ms", EntryChange::Delete)]);
    assert_eq!(entries_after(&image, gone), Entries::new());
    let append = EntryChange::Append("compact,delete".to_owned());
    let both = some(topic(), vec![("cleanup.policy", append)]);
    let after = entries_after(&image, both);
    assert_eq!(
        after["cleanup.policy"], "delete,compact",
        "the default is in the list"
    );
    set_topic_config(&mut image, "t", "cleanup.policy", "delete,compact");
    let subtract = EntryChange::Subtract("delete".to_owned());
    let one = some(topic(), vec![("cleanup.policy", subtract)]);
    assert_eq!(entries_after(&image, one)["cleanup.policy"], "compact");
}

#[test]
fn the_old_request_replaces_every_entry() {
    let mut image = image();
    set_topic_config(&mut image, "t", "retention.ms", "5");
    let all = |pairs: &[(&str, &str)]| AlterResource {
        resource: topic(),
        alteration: Alteration::All(entries(pairs).into_iter().collect()),
    };
    let after = entries_after(&image, all(&[("segment.bytes", "2000000")]));
    assert_eq!(after, entries(&[("segment.bytes", "2000000")]));
    assert_eq!(entries_after(&image, all(&[])), Entries::new());
}

#[test]
fn each_refusal_has_kafkas_code() {
    let image = image();
    let one = ConfigResource::Broker(NodeId(1));
    for (asked, code) in [
        (set(topic(), "retention.mss", "1"), ErrorCode::InvalidConfig),
        (set(topic(), "retention.ms", "x"), ErrorCode::InvalidConfig),
        (
            some(
                topic(),
                vec![("retention.ms", EntryChange::Append("1".to_owned()))],
            ),
            ErrorCode::InvalidConfig,
        ),
        (
            set(
                ConfigResource::Topic("nope".to_owned()),
                "retention.ms",
                "1",
            ),
            ErrorCode::UnknownTopicOrPartition,
        ),
        (
            set(ConfigResource::Broker(NodeId(9)), "log.retention.ms", "1"),
            ErrorCode::BrokerIdNotRegistered,
        ),
        (set(one.clone(), "node.id", "2"), ErrorCode::InvalidRequest),
        (
            set(one.clone(), "min.insync.replicas", "2"),
            ErrorCode::InvalidRequest,
        ),
        (set(one, "log.retention.mss", "2"), ErrorCode::InvalidConfig),
        (
            some(
                topic(),
                vec![
                    ("retention.ms", EntryChange::Delete),
                    ("retention.ms", EntryChange::Delete),
                ],
            ),
            ErrorCode::InvalidRequest,
        ),
    ] {
        assert_eq!(refusal(&image, asked.clone()), code, "{asked:?}");
    }
    let twice = vec![
        set(topic(), "retention.ms", "1"),
        set(topic(), "retention.ms", "2"),
    ];
    let decision = decide(&image, twice);
    assert_eq!(decision.records.len(), 1);
    assert_eq!(
        decision.response[1].result,
        Err(AlterConfigsError::ResourceTwice)
    );
}

#[test]
fn validation_and_repetition_change_nothing() {
    let mut image = image();
    let resources = vec![set(topic(), "retention.ms", "5")];
    let mode = CreateMode::ValidateOnly;
    let request = AlterConfigs { resources, mode };
    let validated = alter(&image, &policy(), &request);
    assert_eq!(validated.records, vec![]);
    assert_eq!(validated.response[0].result, Ok(()));
    set_topic_config(&mut image, "t", "retention.ms", "5");
    assert_eq!(decide(&image, request.resources).records, vec![]);
}

#[test]
fn unclean_election_allowed_now_elects_now() {
    let mut image = image();
    let leaderless = PartitionRegistration {
        leader: None,
        ..partition(&[3, 1], &[], &[3])
    };
    add_topic(&mut image, "t", vec![leaderless]);
    change_broker(&mut image, 3, |it| it.fenced = true);
    for resource in [topic(), ConfigResource::Cluster] {
        let asked = set(resource, "unclean.leader.election.enable", "true");
        let decision = decide(&image, vec![asked]);
        assert_eq!(decision.records.len(), 2);
        let change = change_of(&decision.records, name_of("t", 0)).unwrap();
        assert_eq!((change.0, change.2), (nodes(&[1]), Some(NodeId(1))));
    }
}

#[test]
fn a_lower_min_isr_lets_the_awaited_go() {
    let mut image = image();
    add_topic(&mut image, "t", vec![partition(&[1, 2, 3], &[1], &[2])]);
    let asked = set(ConfigResource::Cluster, "min.insync.replicas", "1");
    let decision = decide(&image, vec![asked]);
    let change = change_of(&decision.records, name_of("t", 0)).unwrap();
    assert_eq!(change.1, vec![], "the ISR is large enough now");
}

#[test]
fn the_clusters_min_isr_is_agreed_once_and_never_removed() {
    let mut image = image();
    Arc::make_mut(&mut image.configs).remove(&ConfigResource::Cluster);
    let policy = policy_with([("min.insync.replicas", "3")]);
    let record = agree_on_min_isr(&image, &policy).unwrap();
    let (agreed, _) = image.apply(MetadataOffset(101), 1, &[record]).unwrap();
    assert_eq!(agree_on_min_isr(&agreed, &policy), None);
    let other = policy_with([("min.insync.replicas", "1")]);
    assert_eq!(other.rules(&agreed, "t").min_insync_replicas, 3);
    let gone = some(
        ConfigResource::Cluster,
        vec![(MIN_ISR, EntryChange::Delete)],
    );
    assert_eq!(refusal(&agreed, gone), ErrorCode::InvalidConfig);
    let all = AlterResource {
        resource: ConfigResource::Cluster,
        alteration: Alteration::All(Vec::new()),
    };
    assert_eq!(entries_after(&agreed, all), entries(&[(MIN_ISR, "3")]));
}
