//! `DescribeLogDirs`: what lies in this broker's log directories, and how much room they have. Blocks on the
//! disk for the room; run it where that is allowed.

use std::collections::{BTreeMap, BTreeSet};

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};

use crate::replica::Replicas;
use crate::replica::status::{LogDirStatus, ReplicaStatus};

pub(crate) fn handle(
    replicas: &Replicas,
    request: &DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let wanted = wanted(request);
    let is_wanted = |it: &ReplicaStatus| {
        wanted
            .as_ref()
            .is_none_or(|named| named.contains(&(it.topic.clone(), it.partition)))
    };
    let mut statuses = replicas.describe();
    statuses.retain(is_wanted);
    let results = replicas.log_dirs().into_iter();
    DescribeLogDirsResponse {
        results: results.map(|dir| result(dir, &statuses)).collect(),
        ..DescribeLogDirsResponse::default()
    }
}

/// The answer of one who could not look.
pub(crate) fn failed() -> DescribeLogDirsResponse {
    DescribeLogDirsResponse {
        error_code: ErrorCode::UnknownServerError.number(),
        ..DescribeLogDirsResponse::default()
    }
}

fn wanted(request: &DescribeLogDirsRequest) -> Option<BTreeSet<(String, i32)>> {
    let topics = request.topics.as_ref()?;
    let named = topics.iter().flat_map(|topic| {
        let name = |partition: &i32| (topic.topic.clone(), *partition);
        topic.partitions.iter().map(name)
    });
    Some(named.collect())
}

fn result(dir: LogDirStatus, statuses: &[ReplicaStatus]) -> DescribeLogDirsResult {
    if dir.offline.is_some() {
        return DescribeLogDirsResult {
            error_code: ErrorCode::KafkaStorageError.number(),
            log_dir: dir.path,
            ..DescribeLogDirsResult::default()
        };
    }
    let mut topics: BTreeMap<&str, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for it in statuses.iter().filter(|it| it.log_dir == dir.path) {
        let partition = DescribeLogDirsPartition {
            partition_index: it.partition,
            partition_size: bytes(it.size_bytes),
            offset_lag: it.high_watermark.saturating_sub(it.log_end_offset).max(0),
            is_future_key: false,
        };
        topics.entry(&it.topic).or_default().push(partition);
    }
    let topic = |(name, partitions): (&str, Vec<DescribeLogDirsPartition>)| DescribeLogDirsTopic {
        name: name.to_owned(),
        partitions,
    };
    let (total, free) = dir.room.unzip();
    DescribeLogDirsResult {
        error_code: ErrorCode::None.number(),
        log_dir: dir.path,
        topics: topics.into_iter().map(topic).collect(),
        total_bytes: total.map_or(-1, bytes),
        usable_bytes: free.map_or(-1, bytes),
    }
}

fn bytes(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
