//! The records of `__consumer_offsets`: what a group coordinator keeps, key and value each by itself.
//!
//! Persisted, and read by Kafka: never renumber. In front of a key stands its kind, in front of a value
//! its version, both `i16`; whoever reads the log puts them together.

use bytes::Bytes;

use crate::ids::Uuid;
use crate::schema::define::records;

records! {
    /// Kinds 0 and 1: the offset a group has committed for a partition.
    record OffsetCommitKey [0..=0] flexible 1 {
        group_id: String [0..];
        topic: String [0..];
        partition: i32 [0..];
    }

    record OffsetCommitValue [0..=4] flexible 4 {
        offset: i64 [0..];
        leader_epoch: i32 [3..] = -1, ignorable;
        metadata: String [0..];
        commit_timestamp: i64 [0..];
        expire_timestamp: i64 [1..=1] = -1, ignorable;
        topic_id: Uuid [4..] tag 0, ignorable;
    }

    /// The key of a fact about a whole group: kinds 2 (classic), 3, 4 and 6 (consumer).
    record GroupKey [0..=0] flexible 1 {
        group_id: String [0..];
    }

    /// The key of a fact about a member: kinds 5, 7 and 8 (consumer).
    record GroupMemberKey [0..=0] flexible 1 {
        group_id: String [0..];
        member_id: String [0..];
    }

    /// Kind 2: a classic group with all its members.
    record GroupMetadataValue [0..=4] flexible 4 {
        protocol_type: String [0..];
        generation: i32 [0..];
        protocol: Option<String> [0..] = Some(String::new());
        leader: Option<String> [0..] = Some(String::new());
        current_state_timestamp: i64 [2..] = -1, ignorable;
        members: Vec<ClassicMember> [0..];
    }

    structure ClassicMember {
        member_id: String [0..];
        group_instance_id: Option<String> [3..] = None, ignorable;
        client_id: String [0..];
        client_host: String [0..];
        rebalance_timeout: i32 [1..] = -1, ignorable;
        session_timeout: i32 [0..];
        subscription: Bytes [0..];
        assignment: Bytes [0..];
    }

    /// Kind 3.
    record ConsumerGroupMetadataValue [0..=0] flexible 0 {
        epoch: i32 [0..];
        /// Of the topics the group subscribes to: another one, and the group's epoch rises.
        metadata_hash: i64 [0..] tag 0;
    }

    /// Kind 4: what said kind 3's hash before Kafka 4.1, with all its numbers.
    record ConsumerGroupPartitionMetadataValue [0..=0] flexible 0 {
        topics: Vec<TopicMetadata> [0..];
    }

    structure TopicMetadata {
        topic_id: Uuid [0..];
        topic_name: String [0..];
        num_partitions: i32 [0..];
        partition_metadata: Vec<PartitionMetadata> [0..];
    }

    structure PartitionMetadata {
        partition: i32 [0..];
        racks: Vec<String> [0..];
    }

    /// Kind 5.
    record ConsumerGroupMemberMetadataValue [0..=0] flexible 0 {
        instance_id: Option<String> [0..] = Some(String::new());
        rack_id: Option<String> [0..] = Some(String::new());
        client_id: String [0..];
        client_host: String [0..];
        subscribed_topic_names: Vec<String> [0..];
        subscribed_topic_regex: Option<String> [0..] = Some(String::new());
        rebalance_timeout_ms: i32 [0..] = -1;
        server_assignor: Option<String> [0..] = Some(String::new());
        /// Of a member that speaks the classic protocol.
        classic_member_metadata: Option<ClassicMemberMetadata> [0..] tag 0 = None;
    }

    structure ClassicMemberMetadata {
        session_timeout_ms: i32 [0..];
        supported_protocols: Vec<ClassicProtocol> [0..];
    }

    structure ClassicProtocol {
        name: String [0..];
        metadata: Bytes [0..];
    }

    /// Kind 6.
    record ConsumerGroupTargetAssignmentMetadataValue [0..=0] flexible 0 {
        assignment_epoch: i32 [0..];
        assignment_timestamp: i64 [0..] tag 0, ignorable;
    }

    /// Kind 7.
    record ConsumerGroupTargetAssignmentMemberValue [0..=0] flexible 0 {
        topic_partitions: Vec<TargetTopicPartitions> [0..];
    }

    structure TargetTopicPartitions {
        topic_id: Uuid [0..];
        partitions: Vec<i32> [0..];
    }

    /// Kind 8.
    record ConsumerGroupCurrentMemberAssignmentValue [0..=0] flexible 0 {
        member_epoch: i32 [0..];
        previous_member_epoch: i32 [0..];
        /// 0: stable; 1: unrevoked partitions; 2: unreleased partitions; 127: unknown.
        state: i8 [0..];
        assigned_partitions: Vec<CurrentTopicPartitions> [0..];
        partitions_pending_revocation: Vec<CurrentTopicPartitions> [0..];
    }

    structure CurrentTopicPartitions {
        topic_id: Uuid [0..];
        partitions: Vec<i32> [0..];
        /// As many as partitions: the epoch at which the member got each.
        assignment_epochs: Option<Vec<i32>> [0..] tag 0 = None;
    }

    /// Kind 16: the topics a regular expression stands for, as it was last resolved.
    record ConsumerGroupRegularExpressionKey [0..=0] flexible 1 {
        group_id: String [0..];
        regular_expression: String [0..];
    }

    record ConsumerGroupRegularExpressionValue [0..=0] flexible 0 {
        topics: Vec<String> [0..];
        /// Of the metadata image it was resolved with.
        version: i64 [0..];
        timestamp: i64 [0..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::hostile_test::{every_prefix_is_refused, huge_lengths_take_no_memory};
    use crate::schema::round_trip_test::comes_back;

    macro_rules! each_record {
        ($($name:ident)*) => {
            #[test]
            fn every_record_comes_back_from_its_bytes() {
                $( comes_back::<$name>(); )*
            }
            #[test]
            fn bytes_cut_short_or_with_huge_lengths_are_refused() {
                $( every_prefix_is_refused::<$name>(); )*
                $( huge_lengths_take_no_memory::<$name>(); )*
            }
        };
    }

    each_record! {
        OffsetCommitKey OffsetCommitValue GroupKey GroupMemberKey GroupMetadataValue
        ConsumerGroupMetadataValue ConsumerGroupPartitionMetadataValue
        ConsumerGroupMemberMetadataValue ConsumerGroupTargetAssignmentMetadataValue
        ConsumerGroupTargetAssignmentMemberValue ConsumerGroupCurrentMemberAssignmentValue
        ConsumerGroupRegularExpressionKey ConsumerGroupRegularExpressionValue
    }
}
