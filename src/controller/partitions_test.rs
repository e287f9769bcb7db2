//! More partitions: numbers, placement, refusals.

use drave_protocol::error_code::ErrorCode;

use super::*;
use crate::controller::test_cluster::{
    add_topic, change_broker, cluster, nodes, partition, topic_id,
};

fn three_brokers_and_a_topic_of_two() -> MetadataImage {
    let mut image = cluster(&[1, 2, 3]);
    let partitions = vec![
        partition(&[1, 2], &[1, 2], &[]),
        partition(&[2, 3], &[2, 3], &[]),
    ];
    add_topic(&mut image, "t", partitions);
    image
}

fn grow(name: &str, n_partitions: i32, assignments: Option<&[&[i32]]>) -> GrowTopic {
    GrowTopic {
        name: name.to_owned(),
        n_partitions,
        assignments: assignments.map(|it| it.iter().map(|it| nodes(it)).collect()),
    }
}

fn decide(image: &MetadataImage, topics: Vec<GrowTopic>) -> Decision<Vec<GrownTopic>> {
    let mode = CreateMode::Create;
    create(
        image,
        &Random::seeded(1),
        &CreatePartitions { topics, mode },
    )
}

fn refusal(image: &MetadataImage, topic: GrowTopic) -> CreatePartitionsError {
    let mut decision = decide(image, vec![topic]);
    assert_eq!(decision.records, vec![]);
    decision.response.remove(0).result.unwrap_err()
}

#[test]
fn new_partitions_follow_the_last_and_have_as_many_replicas() {
    let image = three_brokers_and_a_topic_of_two();
    let decision = decide(&image, vec![grow("t", 5, None)]);
    assert_eq!(decision.response[0].result, Ok(()));
    let created: Vec<(i32, usize)> = decision
        .records
        .iter()
        .map(|record| {
            let MetadataRecord::PartitionCreated(it) = record else {
                panic!("{record:?}")
            };
            assert_eq!(it.topic_id, topic_id("t"));
            assert_eq!(it.leader, it.replicas.first().copied());
            (it.partition, it.replicas.len())
        })
        .collect();
    assert_eq!(created, [(2, 2), (3, 2), (4, 2)]);
    let at = drave_protocol::ids::MetadataOffset(101);
    image.apply(at, 1, &decision.records).unwrap();
}

#[test]
fn only_more_partitions_than_there_are_can_be_asked_for() {
    let image = three_brokers_and_a_topic_of_two();
    for (asked, code) in [
        (2, ErrorCode::InvalidPartitions),
        (1, ErrorCode::InvalidPartitions),
        (-1, ErrorCode::InvalidPartitions),
        (i32::MIN, ErrorCode::InvalidPartitions),
        (i32::MAX, ErrorCode::PolicyViolation),
    ] {
        let error = refusal(&image, grow("t", asked, None));
        assert_eq!(ErrorCode::from(&error), code, "{asked}: {error}");
    }
    let unknown = refusal(&image, grow("nope", 3, None));
    assert_eq!(
        unknown,
        CreatePartitionsError::UnknownTopic("nope".to_owned())
    );
}

#[test]
fn manual_placement_is_taken_as_it_is_or_refused() {
    let mut image = three_brokers_and_a_topic_of_two();
    let decision = decide(&image, vec![grow("t", 3, Some(&[&[3, 1]]))]);
    let MetadataRecord::PartitionCreated(it) = &decision.records[0] else {
        panic!("{decision:?}")
    };
    assert_eq!(it.replicas, nodes(&[3, 1]));
    let bad: [&[&[i32]]; 6] = [
        &[],
        &[&[1, 2], &[2, 3]],
        &[&[1]],
        &[&[1, 1]],
        &[&[1, 9]],
        &[&[]],
    ];
    for assignments in bad {
        let error = refusal(&image, grow("t", 3, Some(assignments)));
        let code = ErrorCode::from(&error);
        assert_eq!(code, ErrorCode::InvalidReplicaAssignment, "{assignments:?}");
    }
    for id in [1, 2] {
        change_broker(&mut image, id, |it| it.fenced = true);
    }
    let error = refusal(&image, grow("t", 3, Some(&[&[1, 2]])));
    assert_eq!(ErrorCode::from(&error), ErrorCode::InvalidReplicaAssignment);
    let error = refusal(&image, grow("t", 3, None));
    let few = CreatePartitionsError::NotEnoughBrokers {
        requested: 2,
        live: 1,
    };
    assert_eq!(error, few);
}

#[test]
fn a_refused_topic_does_not_hold_up_the_others_and_validation_changes_nothing() {
    let mut image = three_brokers_and_a_topic_of_two();
    add_topic(&mut image, "u", vec![partition(&[1], &[1], &[])]);
    let topics = vec![
        grow("t", 3, None),
        grow("u", 1, None),
        grow("nope", 2, None),
    ];
    let decision = decide(&image, topics.clone());
    assert_eq!(decision.records.len(), 1);
    let told = decision.response.iter().map(|it| it.result.is_ok());
    assert!(told.eq([true, false, false]));
    let mode = CreateMode::ValidateOnly;
    let validated = create(
        &image,
        &Random::seeded(1),
        &CreatePartitions { topics, mode },
    );
    assert_eq!(validated.records, vec![]);
    assert_eq!(validated.response, decision.response);
    let twice = decide(&image, vec![grow("t", 3, None), grow("t", 4, None)]);
    assert_eq!(twice.records, vec![]);
}
