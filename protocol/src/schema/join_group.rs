//! `JoinGroup` (11): a classic member enters a group, or the next generation of it.

use bytes::Bytes;

use crate::schema::define::schema;

schema! {
    JoinGroup [0..=9] flexible 6;

    request JoinGroupRequest {
        group_id: String [0..];
        /// After so long without a heartbeat the member is dead.
        session_timeout_ms: i32 [0..];
        /// How long others wait for it to come back; before version 1 the session timeout.
        rebalance_timeout_ms: i32 [1..] = -1, ignorable;
        member_id: String [0..];
        group_instance_id: Option<String> [5..] = None;
        protocol_type: String [0..];
        /// What the member can be assigned by, the best first.
        protocols: Vec<JoinGroupRequestProtocol> [0..];
        reason: Option<String> [8..] = None, ignorable;
    }

    response JoinGroupResponse {
        throttle_time_ms: i32 [2..], ignorable;
        error_code: i16 [0..];
        generation_id: i32 [0..] = -1;
        protocol_type: Option<String> [7..] = None, ignorable;
        protocol_name: Option<String> [0..] null [7..] = Some(String::new());
        leader: String [0..];
        /// Whether the leader need not assign: the assignment has not changed (KIP-814).
        skip_assignment: bool [9..];
        member_id: String [0..];
        members: Vec<JoinGroupResponseMember> [0..];
    }

    struct JoinGroupRequestProtocol {
        name: String [0..];
        metadata: Bytes [0..];
    }

    struct JoinGroupResponseMember {
        member_id: String [0..];
        group_instance_id: Option<String> [5..] = None, ignorable;
        metadata: Bytes [0..];
    }
}
