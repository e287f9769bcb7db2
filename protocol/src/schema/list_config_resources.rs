//! `ListConfigResources` (74): what has a configuration; in version 0 only client metrics, its first use.

use crate::schema::define::schema;

schema! {
    ListConfigResources [0..=1] flexible 0;

    request ListConfigResourcesRequest {
        /// None: all types there are.
        resource_types: Vec<i8> [1..];
    }

    response ListConfigResourcesResponse {
        throttle_time_ms: i32 [0..];
        error_code: i16 [0..];
        config_resources: Vec<ListedConfigResource> [0..];
    }

    struct ListedConfigResource {
        resource_name: String [0..];
        resource_type: i8 [1..] = 16, ignorable;
    }
}
