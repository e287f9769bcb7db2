//! `OffsetForLeaderEpoch`: where an epoch ended here, so that a consumer notices a truncated log (KIP-320).

use drave_protocol::ids::{LeaderEpoch, TopicId};
use drave_protocol::schema::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition, OffsetForLeaderTopicResult,
};

use crate::cluster::ClusterView;
use crate::replica::Replicas;
use crate::server::handlers::data::naming::{self, TopicsBy};

pub(crate) fn handle(
    replicas: &Replicas,
    view: &ClusterView,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let asked = topic.partitions.iter();
        OffsetForLeaderTopicResult {
            partitions: asked
                .map(|asked| end_offset(replicas, view, &topic.topic, asked))
                .collect(),
            topic: topic.topic,
        }
    });
    OffsetForLeaderEpochResponse {
        topics: topics.collect(),
        ..OffsetForLeaderEpochResponse::default()
    }
}

fn end_offset(
    replicas: &Replicas,
    view: &ClusterView,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> EpochEndOffset {
    let unknown = EpochEndOffset {
        partition: asked.partition,
        ..EpochEndOffset::default()
    };
    let current = asked.current_leader_epoch;
    let current = (current >= 0).then_some(LeaderEpoch(current));
    let called = (topic, TopicId::ZERO);
    let found = naming::resolve(view, TopicsBy::Name, called, asked.partition);
    let result = found.and_then(|partition| {
        replicas
            .epoch_end_offset(partition, current, LeaderEpoch(asked.leader_epoch))
            .map_err(|error| naming::refusal(&error))
    });
    match result {
        Ok(Some((epoch, end_offset))) => EpochEndOffset {
            leader_epoch: epoch.0,
            end_offset: end_offset.0,
            ..unknown
        },
        Ok(None) => unknown,
        Err(code) => EpochEndOffset {
            error_code: code.number(),
            ..unknown
        },
    }
}
