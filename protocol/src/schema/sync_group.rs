//! `SyncGroup` (14): the leader hands in what each member shall read, each member fetches its part.

use bytes::Bytes;

use crate::schema::define::schema;

schema! {
    SyncGroup [0..=5] flexible 4;

    request SyncGroupRequest {
        group_id: String [0..];
        generation_id: i32 [0..];
        member_id: String [0..];
        group_instance_id: Option<String> [3..] = None;
        protocol_type: Option<String> [5..] = None, ignorable;
        protocol_name: Option<String> [5..] = None, ignorable;
        assignments: Vec<SyncGroupRequestAssignment> [0..];
    }

    response SyncGroupResponse {
        throttle_time_ms: i32 [1..], ignorable;
        error_code: i16 [0..];
        protocol_type: Option<String> [5..] = None, ignorable;
        protocol_name: Option<String> [5..] = None, ignorable;
        assignment: Bytes [0..];
    }

    struct SyncGroupRequestAssignment {
        member_id: String [0..];
        assignment: Bytes [0..];
    }
}
