//! Topics are created and deleted, in all versions.

use drave_protocol::api::ApiKey;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::Uuid;
use drave_protocol::schema::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreatableTopicResult,
    CreateTopicsRequest,
};
use drave_protocol::schema::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest,
};

use crate::broker::{node_with, versions};
use crate::support::client::{self, code};
use crate::support::wire::Wire;

fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic {
        name: name.to_owned(),
        num_partitions,
        replication_factor,
        ..CreatableTopic::default()
    }
}

fn creation(topic: CreatableTopic) -> CreateTopicsRequest {
    CreateTopicsRequest {
        topics: vec![topic],
        timeout_ms: 10_000,
        validate_only: false,
    }
}

#[track_caller]
fn create(wire: &mut Wire, version: i16, topic: CreatableTopic) -> CreatableTopicResult {
    let mut answer = wire.call(version, &creation(topic)).unwrap();
    answer.topics.pop().unwrap()
}

fn deletion(version: i16, name: &str) -> DeleteTopicsRequest {
    let state = DeleteTopicState {
        name: Some(name.to_owned()),
        ..DeleteTopicState::default()
    };
    DeleteTopicsRequest {
        topics: if version >= 6 {
            vec![state]
        } else {
            Vec::new()
        },
        topic_names: if version >= 6 {
            Vec::new()
        } else {
            vec![name.to_owned()]
        },
        timeout_ms: 10_000,
    }
}

#[track_caller]
fn delete(wire: &mut Wire, version: i16, request: &DeleteTopicsRequest) -> DeletableTopicResult {
    let mut answer = wire.call(version, request).unwrap();
    answer.responses.pop().unwrap()
}

#[test]
fn every_version_creates_a_topic_and_tells_what_it_knows_of_it() {
    let (_cluster, mut wire) = node_with(&[]);
    for version in versions(ApiKey::CreateTopics) {
        let name = format!("by-v{version}");
        let created = create(&mut wire, version, topic(&name, 3, 1));
        assert_eq!(
            code(created.error_code),
            ErrorCode::None,
            "v{version}: {created:?}"
        );
        assert_eq!(created.name, name);
        assert_eq!(created.topic_id.is_zero(), version < 7);
        if version >= 5 {
            assert_eq!((created.num_partitions, created.replication_factor), (3, 1));
            let configs = created.configs.unwrap();
            assert!(
                configs.iter().any(|it| it.name == "min.insync.replicas"),
                "{configs:?}"
            );
        }
        let seen = client::topic_metadata(&mut wire, &name).unwrap();
        assert_eq!(seen.partitions.len(), 3, "it is there when the answer is");
        let again = create(&mut wire, version, topic(&name, 3, 1));
        assert_eq!(code(again.error_code), ErrorCode::TopicAlreadyExists);
        assert!(again.error_message.is_some_and(|it| it.contains(&name)));
    }
}

#[test]
fn what_cannot_be_created_is_refused_with_its_reason() {
    let (_cluster, mut wire) = node_with(&[]);
    let configured = |name: &str, value: &str| CreatableTopic {
        configs: vec![CreatableTopicConfig {
            name: name.to_owned(),
            value: Some(value.to_owned()),
        }],
        ..topic("refused", 1, 1)
    };
    let assigned = |broker_ids: &[i32]| CreatableTopic {
        assignments: vec![CreatableReplicaAssignment {
            partition_index: 0,
            broker_ids: broker_ids.to_vec(),
        }],
        ..topic("refused", -1, -1)
    };
    let refused = [
        (topic("", 1, 1), ErrorCode::InvalidTopicException),
        (topic("..", 1, 1), ErrorCode::InvalidTopicException),
        (topic("a/b", 1, 1), ErrorCode::InvalidTopicException),
        (
            topic(&"x".repeat(250), 1, 1),
            ErrorCode::InvalidTopicException,
        ),
        (topic("refused", 0, 1), ErrorCode::InvalidPartitions),
        (topic("refused", 1, 0), ErrorCode::InvalidReplicationFactor),
        (topic("refused", 1, 2), ErrorCode::InvalidReplicationFactor),
        (configured("no.such.config", "1"), ErrorCode::InvalidConfig),
        (
            configured("segment.bytes", "many"),
            ErrorCode::InvalidConfig,
        ),
        (assigned(&[7]), ErrorCode::InvalidReplicaAssignment),
        (assigned(&[1, 1]), ErrorCode::InvalidReplicaAssignment),
    ];
    for (topic, expected) in refused {
        let what = format!("{topic:?}");
        let result = create(&mut wire, 7, topic);
        assert_eq!(code(result.error_code), expected, "{what}");
        assert!(
            result.error_message.is_some_and(|it| !it.is_empty()),
            "{what}"
        );
    }
    let absent = client::topic_metadata(&mut wire, "refused").unwrap();
    assert_eq!(code(absent.error_code), ErrorCode::UnknownTopicOrPartition);
    let assigned = create(&mut wire, 7, assigned(&[1]));
    assert_eq!(code(assigned.error_code), ErrorCode::None, "{assigned:?}");
}

