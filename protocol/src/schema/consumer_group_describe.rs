//! `ConsumerGroupDescribe` (69): KIP-848 groups and their members.

use crate::ids::Uuid;
use crate::schema::define::schema;

schema! {
    ConsumerGroupDescribe [0..=1] flexible 0;

    request ConsumerGroupDescribeRequest {
        group_ids: Vec<String> [0..];
        include_authorized_operations: bool [0..];
    }

    response ConsumerGroupDescribeResponse {
        throttle_time_ms: i32 [0..];
        groups: Vec<DescribedGroup> [0..];
    }

    struct DescribedGroup {
        error_code: i16 [0..];
        error_message: Option<String> [0..] = None;
        group_id: String [0..];
        group_state: String [0..];
        group_epoch: i32 [0..];
        assignment_epoch: i32 [0..];
        assignor_name: String [0..];
        members: Vec<Member> [0..];
        /// A set of bits; `i32::MIN` when it was not asked for.
        authorized_operations: i32 [0..] = i32::MIN;
    }

    struct Member {
        member_id: String [0..];
        instance_id: Option<String> [0..] = None;
        rack_id: Option<String> [0..] = None;
        member_epoch: i32 [0..];
        client_id: String [0..];
        client_host: String [0..];
        subscribed_topic_names: Vec<String> [0..];
        subscribed_topic_regex: Option<String> [0..] = None;
        assignment: Assignment [0..];
        target_assignment: Assignment [0..];
        /// -1: unknown; 0: classic; 1: consumer.
        member_type: i8 [1..] = -1, ignorable;
    }

    struct TopicPartitions {
        topic_id: Uuid [0..];
        topic_name: String [0..];
        partitions: Vec<i32> [0..];
    }

    struct Assignment {
        topic_partitions: Vec<TopicPartitions> [0..];
    }
}
