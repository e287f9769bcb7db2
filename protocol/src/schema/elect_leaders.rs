//! `ElectLeaders` (43).

use crate::schema::define::schema;

schema! {
    ElectLeaders [0..=2] flexible 2;

    request ElectLeadersRequest {
        /// 0: the preferred replica; 1: any live replica where there is no leader.
        election_type: i8 [1..];
        /// Null: every partition there is.
        topic_partitions: Option<Vec<TopicPartitions>> [0..] = Some(Vec::new());
        timeout_ms: i32 [0..] = 60_000;
    }

    response ElectLeadersResponse {
        throttle_time_ms: i32 [0..];
        error_code: i16 [1..];
        replica_election_results: Vec<ReplicaElectionResult> [0..];
    }

    struct TopicPartitions {
        topic: String [0..];
        partitions: Vec<i32> [0..];
    }

    struct ReplicaElectionResult {
        topic: String [0..];
        partition_result: Vec<PartitionResult> [0..];
    }

    struct PartitionResult {
        partition_id: i32 [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] = None;
    }
}
