//! `DescribeTopicPartitions` (75): topics, page by page.

use crate::ids::Uuid;
use crate::schema::define::schema;

schema! {
    DescribeTopicPartitions [0..=0] flexible 0;

    request DescribeTopicPartitionsRequest {
        /// None: all topics.
        topics: Vec<TopicRequest> [0..];
        response_partition_limit: i32 [0..] = 2000;
        cursor: Option<Cursor> [0..] = None;
    }

    response DescribeTopicPartitionsResponse {
        throttle_time_ms: i32 [0..];
        topics: Vec<DescribeTopicPartitionsResponseTopic> [0..];
        next_cursor: Option<Cursor> [0..] = None;
    }

    struct TopicRequest {
        name: String [0..];
    }

    // Where the next page begins.
    struct Cursor {
        topic_name: String [0..];
        partition_index: i32 [0..];
    }

    struct DescribeTopicPartitionsResponseTopic {
        error_code: i16 [0..];
        name: Option<String> [0..] = Some(String::new());
        topic_id: Uuid [0..];
        is_internal: bool [0..];
        partitions: Vec<DescribeTopicPartitionsResponsePartition> [0..];
        /// A set of bits; `i32::MIN` when it was not asked for.
        topic_authorized_operations: i32 [0..] = i32::MIN;
    }

    struct DescribeTopicPartitionsResponsePartition {
        error_code: i16 [0..];
        partition_index: i32 [0..];
        leader_id: i32 [0..];
        leader_epoch: i32 [0..] = -1;
        replica_nodes: Vec<i32> [0..];
        isr_nodes: Vec<i32> [0..];
        eligible_leader_replicas: Option<Vec<i32>> [0..] = None;
        last_known_elr: Option<Vec<i32>> [0..] = None;
        offline_replicas: Vec<i32> [0..];
    }
}
