//! ListOffsets and OffsetForLeaderEpoch.

use drave_protocol::api::ApiKey;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::record::builder::BatchBuilder;
use drave_protocol::schema::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsTopic,
};
use drave_protocol::schema::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};

use crate::broker::{node_with, versions};
use crate::support::client::{
    ACKS_ALL, EARLIEST, LATEST, PRODUCE_BY_NAME, code, produce_request, produced,
};
use crate::support::wire::Wire;

const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;

#[track_caller]
fn list(
    wire: &mut Wire,
    version: i16,
    topic: &str,
    timestamp: i64,
) -> ListOffsetsPartitionResponse {
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: topic.to_owned(),
            partitions: vec![ListOffsetsPartition {
                timestamp,
                ..ListOffsetsPartition::default()
            }],
        }],
        ..ListOffsetsRequest::default()
    };
    let mut answer = wire.call(version, &request).unwrap();
    answer.topics[0].partitions.remove(0)
}

/// Two batches: times 100, 300, 200 and 400.
fn fill(wire: &mut Wire) {
    let first = BatchBuilder::new()
        .value(100, "a")
        .value(300, "b")
        .value(200, "c");
    let second = BatchBuilder::new().value(400, "d");
    for batch in [first, second] {
        let request = produce_request("t", 0, ACKS_ALL, batch.build().freeze());
        assert_eq!(
            produced(wire.call(PRODUCE_BY_NAME, &request).unwrap()).error_code,
            0
        );
    }
}

#[test]
fn every_version_finds_the_ends_and_moments_between() {
    let (_cluster, mut wire) = node_with(&["t"]);
    fill(&mut wire);
    for version in versions(ApiKey::ListOffsets) {
        let mut offset_at = |timestamp| {
            let found = list(&mut wire, version, "t", timestamp);
            assert_eq!(
                code(found.error_code),
                ErrorCode::None,
                "v{version} {timestamp}"
            );
            assert_eq!(
                found.leader_epoch >= 0,
                version >= 4 && found.offset >= 0,
                "{found:?}"
            );
            (found.offset, found.timestamp)
        };
        assert_eq!(offset_at(EARLIEST), (0, -1));
        assert_eq!(offset_at(LATEST), (4, -1));
        assert_eq!(
            offset_at(0),
            (0, 100),
            "the first record at or after the moment"
        );
        assert_eq!(offset_at(101), (1, 300));
        assert_eq!(offset_at(400), (3, 400));
        assert_eq!(offset_at(401), (-1, -1), "no record is that young");
        if version >= 7 {
            assert_eq!(offset_at(MAX_TIMESTAMP), (3, 400));
        }
        if version >= 8 {
            assert_eq!(offset_at(EARLIEST_LOCAL).0, 0);
        }
    }
    let early = list(&mut wire, 6, "t", MAX_TIMESTAMP);
    assert_eq!(code(early.error_code), ErrorCode::UnsupportedVersion);
    let unknown = list(&mut wire, 6, "nowhere", LATEST);
    assert_eq!(code(unknown.error_code), ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn every_version_tells_where_an_epoch_ended() {
    let (mut cluster, mut wire) = node_with(&["t"]);
    fill(&mut wire);
    let epoch = cluster.partition("t", 0).leader_epoch;
    for version in versions(ApiKey::OffsetForLeaderEpoch) {
        let mut end_of = |topic: &str, current_leader_epoch, leader_epoch| -> EpochEndOffset {
            let request = OffsetForLeaderEpochRequest {
                replica_id: -1,
                topics: vec![OffsetForLeaderTopic {
                    topic: topic.to_owned(),
                    partitions: vec![OffsetForLeaderPartition {
                        partition: 0,
                        current_leader_epoch,
                        leader_epoch,
                    }],
                }],
            };
            wire.call(version, &request).unwrap().topics[0]
                .partitions
                .remove(0)
        };
        let current = end_of("t", epoch, epoch);
        assert_eq!(
            (current.error_code, current.leader_epoch, current.end_offset),
            (0, epoch, 4)
        );
        let future = end_of("t", epoch, epoch + 5);
        assert_eq!(
            (future.error_code, future.end_offset),
            (0, -1),
            "v{version}: nothing is known"
        );
        let ahead = end_of("t", epoch + 1, epoch);
        assert_eq!(code(ahead.error_code), ErrorCode::UnknownLeaderEpoch);
        let unknown = end_of("nowhere", -1, 0);
        assert_eq!(code(unknown.error_code), ErrorCode::UnknownTopicOrPartition);
    }
}
