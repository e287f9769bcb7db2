//! `IncrementalAlterConfigs` (44): single entries set, removed, or changed in part.

use crate::schema::define::schema;

schema! {
    IncrementalAlterConfigs [0..=1] flexible 1;

    request IncrementalAlterConfigsRequest {
        resources: Vec<AlterConfigsResource> [0..];
        validate_only: bool [0..];
    }

    response IncrementalAlterConfigsResponse {
        throttle_time_ms: i32 [0..];
        responses: Vec<AlterConfigsResourceResponse> [0..];
    }

    struct AlterConfigsResource {
        resource_type: i8 [0..];
        resource_name: String [0..];
        configs: Vec<AlterableConfig> [0..];
    }

    struct AlterableConfig {
        name: String [0..];
        /// 0 set, 1 delete, 2 append, 3 subtract.
        config_operation: i8 [0..];
        value: Option<String> [0..] = Some(String::new());
    }

    struct AlterConfigsResourceResponse {
        error_code: i16 [0..];
        error_message: Option<String> [0..] = None;
        resource_type: i8 [0..];
        resource_name: String [0..];
    }
}
