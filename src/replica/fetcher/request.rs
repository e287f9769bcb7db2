//! A follower's fetch on the wire: positions to request, response to answers. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use drave_protocol::ErrorCode;
use drave_protocol::ids::{LeaderEpoch, Offset, TopicId, TopicIdPartition};
use drave_protocol::schema::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData, ReplicaState,
};

use crate::replica::follower::{Answer, Position};
use crate::replica::partition::{FollowerId, Partition};

/// What was asked, to hold the answer against.
pub(super) type Asked = BTreeMap<TopicIdPartition, (Arc<Partition>, Position)>;

/// Bounds of one fetch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) max_wait_ms: i32,
    pub(super) max_bytes: i32,
    pub(super) partition_max_bytes: i32,
}

pub(super) fn encode(asked: &Asked, follower: FollowerId, limits: Limits) -> FetchRequest {
    let mut topics: BTreeMap<TopicId, Vec<FetchPartition>> = BTreeMap::new();
    for (id, (_, position)) in asked {
        topics.entry(id.topic_id).or_default().push(FetchPartition {
            partition: id.partition,
            current_leader_epoch: position.leader_epoch.0,
            fetch_offset: position.fetch_offset.0,
            last_fetched_epoch: position.last_fetched_epoch.map_or(-1, |it| it.0),
            log_start_offset: position.log_start_offset.0,
            partition_max_bytes: limits.partition_max_bytes,
            ..FetchPartition::default()
        });
    }
    let topics = topics.into_iter().map(|(topic_id, partitions)| FetchTopic {
        topic_id,
        partitions,
        ..FetchTopic::default()
    });
    FetchRequest {
        replica_state: ReplicaState {
            replica_id: follower.node.0,
            replica_epoch: follower.broker_epoch.0,
        },
        max_wait_ms: limits.max_wait_ms,
        min_bytes: 1,
        max_bytes: limits.max_bytes,
        session_epoch: -1,
        topics: topics.collect(),
        ..FetchRequest::default()
    }
}

/// The answers by partition; one that was not asked for is left out.
pub(super) fn decode(response: FetchResponse) -> Vec<(TopicIdPartition, Answer)> {
    let mut answers = Vec::new();
    for topic in response.responses {
        for data in topic.partitions {
            let id = TopicIdPartition {
                topic_id: topic.topic_id,
                partition: data.partition_index,
            };
            answers.push((id, answer(data)));
        }
    }
    answers
}

fn answer(data: PartitionData) -> Answer {
    let parted = (
        LeaderEpoch(data.diverging_epoch.epoch),
        Offset(data.diverging_epoch.end_offset),
    );
    Answer {
        error: ErrorCode::from_number(data.error_code),
        high_watermark: Offset(data.high_watermark),
        diverging: (parted.1 >= Offset::ZERO).then_some(parted),
        records: data.records.unwrap_or_default().into_bytes(),
    }
}
