//! `DeleteGroups` (42): empty groups go, with their offsets.

use crate::schema::define::schema;

schema! {
    DeleteGroups [0..=2] flexible 2;

    request DeleteGroupsRequest {
        groups_names: Vec<String> [0..];
    }

    response DeleteGroupsResponse {
        throttle_time_ms: i32 [0..];
        results: Vec<DeletableGroupResult> [0..];
    }

    struct DeletableGroupResult {
        group_id: String [0..];
        error_code: i16 [0..];
    }
}
