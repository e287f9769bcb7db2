//! `DescribeProducers` (61): what a partition's leader remembers of producers.

use crate::schema::define::schema;

schema! {
    DescribeProducers [0..=0] flexible 0;

    request DescribeProducersRequest {
        topics: Vec<DescribeProducersTopic> [0..];
    }

    response DescribeProducersResponse {
        throttle_time_ms: i32 [0..];
        topics: Vec<DescribeProducersTopicResponse> [0..];
    }

    struct DescribeProducersTopic {
        name: String [0..];
        partition_indexes: Vec<i32> [0..];
    }

    struct DescribeProducersTopicResponse {
        name: String [0..];
        partitions: Vec<DescribeProducersPartitionResponse> [0..];
    }

    struct DescribeProducersPartitionResponse {
        partition_index: i32 [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] = None;
        active_producers: Vec<ProducerState> [0..];
    }

    struct ProducerState {
        producer_id: i64 [0..];
        producer_epoch: i32 [0..];
        last_sequence: i32 [0..] = -1;
        last_timestamp: i64 [0..] = -1;
        coordinator_epoch: i32 [0..];
        /// -1 unless a transaction is open.
        current_txn_start_offset: i64 [0..] = -1;
    }
}
