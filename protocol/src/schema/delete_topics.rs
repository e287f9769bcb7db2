//! `DeleteTopics` (20).

use crate::ids::Uuid;
use crate::schema::define::schema;

schema! {
    DeleteTopics [1..=6] flexible 4;

    request DeleteTopicsRequest {
        topics: Vec<DeleteTopicState> [6..];
        topic_names: Vec<String> [0..=5], ignorable;
        timeout_ms: i32 [0..];
    }

    response DeleteTopicsResponse {
        throttle_time_ms: i32 [1..], ignorable;
        responses: Vec<DeletableTopicResult> [0..];
    }

    struct DeleteTopicState {
        /// Null when the topic is named by its id.
        name: Option<String> [6..] = None;
        topic_id: Uuid [6..];
    }

    struct DeletableTopicResult {
        name: Option<String> [0..] null [6..] = Some(String::new());
        topic_id: Uuid [6..], ignorable;
        error_code: i16 [0..];
        error_message: Option<String> [5..] = None, ignorable;
    }
}
