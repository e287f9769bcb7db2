//! `DescribeLogDirs` (35).

use crate::schema::define::schema;

schema! {
    DescribeLogDirs [1..=4] flexible 2;

    request DescribeLogDirsRequest {
        /// Null: every one.
        topics: Option<Vec<DescribableLogDirTopic>> [0..] = Some(Vec::new());
    }

    response DescribeLogDirsResponse {
        throttle_time_ms: i32 [0..];
        error_code: i16 [3..], ignorable;
        results: Vec<DescribeLogDirsResult> [0..];
    }

    struct DescribableLogDirTopic {
        topic: String [0..];
        partitions: Vec<i32> [0..];
    }

    struct DescribeLogDirsResult {
        error_code: i16 [0..];
        log_dir: String [0..];
        topics: Vec<DescribeLogDirsTopic> [0..];
        /// Of the disk; -1: unknown.
        total_bytes: i64 [4..] = -1, ignorable;
        usable_bytes: i64 [4..] = -1, ignorable;
    }

    struct DescribeLogDirsTopic {
        name: String [0..];
        partitions: Vec<DescribeLogDirsPartition> [0..];
    }

    struct DescribeLogDirsPartition {
        partition_index: i32 [0..];
        partition_size: i64 [0..];
        /// How far the replica is behind the high watermark.
        offset_lag: i64 [0..];
        /// Whether it is on its way to this directory from another.
        is_future_key: bool [1..];
    }
}
