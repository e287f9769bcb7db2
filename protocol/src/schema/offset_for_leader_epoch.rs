//! `OffsetForLeaderEpoch` (23): where a leader epoch ended, so that a reader can find where its log parts
//! from the leader's.

use crate::schema::define::schema;

schema! {
    OffsetForLeaderEpoch [2..=4] flexible 4;

    request OffsetForLeaderEpochRequest {
        /// -1 for a client, -2 where the version cannot say.
        replica_id: i32 [3..] = -2, ignorable;
        topics: Vec<OffsetForLeaderTopic> [0..];
    }

    response OffsetForLeaderEpochResponse {
        throttle_time_ms: i32 [2..], ignorable;
        topics: Vec<OffsetForLeaderTopicResult> [0..];
    }

    struct OffsetForLeaderTopic {
        topic: String [0..];
        partitions: Vec<OffsetForLeaderPartition> [0..];
    }

    struct OffsetForLeaderPartition {
        partition: i32 [0..];
        current_leader_epoch: i32 [2..] = -1, ignorable;
        leader_epoch: i32 [0..];
    }

    struct OffsetForLeaderTopicResult {
        topic: String [0..];
        partitions: Vec<EpochEndOffset> [0..];
    }

    struct EpochEndOffset {
        error_code: i16 [0..];
        partition: i32 [0..];
        leader_epoch: i32 [1..] = -1, ignorable;
        end_offset: i64 [0..] = -1;
    }
}
