//! `DescribeGroups` (15): classic groups and their members.

use bytes::Bytes;

use crate::schema::define::schema;

schema! {
    DescribeGroups [0..=6] flexible 5;

    request DescribeGroupsRequest {
        groups: Vec<String> [0..];
        include_authorized_operations: bool [3..];
    }

    response DescribeGroupsResponse {
        throttle_time_ms: i32 [1..], ignorable;
        groups: Vec<DescribedGroup> [0..];
    }

    struct DescribedGroup {
        error_code: i16 [0..];
        error_message: Option<String> [6..] = None;
        group_id: String [0..];
        group_state: String [0..];
        protocol_type: String [0..];
        protocol_data: String [0..];
        members: Vec<DescribedGroupMember> [0..];
        /// A set of bits; `i32::MIN` when it was not asked for.
        authorized_operations: i32 [3..] = i32::MIN;
    }

    struct DescribedGroupMember {
        member_id: String [0..];
        group_instance_id: Option<String> [4..] = None, ignorable;
        client_id: String [0..];
        client_host: String [0..];
        /// What the member sent for the chosen protocol; empty unless the group is stable.
        member_metadata: Bytes [0..];
        /// Empty unless the group is stable.
        member_assignment: Bytes [0..];
    }
}
