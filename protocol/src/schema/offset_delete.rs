//! `OffsetDelete` (47): committed offsets are forgotten. Its only version is not a flexible one.

use crate::schema::define::schema;

schema! {
    OffsetDelete [0..=0] flexible 1;

    request OffsetDeleteRequest {
        group_id: String [0..];
        topics: Vec<OffsetDeleteRequestTopic> [0..];
    }

    response OffsetDeleteResponse {
        error_code: i16 [0..];
        throttle_time_ms: i32 [0..], ignorable;
        topics: Vec<OffsetDeleteResponseTopic> [0..];
    }

    struct OffsetDeleteRequestTopic {
        name: String [0..];
        partitions: Vec<OffsetDeleteRequestPartition> [0..];
    }

    struct OffsetDeleteRequestPartition {
        partition_index: i32 [0..];
    }

    struct OffsetDeleteResponseTopic {
        name: String [0..];
        partitions: Vec<OffsetDeleteResponsePartition> [0..];
    }

    struct OffsetDeleteResponsePartition {
        partition_index: i32 [0..];
        error_code: i16 [0..];
    }
}
