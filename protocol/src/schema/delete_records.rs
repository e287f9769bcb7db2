//! `DeleteRecords` (21).

use crate::schema::define::schema;

schema! {
    DeleteRecords [0..=2] flexible 2;

    request DeleteRecordsRequest {
        topics: Vec<DeleteRecordsTopic> [0..];
        timeout_ms: i32 [0..];
    }

    response DeleteRecordsResponse {
        throttle_time_ms: i32 [0..], ignorable;
        topics: Vec<DeleteRecordsTopicResult> [0..];
    }

    struct DeleteRecordsTopic {
        name: String [0..];
        partitions: Vec<DeleteRecordsPartition> [0..];
    }

    struct DeleteRecordsPartition {
        partition_index: i32 [0..];
        /// The first offset that stays; -1 for the high watermark.
        offset: i64 [0..];
    }

    struct DeleteRecordsTopicResult {
        name: String [0..];
        partitions: Vec<DeleteRecordsPartitionResult> [0..];
    }

    struct DeleteRecordsPartitionResult {
        partition_index: i32 [0..];
        /// Below it no live replica has anything; -1 with an error.
        low_watermark: i64 [0..];
        error_code: i16 [0..];
    }
}
