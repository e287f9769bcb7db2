//! `OffsetCommit` (8).

use crate::ids::Uuid;
use crate::schema::define::schema;

schema! {
    OffsetCommit [2..=10] flexible 8;

    request OffsetCommitRequest {
        group_id: String [2..];
        /// The generation of a classic group, the member epoch of another; -1 of nobody's.
        generation_id_or_member_epoch: i32 [2..] = -1, ignorable;
        member_id: String [2..], ignorable;
        group_instance_id: Option<String> [7..] = None;
        /// Once how long the offset is kept; the broker decides now.
        retention_time_ms: i64 [2..=4] = -1, ignorable;
        topics: Vec<OffsetCommitRequestTopic> [2..];
    }

    response OffsetCommitResponse {
        throttle_time_ms: i32 [3..], ignorable;
        topics: Vec<OffsetCommitResponseTopic> [2..];
    }

    struct OffsetCommitRequestTopic {
        name: String [0..=9], ignorable;
        topic_id: Uuid [10..], ignorable;
        partitions: Vec<OffsetCommitRequestPartition> [2..];
    }

    struct OffsetCommitRequestPartition {
        partition_index: i32 [2..];
        committed_offset: i64 [2..];
        committed_leader_epoch: i32 [6..] = -1, ignorable;
        committed_metadata: Option<String> [2..] = Some(String::new());
    }

    struct OffsetCommitResponseTopic {
        name: String [0..=9], ignorable;
        topic_id: Uuid [10..], ignorable;
        partitions: Vec<OffsetCommitResponsePartition> [2..];
    }

    struct OffsetCommitResponsePartition {
        partition_index: i32 [2..];
        error_code: i16 [2..];
    }
}
