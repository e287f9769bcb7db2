//! `DrainBroker` (20000): a broker gives up its leaderships, or may take them again. Not one of Kafka's.

use crate::schema::define::schema;

schema! {
    DrainBroker [0..=0] flexible 0;

    request DrainBrokerRequest {
        broker_id: i32 [0..];
        /// Whether it is to be drained; if not, it serves as any other again.
        drained: bool [0..];
        timeout_ms: i32 [0..] = 60_000;
    }

    response DrainBrokerResponse {
        throttle_time_ms: i32 [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] = None;
        /// Partitions it still leads, because nobody else in sync can.
        leaders: i32 [0..];
        /// Replicas assigned to it.
        replicas: i32 [0..];
    }
}
