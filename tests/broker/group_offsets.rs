//! OffsetCommit, OffsetFetch, OffsetDelete by consumers that are in no group, and the topic they are kept in.

use drave_protocol::api::ApiKey;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use drave_protocol::schema::offset_commit::{OffsetCommitRequest, OffsetCommitRequestTopic};
use drave_protocol::schema::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use drave_protocol::schema::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};

use crate::broker::{node_with, versions};
use crate::support::client::{
    ACKS_ALL, PRODUCE_BY_NAME, batch_of, code, produce_request, produced, topic_metadata,
};
use crate::support::groups::{commit, commit_request, committed, coordinator};
use crate::support::wait::{seconds, wait_until};
use crate::support::wire::Wire;

const OFFSETS_TOPIC: &str = "__consumer_offsets";

fn commit_in(wire: &mut Wire, version: i16, topic_id: [u8; 16], offset: i64) -> ErrorCode {
    let mut request = commit_request("g", "t", 0, offset);
    if version >= 10 {
        request.topics[0].name = String::new();
        request.topics[0].topic_id.0 = topic_id;
    }
    let answer = wire.call(version, &request).unwrap();
    code(answer.topics[0].partitions[0].error_code)
}

/// The offset and the note beside it, as one version tells them.
fn fetch_in(wire: &mut Wire, version: i16, topic_id: [u8; 16]) -> (i64, Option<String>) {
    let mut request = OffsetFetchRequest::default();
    if version < 8 {
        "g".clone_into(&mut request.group_id);
        request.topics = Some(vec![OffsetFetchRequestTopic {
            name: "t".to_owned(),
            partition_indexes: vec![0, 1],
        }]);
    } else {
        let mut topic = OffsetFetchRequestTopics {
            partition_indexes: vec![0, 1],
            ..OffsetFetchRequestTopics::default()
        };
        if version < 10 {
            "t".clone_into(&mut topic.name);
        } else {
            topic.topic_id.0 = topic_id;
        }
        request.groups = vec![OffsetFetchRequestGroup {
            group_id: "g".to_owned(),
            topics: Some(vec![topic]),
            ..OffsetFetchRequestGroup::default()
        }];
    }
    let answer = wire.call(version, &request).unwrap();
    if let Some(group) = answer.groups.first() {
        assert_eq!(group.error_code, 0, "v{version}");
        let [known, unknown] = &group.topics[0].partitions[..] else {
            panic!("two partitions were asked for");
        };
        assert_eq!((unknown.committed_offset, unknown.error_code), (-1, 0));
        return (known.committed_offset, known.metadata.clone());
    }
    assert_eq!(answer.error_code, 0, "v{version}");
    let [known, unknown] = &answer.topics[0].partitions[..] else {
        panic!("two partitions were asked for");
    };
    assert_eq!((unknown.committed_offset, unknown.error_code), (-1, 0));
    (known.committed_offset, known.metadata.clone())
}

#[test]
fn what_one_version_commits_every_version_fetches() {
    let (_cluster, mut wire) = node_with(&["t"]);
    coordinator(&mut wire, "g");
    let id = topic_metadata(&mut wire, "t").unwrap().topic_id.0;
    for (offset, version) in (100..).zip(versions(ApiKey::OffsetCommit)) {
        assert_eq!(
            commit_in(&mut wire, version, id, offset),
            ErrorCode::None,
            "v{version}"
        );
        for version in versions(ApiKey::OffsetFetch) {
            let fetched = fetch_in(&mut wire, version, id);
            assert_eq!(fetched, (offset, Some("note".to_owned())), "v{version}");
        }
    }
}

#[test]
fn all_of_a_group_is_fetched_without_naming_a_topic() {
    let (_cluster, mut wire) = node_with(&["t", "u"]);
    coordinator(&mut wire, "g");
    assert_eq!(commit(&mut wire, "g", "t", 0, 1).unwrap(), ErrorCode::None);
    assert_eq!(commit(&mut wire, "g", "u", 0, 2).unwrap(), ErrorCode::None);
    for version in 8..=10 {
        let request = OffsetFetchRequest {
            groups: ["g", "nobody"]
                .map(|it| OffsetFetchRequestGroup {
                    group_id: it.to_owned(),
                    topics: None,
                    ..OffsetFetchRequestGroup::default()
                })
                .to_vec(),
            ..OffsetFetchRequest::default()
        };
        let answer = wire.call(version, &request).unwrap();
        let [group, nobody] = &answer.groups[..] else {
            panic!("two groups were asked for");
        };
        let offsets = group.topics.iter();
        let offsets = offsets.map(|it| it.partitions[0].committed_offset);
        assert_eq!(offsets.collect::<Vec<_>>(), [1, 2]);
        assert!(nobody.topics.is_empty() && nobody.error_code == 0);
    }
}

