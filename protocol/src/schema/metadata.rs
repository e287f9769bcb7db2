//! Metadata (3): who leads what, and where they listen.

use crate::ids::Uuid;
use crate::schema::define::schema;

schema! {
    Metadata [0..=13] flexible 9;

    request MetadataRequest {
        /// Null means all topics; in version 0, which has no null, an empty list does.
        topics: Option<Vec<MetadataRequestTopic>> [0..] null [1..] = Some(Vec::new());
        allow_auto_topic_creation: bool [4..] = true;
        include_cluster_authorized_operations: bool [8..=10];
        include_topic_authorized_operations: bool [8..];
    }

    response MetadataResponse {
        throttle_time_ms: i32 [3..], ignorable;
        brokers: Vec<MetadataResponseBroker> [0..];
        cluster_id: Option<String> [2..] = None, ignorable;
        controller_id: i32 [1..] = -1, ignorable;
        topics: Vec<MetadataResponseTopic> [0..];
        /// A set of bits; `i32::MIN` when it was not asked for.
        cluster_authorized_operations: i32 [8..=10] = i32::MIN;
        error_code: i16 [13..], ignorable;
    }

    struct MetadataRequestTopic {
        topic_id: Uuid [10..], ignorable;
        /// Null when the topic is named by its id.
        name: Option<String> [0..] null [10..] = Some(String::new());
    }

    struct MetadataResponseBroker {
        node_id: i32 [0..];
        host: String [0..];
        port: i32 [0..];
        rack: Option<String> [1..] = None, ignorable;
    }

    struct MetadataResponseTopic {
        error_code: i16 [0..];
        name: Option<String> [0..] null [12..] = Some(String::new());
        topic_id: Uuid [10..], ignorable;
        is_internal: bool [1..], ignorable;
        partitions: Vec<MetadataResponsePartition> [0..];
        topic_authorized_operations: i32 [8..] = i32::MIN;
    }

    struct MetadataResponsePartition {
        error_code: i16 [0..];
        partition_index: i32 [0..];
        leader_id: i32 [0..];
        leader_epoch: i32 [7..] = -1, ignorable;
        replica_nodes: Vec<i32> [0..];
        isr_nodes: Vec<i32> [0..];
        offline_replicas: Vec<i32> [5..], ignorable;
    }
}
