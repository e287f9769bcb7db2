//! A follower's fetch on the wire: positions to request, response to answers. Pure.

use std::collections::BTreeMap;
use std::ops::Bound;

use drave_protocol::ErrorCode;
use drave_protocol::ids::{LeaderEpoch, Offset, TopicIdPartition};
use drave_protocol::schema::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, ForgottenTopic, PartitionData,
    ReplicaState,
};

use crate::replica::follower::Answer;
use crate::replica::partition::FollowerId;

use super::session::Changes;

/// Bounds of one fetch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) max_wait_ms: i32,
    pub(super) max_bytes: i32,
    pub(super) partition_max_bytes: i32,
}

impl Limits {
    /// Nothing to wait for, and no records.
    pub(super) const fn for_news_only(self) -> Self {
        Self {
            max_wait_ms: 0,
            max_bytes: 0,
            ..self
        }
    }
}

/// Asks for those after `last_served` first.
pub(super) fn encode(
    changes: &Changes,
    last_served: Option<TopicIdPartition>,
    follower: FollowerId,
    limits: Limits,
) -> FetchRequest {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for (id, position) in rotated(&changes.ask, last_served) {
        let partition = FetchPartition {
            partition: id.partition,
            current_leader_epoch: position.leader_epoch.0,
            fetch_offset: position.fetch_offset.0,
            last_fetched_epoch: position.last_fetched_epoch.map_or(-1, |it| it.0),
            log_start_offset: position.log_start_offset.0,
            partition_max_bytes: limits.partition_max_bytes,
            ..FetchPartition::default()
        };
        match topics.last_mut().filter(|it| it.topic_id == id.topic_id) {
            Some(topic) => topic.partitions.push(partition),
            None => topics.push(FetchTopic {
                topic_id: id.topic_id,
                partitions: vec![partition],
                ..FetchTopic::default()
            }),
        }
    }
    FetchRequest {
        replica_state: ReplicaState {
            replica_id: follower.node.0,
            replica_epoch: follower.broker_epoch.0,
        },
        max_wait_ms: limits.max_wait_ms,
        min_bytes: 1,
        max_bytes: limits.max_bytes,
        session_id: changes.session_id,
        session_epoch: changes.session_epoch,
        topics,
        forgotten_topics_data: changes.forget.iter().map(forgotten).collect(),
        ..FetchRequest::default()
    }
}

/// Asks where the leader's log starts and ends: by the topic's id, so that none of the same name is meant,
/// in a leader epoch, and both at one moment. No log reaches the offset asked for, so the leader answers where
/// its epoch ends.
pub(super) fn probe(
    id: TopicIdPartition,
    leader_epoch: LeaderEpoch,
    follower: FollowerId,
) -> FetchRequest {
    let beyond = FetchPartition {
        partition: id.partition,
        current_leader_epoch: leader_epoch.0,
        fetch_offset: i64::MAX,
        last_fetched_epoch: leader_epoch.0,
        ..FetchPartition::default()
    };
    FetchRequest {
        replica_state: ReplicaState {
            replica_id: follower.node.0,
            replica_epoch: follower.broker_epoch.0,
        },
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic_id: id.topic_id,
            partitions: vec![beyond],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}

fn forgotten(id: &TopicIdPartition) -> ForgottenTopic {
    ForgottenTopic {
        topic_id: id.topic_id,
        partitions: vec![id.partition],
        ..ForgottenTopic::default()
    }
}

/// All of `map`, from the one after `last` on.
fn rotated<K: Ord + Copy, V>(
    map: &BTreeMap<K, V>,
    last: Option<K>,
) -> impl Iterator<Item = (&K, &V)> {
    let start = last.map_or(Bound::Unbounded, Bound::Excluded);
    let end = last.map_or(Bound::Unbounded, Bound::Included);
    let n_wrapped = if last.is_some() { usize::MAX } else { 0 };
    let wrapped = map.range((Bound::Unbounded, end)).take(n_wrapped);
    map.range((start, Bound::Unbounded)).chain(wrapped)
}

/// The answers by partition.
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
        log_start_offset: Offset(data.log_start_offset),
        diverging: (parted.1 >= Offset::ZERO).then_some(parted),
        records: data.records.unwrap_or_default().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_after_the_last_served_comes_first() {
        let map = BTreeMap::from([(1, 'a'), (3, 'b'), (5, 'c')]);
        let order = |last| rotated(&map, last).map(|(_, it)| *it).collect::<String>();
        assert_eq!(order(None), "abc");
        assert_eq!(order(Some(1)), "bca");
        assert_eq!(order(Some(4)), "cab");
        assert_eq!(order(Some(5)), "abc");
        assert_eq!(order(Some(9)), "abc");
    }
}
