//! `AlterConfigs` (33): every entry of a resource at once. Its successor is `IncrementalAlterConfigs`.

use crate::schema::define::schema;

schema! {
    AlterConfigs [0..=2] flexible 2;

    request AlterConfigsRequest {
        resources: Vec<AlterConfigsResource> [0..];
        validate_only: bool [0..];
    }

    response AlterConfigsResponse {
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
        value: Option<String> [0..] = Some(String::new());
    }

    struct AlterConfigsResourceResponse {
        error_code: i16 [0..];
        error_message: Option<String> [0..] = None;
        resource_type: i8 [0..];
        resource_name: String [0..];
    }
}
