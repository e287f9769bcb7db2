//! Fetch (1): records to read, by consumers and by followers.

use crate::ids::Uuid;
use crate::schema::define::schema;
use crate::wire::Records;

schema! {
    Fetch [4..=17] flexible 12;

    request FetchRequest {
        cluster_id: Option<String> [12..] tag 0 = None, ignorable;
        /// The follower's node id; -1 for a consumer. From 15 on in `replica_state`.
        replica_id: i32 [0..=14] = -1;
        replica_state: ReplicaState [15..] tag 1;
        max_wait_ms: i32 [0..];
        min_bytes: i32 [0..];
        max_bytes: i32 [3..] = i32::MAX, ignorable;
        /// 0: read uncommitted; 1: read committed.
        isolation_level: i8 [4..], ignorable;
        session_id: i32 [7..], ignorable;
        /// -1: no session wanted; 0: open one; above: the next fetch of one.
        session_epoch: i32 [7..] = -1, ignorable;
        topics: Vec<FetchTopic> [0..];
        forgotten_topics_data: Vec<ForgottenTopic> [7..];
        rack_id: String [11..], ignorable;
    }

    response FetchResponse {
        throttle_time_ms: i32 [1..], ignorable;
        error_code: i16 [7..], ignorable;
        session_id: i32 [7..];
        responses: Vec<FetchableTopicResponse> [0..];
        node_endpoints: Vec<NodeEndpoint> [16..] tag 0, ignorable;
    }

    struct ReplicaState {
        replica_id: i32 [15..] = -1;
        /// The follower's broker epoch.
        replica_epoch: i64 [15..] = -1;
    }

    struct FetchTopic {
        topic: String [0..=12], ignorable;
        topic_id: Uuid [13..], ignorable;
        partitions: Vec<FetchPartition> [0..];
    }

    struct FetchPartition {
        partition: i32 [0..];
        current_leader_epoch: i32 [9..] = -1, ignorable;
        fetch_offset: i64 [0..];
        /// Leader epoch of the last record the reader has, or -1.
        last_fetched_epoch: i32 [12..] = -1;
        /// The follower's; -1 from consumers.
        log_start_offset: i64 [5..] = -1, ignorable;
        partition_max_bytes: i32 [0..];
        replica_directory_id: Uuid [17..] tag 0, ignorable;
    }

    struct ForgottenTopic {
        topic: String [7..=12], ignorable;
        topic_id: Uuid [13..], ignorable;
        partitions: Vec<i32> [7..];
    }

    struct FetchableTopicResponse {
        topic: String [0..=12], ignorable;
        topic_id: Uuid [13..], ignorable;
        partitions: Vec<PartitionData> [0..];
    }

    struct PartitionData {
        partition_index: i32 [0..];
        error_code: i16 [0..];
        high_watermark: i64 [0..];
        last_stable_offset: i64 [4..] = -1, ignorable;
        log_start_offset: i64 [5..] = -1, ignorable;
        /// Where the reader's log parts from ours; all -1 when it does not.
        diverging_epoch: EpochEndOffset [12..] tag 0, ignorable;
        current_leader: LeaderIdAndEpoch [12..] tag 1, ignorable;
        snapshot_id: SnapshotId [12..] tag 2, ignorable;
        aborted_transactions: Option<Vec<AbortedTransaction>> [4..] = Some(Vec::new()), ignorable;
        preferred_read_replica: i32 [11..] = -1;
        /// Empty, not null, when there are none: old librdkafka stalls on null.
        records: Option<Records> [0..] = Some(Records::default());
    }

    struct EpochEndOffset {
        epoch: i32 [12..] = -1;
        end_offset: i64 [12..] = -1;
    }

    struct LeaderIdAndEpoch {
        leader_id: i32 [12..] = -1;
        leader_epoch: i32 [12..] = -1;
    }

    struct SnapshotId {
        end_offset: i64 [0..] = -1;
        epoch: i32 [0..] = -1;
    }

    struct AbortedTransaction {
        producer_id: i64 [4..];
        first_offset: i64 [4..];
    }

    struct NodeEndpoint {
        node_id: i32 [16..];
        host: String [16..];
        port: i32 [16..];
        rack: Option<String> [16..] = None;
    }
}
