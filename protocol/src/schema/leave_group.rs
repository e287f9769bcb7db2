//! `LeaveGroup` (13): classic members leave; from version 3 several at once.

use crate::schema::define::schema;

schema! {
    LeaveGroup [0..=5] flexible 4;

    request LeaveGroupRequest {
        group_id: String [0..];
        member_id: String [0..=2];
        members: Vec<MemberIdentity> [3..];
    }

    response LeaveGroupResponse {
        throttle_time_ms: i32 [1..], ignorable;
        error_code: i16 [0..];
        members: Vec<MemberResponse> [3..];
    }

    struct MemberIdentity {
        member_id: String [3..];
        group_instance_id: Option<String> [3..] = None;
        reason: Option<String> [5..] = None, ignorable;
    }

    struct MemberResponse {
        member_id: String [3..];
        group_instance_id: Option<String> [3..] = Some(String::new());
        error_code: i16 [3..];
    }
}
