//! `Heartbeat` (12): a classic member lives, and learns whether the group rebalances.

use crate::schema::define::schema;

schema! {
    Heartbeat [0..=4] flexible 4;

    request HeartbeatRequest {
        group_id: String [0..];
        generation_id: i32 [0..];
        member_id: String [0..];
        group_instance_id: Option<String> [3..] = None;
    }

    response HeartbeatResponse {
        throttle_time_ms: i32 [1..], ignorable;
        error_code: i16 [0..];
    }
}
