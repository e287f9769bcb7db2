//! Creation and deletion of topics: names, counts, placement, configuration.

use drave_protocol::error_code::ErrorCode;

use super::*;
use crate::controller::test_cluster::{
    add_topic, change_broker, cluster, nodes, partition, policy, policy_with, topic_id,
};

fn topic(name: &str) -> CreateTopic {
    CreateTopic {
        name: name.to_owned(),
        ..CreateTopic::default()
    }
}

fn sized(name: &str, n_partitions: i32, replication_factor: i16) -> CreateTopic {
    CreateTopic {
        n_partitions: Some(n_partitions),
        replication_factor: Some(replication_factor),
        ..topic(name)
    }
}

fn assigned_to(name: &str, replicas: &[&[i32]]) -> CreateTopic {
    let assignments = (0..)
        .zip(replicas)
        .map(|(partition, it)| ReplicaAssignment {
            partition,
            replicas: nodes(it),
        })
        .collect();
    CreateTopic {
        assignments,
        ..topic(name)
    }
}

fn decide(image: &MetadataImage, topics: Vec<CreateTopic>) -> Decision<Vec<CreatedTopic>> {
    let request = CreateTopics {
        topics,
        mode: CreateMode::Create,
    };
    create(image, &policy(), &Random::seeded(1), &request)
}

fn refusal(image: &MetadataImage, topic: CreateTopic) -> CreateTopicError {
    let mut decision = decide(image, vec![topic]);
    assert_eq!(decision.records, vec![]);
    decision.response.remove(0).result.unwrap_err()
}

#[test]
fn a_topic_is_created_with_all_its_partitions_in_one_decision() {
    let mut decision = decide(&cluster(&[1, 2, 3]), vec![sized("t", 4, 3)]);
    let created = decision.response.remove(0).result.unwrap();
    assert_eq!((created.n_partitions, created.replication_factor), (4, 3));
    assert!(!created.topic_id.is_zero());
    assert_eq!(decision.records.len(), 5);
    for record in &decision.records[1..] {
        let MetadataRecord::PartitionCreated(it) = record else {
            panic!("{record:?}")
        };
        assert_eq!(it.replicas, it.isr, "all live replicas start in sync");
        assert_eq!(it.leader, it.replicas.first().copied());
    }
}

#[test]
fn defaults_adapt_to_a_small_cluster_but_wishes_do_not() {
    let image = cluster(&[1, 2]);
    let created = decide(&image, vec![topic("t")])
        .response
        .remove(0)
        .result
        .unwrap();
    assert_eq!((created.n_partitions, created.replication_factor), (1, 2));
    let error = refusal(&image, sized("t", 1, 3));
    assert_eq!(
        error,
        CreateTopicError::NotEnoughBrokers {
            requested: 3,
            live: 2
        }
    );
}

#[test]
fn fenced_brokers_hold_no_new_replicas() {
    let mut image = cluster(&[1, 2, 3]);
    change_broker(&mut image, 3, |it| it.fenced = true);
    let error = refusal(&image, sized("t", 1, 3));
    assert_eq!(ErrorCode::from(&error), ErrorCode::InvalidReplicationFactor);
    for partition in 0..8 {
        let decision = decide(&image, vec![sized("t", partition + 1, 2)]);
        let on_fenced = decision.records.iter().any(|it| {
            matches!(it, MetadataRecord::PartitionCreated(it) if it.replicas.contains(&NodeId(3)))
        });
        assert!(!on_fenced);
    }
}

#[test]
fn kafkas_rules_for_names_hold() {
    for name in ["", ".", "..", "a b", "a/b", "ä", &"x".repeat(250)] {
        let error = refusal(&cluster(&[1]), sized(name, 1, 1));
        assert!(
            matches!(error, CreateTopicError::InvalidName(_)),
            "{name}: {error}"
        );
    }
    for name in ["a", "a.b_c-D9", "...", &"x".repeat(249)] {
        assert_eq!(validate_name(name), Ok(()), "{name}");
    }
}

#[test]
fn names_that_differ_in_dots_and_underscores_collide() {
    let mut image = cluster(&[1]);
    add_topic(&mut image, "a.b", vec![partition(&[1], &[1], &[])]);
    let error = refusal(&image, sized("a_b", 1, 1));
    assert!(
        matches!(error, CreateTopicError::Collides { .. }),
        "{error}"
    );
    assert!(matches!(
        refusal(&image, sized("a.b", 1, 1)),
        CreateTopicError::AlreadyExists(_)
    ));
    let both = decide(&cluster(&[1]), vec![sized("x.y", 1, 1), sized("x_y", 1, 1)]).response;
    assert!(both[0].result.is_ok());
    assert!(matches!(
        both[1].result,
        Err(CreateTopicError::Collides { .. })
    ));
}

#[test]
fn a_name_given_twice_in_one_request_is_refused_both_times() {
    let both = decide(&cluster(&[1]), vec![sized("t", 1, 1), sized("t", 2, 1)]).response;
    assert!(
        both.iter()
            .all(|it| it.result == Err(CreateTopicError::NamedTwice("t".to_owned())))
    );
}

