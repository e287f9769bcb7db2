//! `CreateTopics` (19).

use crate::ids::Uuid;
use crate::schema::define::schema;

schema! {
    CreateTopics [2..=7] flexible 5;

    request CreateTopicsRequest {
        topics: Vec<CreatableTopic> [0..];
        timeout_ms: i32 [0..] = 60_000;
        validate_only: bool [1..];
    }

    response CreateTopicsResponse {
        throttle_time_ms: i32 [2..], ignorable;
        topics: Vec<CreatableTopicResult> [0..];
    }

    struct CreatableTopic {
        name: String [0..];
        /// -1: the broker's default (4 and up), or as many as `assignments` says.
        num_partitions: i32 [0..];
        replication_factor: i16 [0..];
        assignments: Vec<CreatableReplicaAssignment> [0..];
        configs: Vec<CreatableTopicConfig> [0..];
    }

    struct CreatableReplicaAssignment {
        partition_index: i32 [0..];
        broker_ids: Vec<i32> [0..];
    }

    struct CreatableTopicConfig {
        name: String [0..];
        value: Option<String> [0..] = Some(String::new());
    }

    struct CreatableTopicResult {
        name: String [0..];
        topic_id: Uuid [7..], ignorable;
        error_code: i16 [0..];
        error_message: Option<String> [1..] = None, ignorable;
        /// Set when the configs below could not be told.
        topic_config_error_code: i16 [5..] tag 0, ignorable;
        num_partitions: i32 [5..] = -1, ignorable;
        replication_factor: i16 [5..] = -1, ignorable;
        configs: Option<Vec<CreatableTopicConfigs>> [5..] = Some(Vec::new()), ignorable;
    }

    struct CreatableTopicConfigs {
        name: String [5..];
        value: Option<String> [5..] = Some(String::new());
        read_only: bool [5..];
        config_source: i8 [5..] = -1, ignorable;
        is_sensitive: bool [5..];
    }
}
