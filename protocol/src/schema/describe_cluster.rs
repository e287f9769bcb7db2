//! `DescribeCluster` (60): the brokers, for tools.

use crate::schema::define::schema;

schema! {
    DescribeCluster [0..=2] flexible 0;

    request DescribeClusterRequest {
        include_cluster_authorized_operations: bool [0..];
        /// 1: brokers; 2: controllers.
        endpoint_type: i8 [1..] = 1;
        include_fenced_brokers: bool [2..];
    }

    response DescribeClusterResponse {
        throttle_time_ms: i32 [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] = None;
        endpoint_type: i8 [1..] = 1;
        cluster_id: String [0..];
        controller_id: i32 [0..] = -1;
        brokers: Vec<DescribeClusterBroker> [0..];
        /// A set of bits; `i32::MIN` when it was not asked for.
        cluster_authorized_operations: i32 [0..] = i32::MIN;
    }

    struct DescribeClusterBroker {
        broker_id: i32 [0..];
        host: String [0..];
        port: i32 [0..];
        rack: Option<String> [0..] = None;
        is_fenced: bool [2..];
    }
}
