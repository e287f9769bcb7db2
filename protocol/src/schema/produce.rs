//! Produce (0): records to append.
//!
//! Kafka advertises 0 and up (old librdkafka turns compression off otherwise) and reads 3 and up.

use bytes::Bytes;

use crate::ids::Uuid;
use crate::schema::define::schema;

schema! {
    Produce [3..=13] flexible 9;

    request ProduceRequest {
        transactional_id: Option<String> [3..] = None;
        /// 0: no answer wanted; 1: the leader has it; -1: all in-sync replicas have it.
        acks: i16 [0..];
        timeout_ms: i32 [0..];
        topic_data: Vec<TopicProduceData> [0..];
    }

    response ProduceResponse {
        responses: Vec<TopicProduceResponse> [0..];
        throttle_time_ms: i32 [1..], ignorable;
        /// Where the leaders named in `current_leader` can be reached.
        node_endpoints: Vec<NodeEndpoint> [10..] tag 0, ignorable;
    }

    struct TopicProduceData {
        name: String [0..=12], ignorable;
        topic_id: Uuid [13..], ignorable;
        partition_data: Vec<PartitionProduceData> [0..];
    }

    struct PartitionProduceData {
        index: i32 [0..];
        records: Option<Bytes> [0..] = Some(Bytes::new());
    }

    struct TopicProduceResponse {
        name: String [0..=12], ignorable;
        topic_id: Uuid [13..], ignorable;
        partition_responses: Vec<PartitionProduceResponse> [0..];
    }

    struct PartitionProduceResponse {
        index: i32 [0..];
        error_code: i16 [0..];
        base_offset: i64 [0..];
        /// -1 unless the topic stamps records with the time of appending.
        log_append_time_ms: i64 [2..] = -1, ignorable;
        log_start_offset: i64 [5..] = -1, ignorable;
        record_errors: Vec<BatchIndexAndErrorMessage> [8..], ignorable;
        error_message: Option<String> [8..] = None, ignorable;
        current_leader: LeaderIdAndEpoch [10..] tag 0, ignorable;
    }

    struct BatchIndexAndErrorMessage {
        batch_index: i32 [8..];
        batch_index_error_message: Option<String> [8..] = None;
    }

    struct LeaderIdAndEpoch {
        leader_id: i32 [10..] = -1;
        leader_epoch: i32 [10..] = -1;
    }

    struct NodeEndpoint {
        node_id: i32 [10..];
        host: String [10..];
        port: i32 [10..];
        rack: Option<String> [10..] = None;
    }
}
