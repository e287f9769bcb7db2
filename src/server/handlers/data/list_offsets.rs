//! `ListOffsets`: the first, the last, or the offset of a moment in time.

use std::collections::BTreeSet;

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{LeaderEpoch, TopicId, TopicIdPartition};
use drave_protocol::schema::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};

use crate::cluster::ClusterView;
use crate::replica::{Isolation, ListedOffset, OffsetQuery, Replicas};
use crate::server::context::RequestContext;
use crate::server::handlers::data::naming::{self, TopicsBy};
use crate::tasks::Tasks;

const NOTHING: i64 = -1;
/// First version that has room for the epoch; older ones must not carry it.
const LEADER_EPOCH_SINCE: i16 = 4;

/// What a timestamp on the wire asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Query(OffsetQuery),
    /// An offset in a tier of storage we do not have: there is none.
    Tiered,
}

/// Finding a moment in time reads the disk, so the whole request runs where it may block.
pub(crate) async fn handle(
    ctx: &RequestContext,
    replicas: &Replicas,
    tasks: &Tasks,
    view: &ClusterView,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let version = ctx.version;
    let (replicas, view) = (replicas.clone(), view.clone());
    let listed = tasks
        .run_blocking(move || list_all(version, &replicas, &view, request))
        .await;
    // Only a node that stops gives no answer.
    listed.unwrap_or_default()
}

fn list_all(
    version: i16,
    replicas: &Replicas,
    view: &ClusterView,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let isolation = Isolation::of_level(request.isolation_level);
    let mut seen = BTreeSet::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let called = (topic.name.as_str(), TopicId::ZERO);
            let found = naming::resolve(view, TopicsBy::Name, called, asked.partition_index);
            let result = found.and_then(|partition| {
                if !seen.insert(partition) {
                    return Err(ErrorCode::InvalidRequest);
                }
                list((version, isolation), replicas, partition, &asked)
            });
            partitions.push(response(version, asked.partition_index, result));
        }
        topics.push(ListOffsetsTopicResponse {
            name: topic.name,
            partitions,
        });
    }
    ListOffsetsResponse {
        topics,
        ..ListOffsetsResponse::default()
    }
}

fn list(
    (version, isolation): (i16, Isolation),
    replicas: &Replicas,
    partition: TopicIdPartition,
    asked: &ListOffsetsPartition,
) -> Result<Option<ListedOffset>, ErrorCode> {
    let epoch = asked.current_leader_epoch;
    let epoch = (epoch >= 0).then_some(LeaderEpoch(epoch));
    let code = |error| naming::refusal(&error);
    match query(version, asked.timestamp)? {
        Asked::Query(query) => replicas
            .list_offset(partition, query, isolation, epoch)
            .map_err(code),
        // Asked all the same: who is not the leader must not say that there is nothing.
        Asked::Tiered => replicas
            .list_offset(partition, OffsetQuery::Earliest, isolation, epoch)
            .map(|_| None)
            .map_err(code),
    }
}

/// Each special timestamp came with a version; sent in an older one it is a mistake.
fn query(version: i16, timestamp: i64) -> Result<Asked, ErrorCode> {
    let (asked, since) = match timestamp {
        -1 => (Asked::Query(OffsetQuery::Latest), 0),
        -2 => (Asked::Query(OffsetQuery::Earliest), 0),
        -3 => (Asked::Query(OffsetQuery::MaxTimestamp), 7),
        // The earliest on local disks: all our disks are.
        -4 => (Asked::Query(OffsetQuery::Earliest), 8),
        -5 => (Asked::Tiered, 9),
        -6 => (Asked::Tiered, 11),
        0.. => (Asked::Query(OffsetQuery::Timestamp(timestamp)), 0),
        _ => return Err(ErrorCode::UnsupportedVersion),
    };
    if version >= since {
        Ok(asked)
    } else {
        Err(ErrorCode::UnsupportedVersion)
    }
}

fn response(
    version: i16,
    partition_index: i32,
    result: Result<Option<ListedOffset>, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    let nothing = ListOffsetsPartitionResponse {
        partition_index,
        ..ListOffsetsPartitionResponse::default()
    };
    match result {
        Ok(Some(listed)) => ListOffsetsPartitionResponse {
            offset: listed.offset.0,
            timestamp: listed.timestamp_ms.unwrap_or(NOTHING),
            leader_epoch: listed
                .leader_epoch
                .filter(|_| version >= LEADER_EPOCH_SINCE)
                .unwrap_or(LeaderEpoch::UNKNOWN)
                .0,
            ..nothing
        },
        Ok(None) => nothing,
        Err(code) => ListOffsetsPartitionResponse {
            error_code: code.number(),
            ..nothing
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_timestamps_need_the_version_they_came_with() {
        let latest = Ok(Asked::Query(OffsetQuery::Latest));
        assert_eq!(query(1, -1), latest);
        assert_eq!(query(6, -3), Err(ErrorCode::UnsupportedVersion));
        assert_eq!(query(7, -3), Ok(Asked::Query(OffsetQuery::MaxTimestamp)));
        assert_eq!(query(9, -5), Ok(Asked::Tiered));
        assert_eq!(query(10, -6), Err(ErrorCode::UnsupportedVersion));
        assert_eq!(query(11, -6), Ok(Asked::Tiered));
        assert_eq!(query(10, -7), Err(ErrorCode::UnsupportedVersion));
        let moment = Ok(Asked::Query(OffsetQuery::Timestamp(0)));
        assert_eq!(query(1, 0), moment);
    }

    #[test]
    fn nothing_found_is_no_error() {
        let none = response(10, 3, Ok(None));
        assert_eq!((none.error_code, none.offset, none.timestamp), (0, -1, -1));
        let refused = response(10, 3, Err(ErrorCode::OffsetNotAvailable));
        assert_eq!((refused.error_code, refused.offset), (78, -1));
    }
}