#[test]
fn one_bad_topic_does_not_hold_up_the_others() {
    let decision = decide(
        &cluster(&[1]),
        vec![sized("bad/name", 1, 1), sized("good", 1, 1)],
    );
    assert!(decision.response[0].result.is_err() && decision.response[1].result.is_ok());
    assert_eq!(decision.records.len(), 2);
}

#[test]
fn impossible_counts_are_refused() {
    let image = cluster(&[1]);
    assert_eq!(
        refusal(&image, sized("t", 0, 1)),
        CreateTopicError::InvalidPartitions(0)
    );
    let error = refusal(&image, sized("t", 1, 0));
    assert_eq!(
        error,
        CreateTopicError::InvalidReplicationFactor { requested: 0 }
    );
    let error = refusal(&image, sized("t", i32::MAX, 1));
    assert!(
        matches!(error, CreateTopicError::TooManyPartitions { .. }),
        "{error}"
    );
}

#[test]
fn a_manual_assignment_is_taken_as_given() {
    let decision = decide(
        &cluster(&[1, 2, 3]),
        vec![assigned_to("t", &[&[3, 1], &[2, 3]])],
    );
    let placed: Vec<_> = decision
        .records
        .iter()
        .filter_map(|it| {
            let MetadataRecord::PartitionCreated(it) = it else {
                return None;
            };
            Some(it.replicas.clone())
        })
        .collect();
    assert_eq!(placed, [nodes(&[3, 1]), nodes(&[2, 3])]);
}

#[test]
fn a_broken_manual_assignment_is_refused() {
    let image = cluster(&[1, 2]);
    let broken: [&[&[i32]]; 4] = [&[&[1, 1]], &[&[1, 9]], &[&[]], &[&[1], &[1, 2]]];
    for replicas in broken {
        let error = refusal(&image, assigned_to("t", replicas));
        assert!(
            matches!(error, CreateTopicError::InvalidAssignment(_)),
            "{replicas:?}: {error}"
        );
    }
    let mut holes = assigned_to("t", &[&[1], &[2]]);
    holes.assignments[1].partition = 5;
    assert!(matches!(
        refusal(&image, holes),
        CreateTopicError::InvalidAssignment(_)
    ));
    let both = CreateTopic {
        n_partitions: Some(1),
        ..assigned_to("t", &[&[1]])
    };
    assert_eq!(refusal(&image, both), CreateTopicError::AssignmentAndCounts);
}

#[test]
fn configs_are_checked_and_kept() {
    let with = |key: &str, value: &str| CreateTopic {
        configs: vec![(key.to_owned(), value.to_owned())],
        ..sized("t", 1, 1)
    };
    let decision = decide(&cluster(&[1]), vec![with("segment.bytes", "1048576")]);
    let last = decision.records.last();
    assert!(matches!(last, Some(MetadataRecord::ConfigChanged(it)) if it.key == "segment.bytes"));
    let error = refusal(&cluster(&[1]), with("segment.byte", "1048576"));
    assert!(
        error.to_string().contains("segment.bytes"),
        "the nearest is named: {error}"
    );
}

#[test]
fn validating_only_changes_nothing_and_gives_no_id() {
    let request = CreateTopics {
        topics: vec![sized("t", 2, 1)],
        mode: CreateMode::ValidateOnly,
    };
    let decision = create(&cluster(&[1]), &policy(), &Random::seeded(1), &request);
    assert_eq!(decision.records, vec![]);
    assert!(
        decision.response[0]
            .result
            .as_ref()
            .unwrap()
            .topic_id
            .is_zero()
    );
}

fn with_topic() -> MetadataImage {
    let mut image = cluster(&[1]);
    add_topic(&mut image, "t", vec![partition(&[1], &[1], &[])]);
    image
}

#[test]
fn a_topic_is_deleted_by_name_or_by_id_but_once() {
    let topics = vec![TopicRef::Name("t".to_owned()), TopicRef::Id(topic_id("t"))];
    let decision = delete(&with_topic(), &policy(), &DeleteTopics { topics });
    assert_eq!(decision.records.len(), 1);
    assert_eq!(
        decision.response[0].result,
        Ok(("t".to_owned(), topic_id("t")))
    );
    assert!(matches!(
        decision.response[1].result,
        Err(DeleteTopicError::NamedTwice(_))
    ));
}

#[test]
fn what_is_not_there_or_must_not_go_is_not_deleted() {
    let one = |topic| DeleteTopics {
        topics: vec![topic],
    };
    let unknown = delete(
        &with_topic(),
        &policy(),
        &one(TopicRef::Name("x".to_owned())),
    );
    assert!(matches!(
        unknown.response[0].result,
        Err(DeleteTopicError::UnknownName(_))
    ));
    let kept = policy_with([("delete.topic.enable", "false")]);
    let refused = delete(&with_topic(), &kept, &one(TopicRef::Name("t".to_owned())));
    assert_eq!(refused.response[0].result, Err(DeleteTopicError::Disabled));
}
