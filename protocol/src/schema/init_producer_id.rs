//! `InitProducerId` (22): an id, and an epoch, for an idempotent or transactional producer.

use crate::schema::define::schema;

schema! {
    InitProducerId [0..=5] flexible 2;

    request InitProducerIdRequest {
        transactional_id: Option<String> [0..] = None;
        transaction_timeout_ms: i32 [0..];
        /// What the producer has so far; -1 when it has none.
        producer_id: i64 [3..] = -1;
        producer_epoch: i16 [3..] = -1;
    }

    response InitProducerIdResponse {
        throttle_time_ms: i32 [0..], ignorable;
        error_code: i16 [0..];
        producer_id: i64 [0..] = -1;
        producer_epoch: i16 [0..];
    }
}
