//! `DescribeQuorum` (55): who leads, votes and follows the metadata log, for tools.

use crate::ids::Uuid;
use crate::schema::define::schema;

schema! {
    DescribeQuorum [0..=2] flexible 0;

    request DescribeQuorumRequest {
        topics: Vec<DescribeQuorumTopic> [0..];
    }

    response DescribeQuorumResponse {
        error_code: i16 [0..];
        error_message: Option<String> [2..] = None, ignorable;
        topics: Vec<DescribeQuorumTopicResult> [0..];
        nodes: Vec<DescribeQuorumNode> [2..], ignorable;
    }

    struct DescribeQuorumTopic {
        topic_name: String [0..];
        partitions: Vec<DescribeQuorumPartition> [0..];
    }

    struct DescribeQuorumPartition {
        partition_index: i32 [0..];
    }

    struct DescribeQuorumTopicResult {
        topic_name: String [0..];
        partitions: Vec<DescribeQuorumPartitionResult> [0..];
    }

    struct DescribeQuorumPartitionResult {
        partition_index: i32 [0..];
        error_code: i16 [0..];
        error_message: Option<String> [2..] = None, ignorable;
        leader_id: i32 [0..];
        leader_epoch: i32 [0..];
        high_watermark: i64 [0..];
        current_voters: Vec<DescribeQuorumReplica> [0..];
        observers: Vec<DescribeQuorumReplica> [0..];
    }

    struct DescribeQuorumReplica {
        replica_id: i32 [0..];
        replica_directory_id: Uuid [2..], ignorable;
        log_end_offset: i64 [0..];
        last_fetch_timestamp: i64 [1..] = -1, ignorable;
        last_caught_up_timestamp: i64 [1..] = -1, ignorable;
    }

    struct DescribeQuorumNode {
        node_id: i32 [2..];
        listeners: Vec<DescribeQuorumListener> [2..];
    }

    struct DescribeQuorumListener {
        name: String [2..];
        host: String [2..];
        port: u16 [2..];
    }
}
