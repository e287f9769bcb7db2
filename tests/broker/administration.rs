//! Partitions are added, leaders elected, configs changed and replicas moved, in all versions.

use drave_protocol::api::ApiKey;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::alter_configs::{self, AlterConfigsRequest};
use drave_protocol::schema::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use drave_protocol::schema::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic,
    CreatePartitionsTopicResult,
};
use drave_protocol::schema::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use drave_protocol::schema::describe_log_dirs::{DescribableLogDirTopic, DescribeLogDirsRequest};
use drave_protocol::schema::elect_leaders::{ElectLeadersRequest, TopicPartitions};
use drave_protocol::schema::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use drave_protocol::schema::list_partition_reassignments::ListPartitionReassignmentsRequest;

use crate::broker::{node_with, versions};
use crate::support::client::{self, code};
use crate::support::wait::{seconds, wait_until};
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

fn of_topic(name: &str, entries: &[(&str, i8, Option<&str>)]) -> IncrementalAlterConfigsRequest {
    let entry = |(name, config_operation, value): &(&str, i8, Option<&str>)| AlterableConfig {
        name: (*name).to_owned(),
        config_operation: *config_operation,
        value: value.map(str::to_owned),
    };
    IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: 2,
            resource_name: name.to_owned(),
            configs: entries.iter().map(entry).collect(),
        }],
        validate_only: false,
    }
}

#[track_caller]
fn max_message_bytes(wire: &mut Wire) -> (String, i8) {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: 2,
            resource_name: "t".to_owned(),
            configuration_keys: Some(vec!["max.message.bytes".to_owned()]),
        }],
        ..DescribeConfigsRequest::default()
    };
    let answer = wire.call(4, &request).unwrap();
    let entry = answer.results[0].configs[0].clone();
    (entry.value.unwrap(), entry.config_source)
}

/// The answer shows what was agreed; the log goes by it as soon as it was told.
#[track_caller]
fn wait_until_large_records_are(wire: &mut Wire, expected: ErrorCode) {
    wait_until("the log to go by it", seconds(10), || {
        let produced = client::produce(wire, "t", 0, ["x".repeat(300)]).unwrap();
        code(produced.error_code) == expected
    });
}

#[test]
fn every_version_changes_single_entries_and_they_hold_at_once() {
    let (_cluster, mut wire) = node_with(&["t"]);
    for version in versions(ApiKey::IncrementalAlterConfigs) {
        let set = of_topic("t", &[("max.message.bytes", 0, Some("200"))]);
        let answer = wire.call(version, &set).unwrap();
        assert_eq!(
            code(answer.responses[0].error_code),
            ErrorCode::None,
            "{answer:?}"
        );
        assert_eq!(max_message_bytes(&mut wire), ("200".to_owned(), 1));
        wait_until_large_records_are(&mut wire, ErrorCode::MessageTooLarge);
        let unset = of_topic("t", &[("max.message.bytes", 1, None)]);
        let answer = wire.call(version, &unset).unwrap();
        assert_eq!(
            code(answer.responses[0].error_code),
            ErrorCode::None,
            "{answer:?}"
        );
        assert_eq!(max_message_bytes(&mut wire).1, 5);
        wait_until_large_records_are(&mut wire, ErrorCode::None);
    }
    let misspelled = of_topic("t", &[("max.mesage.bytes", 0, Some("200"))]);
    let answer = wire.call(1, &misspelled).unwrap();
    let refused = &answer.responses[0];
    assert_eq!(code(refused.error_code), ErrorCode::InvalidConfig);
    let message = refused.error_message.as_deref().unwrap();
    assert!(message.contains("\"max.message.bytes\""), "{message}");
}

