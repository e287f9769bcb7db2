//! The messages, each API declared once as data; see `define.rs` for the form.
//!
//! Names, versions, defaults and tags are Kafka's (4.3). Defaults differ from Kafka's in one thing: an
//! `error_message` or `documentation` that may be null is null, where Kafka's is the empty string.

mod define;
#[cfg(test)]
mod differential_test;
#[cfg(test)]
mod hostile_test;
#[cfg(test)]
mod round_trip_test;
#[cfg(test)]
mod sample;

pub mod add_raft_voter;
pub mod alter_client_quotas;
pub mod alter_configs;
pub mod alter_partition_reassignments;
pub mod api_versions;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_client_quotas;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod drain_broker;
pub mod elect_leaders;
pub mod fetch;
pub mod find_coordinator;
pub mod group_records;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod remove_raft_voter;
pub mod sync_group;
pub mod unregister_broker;
pub mod update_features;

/// Calls `$test!` with the path of each message's type.
#[cfg(test)]
macro_rules! every_message {
    ($test:ident) => {
        $test! {
            produce ProduceRequest ProduceResponse,
            fetch FetchRequest FetchResponse,
            list_offsets ListOffsetsRequest ListOffsetsResponse,
            metadata MetadataRequest MetadataResponse,
            find_coordinator FindCoordinatorRequest FindCoordinatorResponse,
            api_versions ApiVersionsRequest ApiVersionsResponse,
            create_topics CreateTopicsRequest CreateTopicsResponse,
            delete_topics DeleteTopicsRequest DeleteTopicsResponse,
            delete_records DeleteRecordsRequest DeleteRecordsResponse,
            init_producer_id InitProducerIdRequest InitProducerIdResponse,
            offset_for_leader_epoch OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse,
            describe_configs DescribeConfigsRequest DescribeConfigsResponse,
            describe_cluster DescribeClusterRequest DescribeClusterResponse,
            create_partitions CreatePartitionsRequest CreatePartitionsResponse,
            describe_log_dirs DescribeLogDirsRequest DescribeLogDirsResponse,
            elect_leaders ElectLeadersRequest ElectLeadersResponse,
            alter_configs AlterConfigsRequest AlterConfigsResponse,
            incremental_alter_configs IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse,
            alter_partition_reassignments AlterPartitionReassignmentsRequest AlterPartitionReassignmentsResponse,
            list_partition_reassignments ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse,
            describe_quorum DescribeQuorumRequest DescribeQuorumResponse,
            unregister_broker UnregisterBrokerRequest UnregisterBrokerResponse,
            add_raft_voter AddRaftVoterRequest AddRaftVoterResponse,
            remove_raft_voter RemoveRaftVoterRequest RemoveRaftVoterResponse,
            offset_commit OffsetCommitRequest OffsetCommitResponse,
            offset_fetch OffsetFetchRequest OffsetFetchResponse,
            join_group JoinGroupRequest JoinGroupResponse,
            heartbeat HeartbeatRequest HeartbeatResponse,
            leave_group LeaveGroupRequest LeaveGroupResponse,
            sync_group SyncGroupRequest SyncGroupResponse,
            describe_groups DescribeGroupsRequest DescribeGroupsResponse,
            list_groups ListGroupsRequest ListGroupsResponse,
            delete_groups DeleteGroupsRequest DeleteGroupsResponse,
            offset_delete OffsetDeleteRequest OffsetDeleteResponse,
            consumer_group_heartbeat ConsumerGroupHeartbeatRequest ConsumerGroupHeartbeatResponse,
            consumer_group_describe ConsumerGroupDescribeRequest ConsumerGroupDescribeResponse,
            describe_client_quotas DescribeClientQuotasRequest DescribeClientQuotasResponse,
            alter_client_quotas AlterClientQuotasRequest AlterClientQuotasResponse,
            update_features UpdateFeaturesRequest UpdateFeaturesResponse,
            describe_producers DescribeProducersRequest DescribeProducersResponse,
            list_config_resources ListConfigResourcesRequest ListConfigResourcesResponse,
            describe_topic_partitions DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse,
        }
    };
}
#[cfg(test)]
use every_message;
