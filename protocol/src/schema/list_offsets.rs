//! `ListOffsets` (2): the offset at a timestamp, or at an end of the log.

use crate::schema::define::schema;

schema! {
    ListOffsets [1..=11] flexible 6;

    request ListOffsetsRequest {
        /// -1 for a client.
        replica_id: i32 [0..];
        isolation_level: i8 [2..];
        topics: Vec<ListOffsetsTopic> [0..];
        timeout_ms: i32 [10..], ignorable;
    }

    response ListOffsetsResponse {
        throttle_time_ms: i32 [2..], ignorable;
        topics: Vec<ListOffsetsTopicResponse> [0..];
    }

    struct ListOffsetsTopic {
        name: String [0..];
        partitions: Vec<ListOffsetsPartition> [0..];
    }

    struct ListOffsetsPartition {
        partition_index: i32 [0..];
        current_leader_epoch: i32 [4..] = -1, ignorable;
        /// Milliseconds, or -1 latest, -2 earliest, -3 largest timestamp (7 and up), and below for tiers.
        timestamp: i64 [0..];
    }

    struct ListOffsetsTopicResponse {
        name: String [0..];
        partitions: Vec<ListOffsetsPartitionResponse> [0..];
    }

    struct ListOffsetsPartitionResponse {
        partition_index: i32 [0..];
        error_code: i16 [0..];
        timestamp: i64 [1..] = -1;
        offset: i64 [1..] = -1;
        leader_epoch: i32 [4..] = -1;
    }
}
