//! `FindCoordinator` (10): the broker that coordinates a group, a transaction or a share group.

use crate::schema::define::schema;

schema! {
    FindCoordinator [0..=6] flexible 3;

    request FindCoordinatorRequest {
        key: String [0..=3];
        /// 0: group; 1: transaction; 2: share group.
        key_type: i8 [1..];
        coordinator_keys: Vec<String> [4..];
    }

    response FindCoordinatorResponse {
        throttle_time_ms: i32 [1..], ignorable;
        error_code: i16 [0..=3];
        error_message: Option<String> [1..=3] = None, ignorable;
        node_id: i32 [0..=3];
        host: String [0..=3];
        port: i32 [0..=3];
        coordinators: Vec<Coordinator> [4..];
    }

    struct Coordinator {
        key: String [4..];
        node_id: i32 [4..];
        host: String [4..];
        port: i32 [4..];
        error_code: i16 [4..];
        error_message: Option<String> [4..] = None, ignorable;
    }
}