#[test]
fn every_version_of_the_old_request_replaces_all_entries() {
    let (mut cluster, mut wire) = node_with(&[]);
    for version in versions(ApiKey::AlterConfigs) {
        let name = "t";
        if version == 0 {
            cluster.create_topic(name, 1, 1, &[("retention.ms", "5000")]);
        }
        let request = AlterConfigsRequest {
            resources: vec![alter_configs::AlterConfigsResource {
                resource_type: 2,
                resource_name: name.to_owned(),
                configs: vec![alter_configs::AlterableConfig {
                    name: "max.message.bytes".to_owned(),
                    value: Some(format!("{}", 1000 + version)),
                }],
            }],
            validate_only: false,
        };
        let answer = wire.call(version, &request).unwrap();
        assert_eq!(
            code(answer.responses[0].error_code),
            ErrorCode::None,
            "{answer:?}"
        );
        let expected = (format!("{}", 1000 + version), 1);
        assert_eq!(max_message_bytes(&mut wire), expected);
    }
}

#[test]
fn what_is_agreed_for_brokers_is_what_topics_inherit_at_once() {
    let (_cluster, mut wire) = node_with(&["t"]);
    for (name, source) in [("", 3), ("1", 2)] {
        let mut request = of_topic(name, &[("message.max.bytes", 0, Some("200"))]);
        request.resources[0].resource_type = 4;
        let answer = wire.call(1, &request).unwrap();
        assert_eq!(
            code(answer.responses[0].error_code),
            ErrorCode::None,
            "{answer:?}"
        );
        assert_eq!(max_message_bytes(&mut wire), ("200".to_owned(), source));
    }
    wait_until_large_records_are(&mut wire, ErrorCode::MessageTooLarge);
}

#[test]
fn every_version_takes_and_cancels_reassignments() {
    let (_cluster, mut wire) = node_with(&["t"]);
    for version in versions(ApiKey::AlterPartitionReassignments) {
        for (target, expected) in [
            (Some(vec![1]), ErrorCode::None),
            (Some(vec![9]), ErrorCode::InvalidReplicaAssignment),
            (None, ErrorCode::NoReassignmentInProgress),
        ] {
            let request = AlterPartitionReassignmentsRequest {
                timeout_ms: 10_000,
                topics: vec![ReassignableTopic {
                    name: "t".to_owned(),
                    partitions: vec![ReassignablePartition {
                        partition_index: 0,
                        replicas: target,
                    }],
                }],
                ..AlterPartitionReassignmentsRequest::default()
            };
            let answer = wire.call(version, &request).unwrap();
            let told = &answer.responses[0].partitions[0];
            assert_eq!(code(told.error_code), expected, "v{version}");
        }
    }
    for version in versions(ApiKey::ListPartitionReassignments) {
        let all = ListPartitionReassignmentsRequest::default();
        assert_eq!(wire.call(version, &all).unwrap().topics, vec![]);
    }
}

#[test]
fn every_version_describes_the_log_directories() {
    let (cluster, mut wire) = node_with(&["t"]);
    client::produce(&mut wire, "t", 0, ["a"]).unwrap();
    let data_dir = cluster.node(1).data_dir().display().to_string();
    for version in versions(ApiKey::DescribeLogDirs) {
        for topics in [None, Some("t"), Some("other")] {
            let named = topics.map(|topic| {
                vec![DescribableLogDirTopic {
                    topic: topic.to_owned(),
                    partitions: vec![0],
                }]
            });
            let request = DescribeLogDirsRequest { topics: named };
            let answer = wire.call(version, &request).unwrap();
            let [dir] = &answer.results[..] else {
                panic!("one directory: {answer:?}")
            };
            assert_eq!((dir.error_code, &dir.log_dir), (0, &data_dir));
            assert_eq!(dir.total_bytes > dir.usable_bytes, version >= 4, "{dir:?}");
            let asked_for = dir.topics.iter().filter(|it| it.name == "t");
            let sizes = asked_for.map(|it| it.partitions[0].partition_size > 0);
            let expected = usize::from(topics != Some("other"));
            assert_eq!(
                sizes.filter(|it| *it).count(),
                expected,
                "v{version}: {dir:?}"
            );
        }
    }
}
