//! `UnregisterBroker` (64): a broker that will not come back is forgotten.

use crate::schema::define::schema;

schema! {
    UnregisterBroker [0..=0] flexible 0;

    request UnregisterBrokerRequest {
        broker_id: i32 [0..];
    }

    response UnregisterBrokerResponse {
        throttle_time_ms: i32 [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] = None;
    }
}