#[test]
fn what_is_not_there_is_refused_partition_by_partition() {
    let (_cluster, mut wire) = node_with(&["t"]);
    coordinator(&mut wire, "g");
    let refused = commit(&mut wire, "g", "nowhere", 0, 1).unwrap();
    assert_eq!(refused, ErrorCode::UnknownTopicOrPartition);
    let refused = commit(&mut wire, "g", "t", 7, 1).unwrap();
    assert_eq!(refused, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(
        commit_in(&mut wire, 10, [9; 16], 1),
        ErrorCode::UnknownTopicId
    );
    let mut member = commit_request("g", "t", 0, 1);
    member.generation_id_or_member_epoch = 4;
    member.member_id = "m".to_owned();
    let answer = wire.call(9, &member).unwrap();
    let refused = code(answer.topics[0].partitions[0].error_code);
    assert_eq!(refused, ErrorCode::GroupIdNotFound);
    let mut many = commit_request("g", "t", 0, 5);
    many.topics.push(OffsetCommitRequestTopic {
        name: "nowhere".to_owned(),
        ..many.topics[0].clone()
    });
    let answer: Vec<i16> = {
        let request: OffsetCommitRequest = many;
        let answer = wire.call(9, &request).unwrap();
        answer
            .topics
            .iter()
            .map(|it| it.partitions[0].error_code)
            .collect()
    };
    assert_eq!(answer, [0, 3]);
    assert_eq!(committed(&mut wire, "g", "t", 0).unwrap(), Ok(5));
}

#[test]
fn offsets_are_there_after_a_kill_and_go_when_they_or_their_topic_are_deleted() {
    let (mut cluster, mut wire) = node_with(&["t", "u"]);
    coordinator(&mut wire, "g");
    assert_eq!(commit(&mut wire, "g", "t", 0, 11).unwrap(), ErrorCode::None);
    assert_eq!(commit(&mut wire, "g", "u", 0, 12).unwrap(), ErrorCode::None);
    cluster.kill9(1);
    cluster.start_again(1);
    let mut wire = cluster.wire(1);
    wait_until("the groups are loaded again", seconds(30), || {
        committed(&mut wire, "g", "t", 0).unwrap() == Ok(11)
    });
    assert_eq!(committed(&mut wire, "g", "u", 0).unwrap(), Ok(12));

    let request = OffsetDeleteRequest {
        group_id: "g".to_owned(),
        topics: vec![OffsetDeleteRequestTopic {
            name: "u".to_owned(),
            partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
        }],
    };
    let answer = wire.call(0, &request).unwrap();
    assert_eq!(
        (answer.error_code, answer.topics[0].partitions[0].error_code),
        (0, 0)
    );
    assert_eq!(committed(&mut wire, "g", "u", 0).unwrap(), Ok(-1));

    let request = DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: Some("t".to_owned()),
            ..DeleteTopicState::default()
        }],
        timeout_ms: 10_000,
        ..DeleteTopicsRequest::default()
    };
    let answer = wire.call(6, &request).unwrap();
    assert_eq!(answer.responses[0].error_code, 0);
    wait_until("its offsets are gone", seconds(10), || {
        committed(&mut wire, "g", "t", 0).unwrap() == Ok(-1)
    });
}

#[test]
fn the_topic_of_groups_is_internal() {
    let (_cluster, mut wire) = node_with(&["t"]);
    coordinator(&mut wire, "g");
    let topic = topic_metadata(&mut wire, OFFSETS_TOPIC).unwrap();
    assert!(topic.is_internal);
    assert_eq!(topic.partitions.len(), 50);
    let request = produce_request(OFFSETS_TOPIC, 0, ACKS_ALL, batch_of(["x"]));
    let answer = produced(wire.call(PRODUCE_BY_NAME, &request).unwrap());
    assert_eq!(code(answer.error_code), ErrorCode::InvalidTopicException);
}