#[test]
fn a_request_that_only_validates_creates_nothing() {
    let (_cluster, mut wire) = node_with(&[]);
    let request = CreateTopicsRequest {
        validate_only: true,
        ..creation(topic("imagined", 1, 1))
    };
    let answer = wire.call(7, &request).unwrap();
    assert_eq!(code(answer.topics[0].error_code), ErrorCode::None);
    let absent = client::topic_metadata(&mut wire, "imagined").unwrap();
    assert_eq!(code(absent.error_code), ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn every_version_deletes_a_topic_and_a_new_one_of_its_name_is_another() {
    let (mut cluster, mut wire) = node_with(&[]);
    let mut ids = Vec::new();
    for version in versions(ApiKey::DeleteTopics) {
        cluster.create_topic("again", 1, 1, &[]);
        cluster.produce("again", 0, ["old"]);
        let id = cluster.topic("again").topic_id;
        assert!(!ids.contains(&id), "a new topic has a new id");
        ids.push(id);
        let deleted = delete(&mut wire, version, &deletion(version, "again"));
        assert_eq!(
            code(deleted.error_code),
            ErrorCode::None,
            "v{version}: {deleted:?}"
        );
        assert_eq!(deleted.name.as_deref(), Some("again"));
        assert_eq!(deleted.topic_id, if version >= 6 { id } else { Uuid::ZERO });
        let gone = client::topic_metadata(&mut wire, "again").unwrap();
        assert_eq!(code(gone.error_code), ErrorCode::UnknownTopicOrPartition);
        let twice = delete(&mut wire, version, &deletion(version, "again"));
        assert_eq!(code(twice.error_code), ErrorCode::UnknownTopicOrPartition);
    }
    cluster.create_topic("again", 1, 1, &[]);
    assert_eq!(
        cluster.produce("again", 0, ["new"]),
        0,
        "nothing of the old ones is left"
    );
    assert_eq!(cluster.read_all("again", 0), [b"new"]);
}

#[test]
fn a_topic_is_deleted_by_its_id_and_only_named_one_way() {
    let (mut cluster, mut wire) = node_with(&["by-id"]);
    let topic_id = cluster.topic("by-id").topic_id;
    let state = |name: Option<&str>, topic_id| DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: name.map(str::to_owned),
            topic_id,
        }],
        timeout_ms: 10_000,
        ..DeleteTopicsRequest::default()
    };
    let both = delete(&mut wire, 6, &state(Some("by-id"), topic_id));
    assert_eq!(code(both.error_code), ErrorCode::InvalidRequest);
    let unknown = delete(&mut wire, 6, &state(None, Uuid([3; 16])));
    assert_eq!(code(unknown.error_code), ErrorCode::UnknownTopicId);
    let deleted = delete(&mut wire, 6, &state(None, topic_id));
    assert_eq!(code(deleted.error_code), ErrorCode::None);
    assert_eq!(deleted.name.as_deref(), Some("by-id"));
}
