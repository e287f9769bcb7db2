//! Partitions are added and leaders elected, in all versions.

use drave_protocol::api::ApiKey;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic,
    CreatePartitionsTopicResult,
};
use drave_protocol::schema::elect_leaders::{ElectLeadersRequest, TopicPartitions};

use crate::broker::{node_with, versions};
use crate::support::client::{self, code};
use crate::support::wire::Wire;

fn growth(count: i32, assignments: Option<&[i32]>) -> CreatePartitionsRequest {
    let assigned = |ids: &[i32]| {
        let one = |id: &i32| CreatePartitionsAssignment {
            broker_ids: vec![*id],
        };
        ids.iter().map(one).collect()
    };
    CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: "t".to_owned(),
            count,
            assignments: assignments.map(assigned),
        }],
        timeout_ms: 10_000,
        validate_only: false,
    }
}

#[track_caller]
fn grow(
    wire: &mut Wire,
    version: i16,
    request: &CreatePartitionsRequest,
) -> CreatePartitionsTopicResult {
    let mut answer = wire.call(version, request).unwrap();
    answer.results.pop().unwrap()
}

#[test]
fn every_version_adds_a_partition_that_can_be_written_to_at_once() {
    let (_cluster, mut wire) = node_with(&["t"]);
    for (partition, version) in (1..).zip(versions(ApiKey::CreatePartitions)) {
        let grown = grow(&mut wire, version, &growth(partition + 1, None));
        assert_eq!(code(grown.error_code), ErrorCode::None, "{grown:?}");
        let produced = client::produce(&mut wire, "t", partition, ["a"]).unwrap();
        assert_eq!(code(produced.error_code), ErrorCode::None, "{produced:?}");
    }
}

#[test]
fn a_topic_cannot_shrink_and_validation_adds_nothing() {
    let (_cluster, mut wire) = node_with(&["t"]);
    let validated = CreatePartitionsRequest {
        validate_only: true,
        ..growth(4, Some(&[1, 1, 1]))
    };
    let result = grow(&mut wire, 3, &validated);
    assert_eq!(code(result.error_code), ErrorCode::None, "{result:?}");
    for (count, assignments, expected) in [
        (1, None, ErrorCode::InvalidPartitions),
        (0, None, ErrorCode::InvalidPartitions),
        (2, Some(&[1, 1][..]), ErrorCode::InvalidReplicaAssignment),
        (2, Some(&[9][..]), ErrorCode::InvalidReplicaAssignment),
    ] {
        let refused = grow(&mut wire, 3, &growth(count, assignments));
        assert_eq!(code(refused.error_code), expected, "{refused:?}");
        assert!(refused.error_message.is_some());
    }
}

#[test]
fn every_version_says_of_a_partition_well_led_that_no_election_is_needed() {
    let (_cluster, mut wire) = node_with(&["t"]);
    for version in versions(ApiKey::ElectLeaders) {
        let named = |partitions: &[i32]| ElectLeadersRequest {
            election_type: 0,
            topic_partitions: Some(vec![TopicPartitions {
                topic: "t".to_owned(),
                partitions: partitions.to_vec(),
            }]),
            timeout_ms: 10_000,
        };
        let answer = wire.call(version, &named(&[0, 7])).unwrap();
        let results = &answer.replica_election_results[0].partition_result;
        let codes: Vec<ErrorCode> = results.iter().map(|it| code(it.error_code)).collect();
        let expected = [
            ErrorCode::ElectionNotNeeded,
            ErrorCode::UnknownTopicOrPartition,
        ];
        assert_eq!(codes, expected, "v{version}");
        let everywhere = ElectLeadersRequest {
            topic_partitions: None,
            ..named(&[])
        };
        let answer = wire.call(version, &everywhere).unwrap();
        assert_eq!(answer.replica_election_results, vec![], "v{version}");
    }
    let unknown = ElectLeadersRequest {
        election_type: 7,
        ..ElectLeadersRequest::default()
    };
    let answer = wire.call(2, &unknown).unwrap();
    assert_eq!(code(answer.error_code), ErrorCode::InvalidRequest);
}
