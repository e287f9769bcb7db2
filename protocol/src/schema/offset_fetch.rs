//! `OffsetFetch` (9): committed offsets; from version 8 of several groups.

use crate::ids::Uuid;
use crate::schema::define::schema;

schema! {
    OffsetFetch [1..=10] flexible 6;

    request OffsetFetchRequest {
        group_id: String [1..=7];
        /// Null: every topic there is an offset of.
        topics: Option<Vec<OffsetFetchRequestTopic>> [1..=7] null [2..=7] = Some(Vec::new());
        groups: Vec<OffsetFetchRequestGroup> [8..];
        /// Whether an offset with a transaction pending is refused instead of answered.
        require_stable: bool [7..];
    }

    response OffsetFetchResponse {
        throttle_time_ms: i32 [3..], ignorable;
        topics: Vec<OffsetFetchResponseTopic> [1..=7];
        error_code: i16 [2..=7], ignorable;
        groups: Vec<OffsetFetchResponseGroup> [8..];
    }

    struct OffsetFetchRequestTopic {
        name: String [1..=7];
        partition_indexes: Vec<i32> [1..=7];
    }

    struct OffsetFetchRequestGroup {
        group_id: String [8..];
        member_id: Option<String> [9..] = None, ignorable;
        member_epoch: i32 [9..] = -1, ignorable;
        /// Null: every topic there is an offset of.
        topics: Option<Vec<OffsetFetchRequestTopics>> [8..] = Some(Vec::new());
    }

    struct OffsetFetchRequestTopics {
        name: String [8..=9], ignorable;
        topic_id: Uuid [10..], ignorable;
        partition_indexes: Vec<i32> [8..];
    }

    struct OffsetFetchResponseTopic {
        name: String [1..=7];
        partitions: Vec<OffsetFetchResponsePartition> [1..=7];
    }

    struct OffsetFetchResponsePartition {
        partition_index: i32 [1..=7];
        committed_offset: i64 [1..=7];
        committed_leader_epoch: i32 [5..=7] = -1, ignorable;
        metadata: Option<String> [1..=7] = Some(String::new());
        error_code: i16 [1..=7];
    }

    struct OffsetFetchResponseGroup {
        group_id: String [8..];
        topics: Vec<OffsetFetchResponseTopics> [8..];
        error_code: i16 [8..];
    }

    struct OffsetFetchResponseTopics {
        name: String [8..=9], ignorable;
        topic_id: Uuid [10..], ignorable;
        partitions: Vec<OffsetFetchResponsePartitions> [8..];
    }

    struct OffsetFetchResponsePartitions {
        partition_index: i32 [8..];
        committed_offset: i64 [8..];
        committed_leader_epoch: i32 [8..] = -1, ignorable;
        metadata: Option<String> [8..] = Some(String::new());
        error_code: i16 [8..];
    }
}
