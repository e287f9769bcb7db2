//! Metadata in all its versions, and topics that come into being because they are asked for.

use drave_protocol::api::ApiKey;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::Uuid;
use drave_protocol::schema::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic,
};

use crate::broker::{node_with, versions};
use crate::support::client::code;

fn asked(names: &[&str], allow_auto_topic_creation: bool) -> MetadataRequest {
    let topic = |name: &&str| MetadataRequestTopic {
        name: Some((*name).to_owned()),
        ..MetadataRequestTopic::default()
    };
    MetadataRequest {
        topics: Some(names.iter().map(topic).collect()),
        allow_auto_topic_creation,
        ..MetadataRequest::default()
    }
}

fn by_id(topic_id: Uuid) -> MetadataRequest {
    MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            topic_id,
            name: None,
        }]),
        ..MetadataRequest::default()
    }
}

fn only(mut response: MetadataResponse) -> MetadataResponseTopic {
    assert_eq!(response.topics.len(), 1, "{response:?}");
    response.topics.remove(0)
}

fn names(response: &MetadataResponse) -> Vec<&str> {
    let names = response.topics.iter().filter_map(|it| it.name.as_deref());
    names.filter(|it| !it.starts_with("ready-")).collect()
}

#[test]
fn every_version_tells_where_a_partition_is_led() {
    let (cluster, mut wire) = node_with(&["here"]);
    for version in versions(ApiKey::Metadata) {
        let answer = wire.call(version, &asked(&["here"], true)).unwrap();
        let [broker] = &answer.brokers[..] else {
            panic!("v{version}: one broker, not {:?}", answer.brokers);
        };
        assert_eq!((broker.node_id, broker.host.as_str()), (1, "127.0.0.1"));
        assert_eq!(broker.port, i32::from(cluster.node(1).ports.kafka));
        assert_eq!(answer.controller_id, if version >= 1 { 1 } else { -1 });
        assert_eq!(answer.cluster_id.is_some(), version >= 2, "v{version}");
        let topic = only(answer);
        assert_eq!(code(topic.error_code), ErrorCode::None);
        assert_eq!(topic.name.as_deref(), Some("here"));
        assert_eq!(topic.topic_id.is_zero(), version < 10, "v{version}");
        let [partition] = &topic.partitions[..] else {
            panic!("v{version}: one partition, not {:?}", topic.partitions);
        };
        assert_eq!((partition.partition_index, partition.leader_id), (0, 1));
        assert_eq!(
            (&partition.replica_nodes[..], &partition.isr_nodes[..]),
            (&[1][..], &[1][..])
        );
        assert_eq!(partition.leader_epoch >= 0, version >= 7, "v{version}");
    }
}

#[test]
fn all_none_and_some_topics_are_asked_for_as_each_version_says_it() {
    let (_cluster, mut wire) = node_with(&["a", "b"]);
    let all = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    let none = asked(&[], true);
    let both = wire.call(0, &none).unwrap();
    assert_eq!(
        names(&both),
        ["a", "b"],
        "version 0 has no null: an empty list is all"
    );
    for version in 1..=13 {
        assert_eq!(
            names(&wire.call(version, &all).unwrap()),
            ["a", "b"],
            "v{version}"
        );
        assert!(
            wire.call(version, &none).unwrap().topics.is_empty(),
            "v{version}"
        );
        let one = wire.call(version, &asked(&["b"], true)).unwrap();
        assert_eq!(names(&one), ["b"], "v{version}");
    }
}

#[test]
fn a_topic_is_found_by_its_id_and_an_unknown_id_is_refused() {
    let (_cluster, mut wire) = node_with(&["named"]);
    let id = only(wire.call(12, &asked(&["named"], false)).unwrap()).topic_id;
    for version in [12, 13] {
        let found = only(wire.call(version, &by_id(id)).unwrap());
        assert_eq!(
            (found.error_code, found.name.as_deref()),
            (0, Some("named"))
        );
        let unknown = only(wire.call(version, &by_id(Uuid([9; 16]))).unwrap());
        assert_eq!(code(unknown.error_code), ErrorCode::UnknownTopicId);
        assert_eq!((unknown.name, unknown.topic_id), (None, Uuid([9; 16])));
    }
}

#[test]
fn asking_for_an_unknown_topic_creates_it_only_where_that_is_wanted() {
    let (_cluster, mut wire) = node_with(&[]);
    let unknown = only(wire.call(12, &asked(&["wished-for"], false)).unwrap());
    assert_eq!(code(unknown.error_code), ErrorCode::UnknownTopicOrPartition);
    // Old versions cannot say no.
    for (version, name) in [(12, "wished-for"), (3, "wished-for-too")] {
        let created = only(wire.call(version, &asked(&[name], true)).unwrap());
        assert_eq!(
            code(created.error_code),
            ErrorCode::None,
            "it is there at once"
        );
        assert_eq!(created.partitions.len(), 1);
    }
    let invalid = only(wire.call(12, &asked(&["no/slash"], true)).unwrap());
    assert_eq!(code(invalid.error_code), ErrorCode::InvalidTopicException);
}
