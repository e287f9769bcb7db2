//! `CreatePartitions` (37).

use crate::schema::define::schema;

schema! {
    CreatePartitions [0..=3] flexible 2;

    request CreatePartitionsRequest {
        topics: Vec<CreatePartitionsTopic> [0..];
        timeout_ms: i32 [0..];
        validate_only: bool [0..];
    }

    response CreatePartitionsResponse {
        throttle_time_ms: i32 [0..];
        results: Vec<CreatePartitionsTopicResult> [0..];
    }

    struct CreatePartitionsTopic {
        name: String [0..];
        /// Partitions the topic has afterwards.
        count: i32 [0..];
        /// One per new partition; null: the broker places.
        assignments: Option<Vec<CreatePartitionsAssignment>> [0..] = Some(Vec::new());
    }

    struct CreatePartitionsAssignment {
        broker_ids: Vec<i32> [0..];
    }

    struct CreatePartitionsTopicResult {
        name: String [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] = None;
    }
}
