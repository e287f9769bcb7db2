//! `ConsumerGroupHeartbeat` (68): all a member of a KIP-848 group says and hears.

use crate::ids::Uuid;
use crate::schema::define::schema;

schema! {
    ConsumerGroupHeartbeat [0..=1] flexible 0;

    request ConsumerGroupHeartbeatRequest {
        group_id: String [0..];
        member_id: String [0..];
        /// 0: joins; -1: leaves; -2: leaves and comes back under the same instance id.
        member_epoch: i32 [0..];
        /// Null, here and below, or -1: as it was said before.
        instance_id: Option<String> [0..] = None;
        rack_id: Option<String> [0..] = None;
        rebalance_timeout_ms: i32 [0..] = -1;
        subscribed_topic_names: Option<Vec<String>> [0..] = None;
        subscribed_topic_regex: Option<String> [1..] = None;
        server_assignor: Option<String> [0..] = None;
        /// What the member owns.
        topic_partitions: Option<Vec<TopicPartitions>> [0..] = None;
    }

    response ConsumerGroupHeartbeatResponse {
        throttle_time_ms: i32 [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] = None;
        member_id: Option<String> [0..] = None;
        member_epoch: i32 [0..];
        heartbeat_interval_ms: i32 [0..];
        /// What the member may own now; null: as it was said before.
        assignment: Option<Assignment> [0..] = None;
    }

    struct TopicPartitions {
        topic_id: Uuid [0..];
        partitions: Vec<i32> [0..];
    }

    struct Assignment {
        topic_partitions: Vec<TopicPartitions> [0..];
    }
}
