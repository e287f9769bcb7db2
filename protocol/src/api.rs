//! THE table of APIs: what we advertise, what we can read, and how much of it.
//!
//! Invariants: what can be decoded is advertised; ascending by key; `tests/golden` holds a printed
//! copy.

use crate::limits::{BULK_REQUEST_BYTES_MAX, RECORDS_REQUEST_BYTES_MAX, SMALL_REQUEST_BYTES_MAX};
use crate::message::{Message, Request};
use crate::schema::add_raft_voter::AddRaftVoterRequest;
use crate::schema::alter_client_quotas::AlterClientQuotasRequest;
use crate::schema::alter_configs::AlterConfigsRequest;
use crate::schema::alter_partition_reassignments::AlterPartitionReassignmentsRequest;
use crate::schema::api_versions::ApiVersionsRequest;
use crate::schema::consumer_group_describe::ConsumerGroupDescribeRequest;
use crate::schema::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use crate::schema::create_partitions::CreatePartitionsRequest;
use crate::schema::create_topics::CreateTopicsRequest;
use crate::schema::delete_groups::DeleteGroupsRequest;
use crate::schema::delete_records::DeleteRecordsRequest;
use crate::schema::delete_topics::DeleteTopicsRequest;
use crate::schema::describe_client_quotas::DescribeClientQuotasRequest;
use crate::schema::describe_cluster::DescribeClusterRequest;
use crate::schema::describe_configs::DescribeConfigsRequest;
use crate::schema::describe_groups::DescribeGroupsRequest;
use crate::schema::describe_log_dirs::DescribeLogDirsRequest;
use crate::schema::describe_producers::DescribeProducersRequest;
use crate::schema::describe_quorum::DescribeQuorumRequest;
use crate::schema::describe_topic_partitions::DescribeTopicPartitionsRequest;
use crate::schema::drain_broker::DrainBrokerRequest;
use crate::schema::elect_leaders::ElectLeadersRequest;
use crate::schema::fetch::FetchRequest;
use crate::schema::find_coordinator::FindCoordinatorRequest;
use crate::schema::heartbeat::HeartbeatRequest;
use crate::schema::incremental_alter_configs::IncrementalAlterConfigsRequest;
use crate::schema::init_producer_id::InitProducerIdRequest;
use crate::schema::join_group::JoinGroupRequest;
use crate::schema::leave_group::LeaveGroupRequest;
use crate::schema::list_config_resources::ListConfigResourcesRequest;
use crate::schema::list_groups::ListGroupsRequest;
use crate::schema::list_offsets::ListOffsetsRequest;
use crate::schema::list_partition_reassignments::ListPartitionReassignmentsRequest;
use crate::schema::metadata::MetadataRequest;
use crate::schema::offset_commit::OffsetCommitRequest;
use crate::schema::offset_delete::OffsetDeleteRequest;
use crate::schema::offset_fetch::OffsetFetchRequest;
use crate::schema::offset_for_leader_epoch::OffsetForLeaderEpochRequest;
use crate::schema::produce::ProduceRequest;
use crate::schema::remove_raft_voter::RemoveRaftVoterRequest;
use crate::schema::sync_group::SyncGroupRequest;
use crate::schema::unregister_broker::UnregisterBrokerRequest;
use crate::schema::update_features::UpdateFeaturesRequest;

/// What we say about one API.
#[derive(Clone, Copy, Debug)]
pub struct Api {
    pub key: ApiKey,
    pub name: &'static str,
    /// First and last version advertised to clients.
    pub versions: (i16, i16),
    /// First and last version that can be decoded; a version advertised but not in here is refused by
    /// the handler, with an answer.
    pub decode_versions: (i16, i16),
    /// First version with compact lengths, tagged fields, and the headers that go with them.
    pub flexible_from: i16,
    /// Largest frame, without its length prefix.
    pub frame_bytes_max: usize,
    /// Whether it is served to a client that has not authenticated.
    pub before_auth: bool,
}

macro_rules! apis {
    ($(
        $number:literal $key:ident [$min:literal ..= $max:literal]
        $request:ty, $bytes:ident $(, $auth:ident)?;
    )*) => {
        /// The APIs we serve, by their number on the wire.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i16)]
        pub enum ApiKey { $($key = $number,)* }

        impl ApiKey {
            pub const fn number(self) -> i16 {
                match self { $(Self::$key => $number,)* }
            }

            pub const fn from_number(number: i16) -> Option<Self> {
                match number { $($number => Some(Self::$key),)* _ => None }
            }

            pub const fn name(self) -> &'static str {
                match self { $(Self::$key => stringify!($key),)* }
            }

            pub const fn api(self) -> &'static Api {
                match self { $(Self::$key => const { &Api {
                    key: Self::$key,
                    name: stringify!($key),
                    versions: ($min, $max),
                    decode_versions: <$request as Message>::VERSIONS,
                    flexible_from: <$request as Message>::FLEXIBLE_FROM,
                    frame_bytes_max: $bytes,
                    before_auth: apis!(@auth $($auth)?),
                } },)* }
            }
        }

        /// Every API we serve, in the order of their keys.
        pub const APIS: &[Api] = &[$(*ApiKey::$key.api(),)*];

        // Each row names the request that belongs to its key.
        $(const _: () = assert!(<$request as Request>::KEY.number() == $number);)*
    };
    (@auth) => { false };
    (@auth before_auth) => { true };
}

