//! `AlterPartitionReassignments` (45).

use crate::schema::define::schema;

schema! {
    AlterPartitionReassignments [0..=1] flexible 0;

    request AlterPartitionReassignmentsRequest {
        timeout_ms: i32 [0..] = 60_000;
        allow_replication_factor_change: bool [1..] = true;
        topics: Vec<ReassignableTopic> [0..];
    }

    response AlterPartitionReassignmentsResponse {
        throttle_time_ms: i32 [0..];
        allow_replication_factor_change: bool [1..] = true, ignorable;
        error_code: i16 [0..];
        error_message: Option<String> [0..] = None;
        responses: Vec<ReassignableTopicResponse> [0..];
    }

    struct ReassignableTopic {
        name: String [0..];
        partitions: Vec<ReassignablePartition> [0..];
    }

    struct ReassignablePartition {
        partition_index: i32 [0..];
        /// Null: back to where they were.
        replicas: Option<Vec<i32>> [0..] = None;
    }

    struct ReassignableTopicResponse {
        name: String [0..];
        partitions: Vec<ReassignablePartitionResponse> [0..];
    }

    struct ReassignablePartitionResponse {
        partition_index: i32 [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] = None;
    }
}
