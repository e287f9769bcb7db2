//! `DescribeConfigs` (32).

use crate::schema::define::schema;

schema! {
    DescribeConfigs [1..=4] flexible 4;

    request DescribeConfigsRequest {
        resources: Vec<DescribeConfigsResource> [0..];
        include_synonyms: bool [1..];
        include_documentation: bool [3..];
    }

    response DescribeConfigsResponse {
        throttle_time_ms: i32 [0..];
        results: Vec<DescribeConfigsResult> [0..];
    }

    struct DescribeConfigsResource {
        /// 2: topic; 4: broker; 8: broker logger.
        resource_type: i8 [0..];
        resource_name: String [0..];
        /// Null means all.
        configuration_keys: Option<Vec<String>> [0..] = Some(Vec::new());
    }

    struct DescribeConfigsResult {
        error_code: i16 [0..];
        error_message: Option<String> [0..] = None;
        resource_type: i8 [0..];
        resource_name: String [0..];
        configs: Vec<DescribeConfigsResourceResult> [0..];
    }

    struct DescribeConfigsResourceResult {
        name: String [0..];
        value: Option<String> [0..] = Some(String::new());
        read_only: bool [0..];
        config_source: i8 [1..] = -1, ignorable;
        is_sensitive: bool [0..];
        synonyms: Vec<DescribeConfigsSynonym> [1..], ignorable;
        config_type: i8 [3..], ignorable;
        documentation: Option<String> [3..] = None, ignorable;
    }

    struct DescribeConfigsSynonym {
        name: String [1..];
        value: Option<String> [1..] = Some(String::new());
        source: i8 [1..];
    }
}
