//! `ListGroups` (16): the groups one broker coordinates.

use crate::schema::define::schema;

schema! {
    ListGroups [0..=5] flexible 3;

    request ListGroupsRequest {
        /// Empty: whatever the state.
        states_filter: Vec<String> [4..];
        /// Empty: whatever the type.
        types_filter: Vec<String> [5..];
    }

    response ListGroupsResponse {
        throttle_time_ms: i32 [1..], ignorable;
        error_code: i16 [0..];
        groups: Vec<ListedGroup> [0..];
    }

    struct ListedGroup {
        group_id: String [0..];
        protocol_type: String [0..];
        group_state: String [4..], ignorable;
        group_type: String [5..], ignorable;
    }
}
