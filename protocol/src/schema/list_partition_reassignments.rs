//! `ListPartitionReassignments` (46).

use crate::schema::define::schema;

schema! {
    ListPartitionReassignments [0..=0] flexible 0;

    request ListPartitionReassignmentsRequest {
        timeout_ms: i32 [0..] = 60_000;
        /// Null: every one there is.
        topics: Option<Vec<ListPartitionReassignmentsTopics>> [0..] = None;
    }

    response ListPartitionReassignmentsResponse {
        throttle_time_ms: i32 [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] = None;
        topics: Vec<OngoingTopicReassignment> [0..];
    }

    struct ListPartitionReassignmentsTopics {
        name: String [0..];
        partition_indexes: Vec<i32> [0..];
    }

    struct OngoingTopicReassignment {
        name: String [0..];
        partitions: Vec<OngoingPartitionReassignment> [0..];
    }

    struct OngoingPartitionReassignment {
        partition_index: i32 [0..];
        replicas: Vec<i32> [0..];
        adding_replicas: Vec<i32> [0..];
        removing_replicas: Vec<i32> [0..];
    }
}