apis! {
    0 Produce [0..=13] ProduceRequest, RECORDS_REQUEST_BYTES_MAX;
    1 Fetch [4..=17] FetchRequest, BULK_REQUEST_BYTES_MAX;
    2 ListOffsets [1..=11] ListOffsetsRequest, BULK_REQUEST_BYTES_MAX;
    3 Metadata [0..=13] MetadataRequest, BULK_REQUEST_BYTES_MAX;
    8 OffsetCommit [2..=10] OffsetCommitRequest, BULK_REQUEST_BYTES_MAX;
    9 OffsetFetch [1..=10] OffsetFetchRequest, BULK_REQUEST_BYTES_MAX;
    10 FindCoordinator [0..=6] FindCoordinatorRequest, SMALL_REQUEST_BYTES_MAX;
    11 JoinGroup [0..=9] JoinGroupRequest, BULK_REQUEST_BYTES_MAX;
    12 Heartbeat [0..=4] HeartbeatRequest, SMALL_REQUEST_BYTES_MAX;
    13 LeaveGroup [0..=5] LeaveGroupRequest, BULK_REQUEST_BYTES_MAX;
    14 SyncGroup [0..=5] SyncGroupRequest, BULK_REQUEST_BYTES_MAX;
    15 DescribeGroups [0..=6] DescribeGroupsRequest, BULK_REQUEST_BYTES_MAX;
    16 ListGroups [0..=5] ListGroupsRequest, SMALL_REQUEST_BYTES_MAX;
    18 ApiVersions [0..=4] ApiVersionsRequest, SMALL_REQUEST_BYTES_MAX, before_auth;
    19 CreateTopics [2..=7] CreateTopicsRequest, BULK_REQUEST_BYTES_MAX;
    20 DeleteTopics [1..=6] DeleteTopicsRequest, BULK_REQUEST_BYTES_MAX;
    21 DeleteRecords [0..=2] DeleteRecordsRequest, BULK_REQUEST_BYTES_MAX;
    22 InitProducerId [0..=5] InitProducerIdRequest, SMALL_REQUEST_BYTES_MAX;
    23 OffsetForLeaderEpoch [2..=4] OffsetForLeaderEpochRequest, BULK_REQUEST_BYTES_MAX;
    32 DescribeConfigs [1..=4] DescribeConfigsRequest, BULK_REQUEST_BYTES_MAX;
    33 AlterConfigs [0..=2] AlterConfigsRequest, BULK_REQUEST_BYTES_MAX;
    35 DescribeLogDirs [1..=4] DescribeLogDirsRequest, BULK_REQUEST_BYTES_MAX;
    37 CreatePartitions [0..=3] CreatePartitionsRequest, BULK_REQUEST_BYTES_MAX;
    42 DeleteGroups [0..=2] DeleteGroupsRequest, BULK_REQUEST_BYTES_MAX;
    43 ElectLeaders [0..=2] ElectLeadersRequest, BULK_REQUEST_BYTES_MAX;
    44 IncrementalAlterConfigs [0..=1] IncrementalAlterConfigsRequest, BULK_REQUEST_BYTES_MAX;
    45 AlterPartitionReassignments [0..=1] AlterPartitionReassignmentsRequest, BULK_REQUEST_BYTES_MAX;
    46 ListPartitionReassignments [0..=0] ListPartitionReassignmentsRequest, BULK_REQUEST_BYTES_MAX;
    47 OffsetDelete [0..=0] OffsetDeleteRequest, BULK_REQUEST_BYTES_MAX;
    48 DescribeClientQuotas [0..=1] DescribeClientQuotasRequest, SMALL_REQUEST_BYTES_MAX;
    49 AlterClientQuotas [0..=1] AlterClientQuotasRequest, BULK_REQUEST_BYTES_MAX;
    55 DescribeQuorum [0..=2] DescribeQuorumRequest, SMALL_REQUEST_BYTES_MAX;
    57 UpdateFeatures [0..=2] UpdateFeaturesRequest, SMALL_REQUEST_BYTES_MAX;
    60 DescribeCluster [0..=2] DescribeClusterRequest, SMALL_REQUEST_BYTES_MAX;
    61 DescribeProducers [0..=0] DescribeProducersRequest, BULK_REQUEST_BYTES_MAX;
    64 UnregisterBroker [0..=0] UnregisterBrokerRequest, SMALL_REQUEST_BYTES_MAX;
    68 ConsumerGroupHeartbeat [0..=1] ConsumerGroupHeartbeatRequest, BULK_REQUEST_BYTES_MAX;
    69 ConsumerGroupDescribe [0..=1] ConsumerGroupDescribeRequest, BULK_REQUEST_BYTES_MAX;
    74 ListConfigResources [0..=1] ListConfigResourcesRequest, SMALL_REQUEST_BYTES_MAX;
    75 DescribeTopicPartitions [0..=0] DescribeTopicPartitionsRequest, BULK_REQUEST_BYTES_MAX;
    80 AddRaftVoter [0..=1] AddRaftVoterRequest, SMALL_REQUEST_BYTES_MAX;
    81 RemoveRaftVoter [0..=0] RemoveRaftVoterRequest, SMALL_REQUEST_BYTES_MAX;
    // Ours, for what Kafka has no API for; far from where Kafka's numbers grow.
    20000 DrainBroker [0..=0] DrainBrokerRequest, SMALL_REQUEST_BYTES_MAX;
}

impl Api {
    pub fn advertises(&self, version: i16) -> bool {
        (self.versions.0..=self.versions.1).contains(&version)
    }

    pub fn decodes(&self, version: i16) -> bool {
        (self.decode_versions.0..=self.decode_versions.1).contains(&version)
    }

    pub fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible_from
    }
}

/// The API with this number on the wire, if we serve it.
pub fn lookup(number: i16) -> Option<&'static Api> {
    ApiKey::from_number(number).map(ApiKey::api)
}
