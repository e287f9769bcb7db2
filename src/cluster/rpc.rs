//! What nodes say to each other over the peer port, beside Raft itself.
//!
//! A message is a big-endian `u16` version and a bincode body, never longer than `MESSAGE_BYTES_MAX`.
//! The order of variants and fields is the format: a changed message is a new version.
//! Requests to the controller are answered after their records are applied there; the answer names
//! that metadata offset, so that the caller can wait until its own image shows what it was told.

use std::future::Future;
use std::pin::Pin;

use bincode::Options;
use bytes::Bytes;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{
    BrokerEpoch, DirectoryId, LeaderEpoch, MetadataOffset, NodeId, PartitionEpoch, ProducerId,
    TopicId, TopicIdPartition, Uuid,
};
use drave_raft::image::PartitionRegistration;
use drave_raft::record::{LeaderRecovery, ListenerV1};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::cluster::administration::{AdminRequest, AdminResponse};
use crate::cluster::operations::{
    OperatorRequest, OperatorResponse, QuorumRequest, QuorumResponse,
};

/// The version this node speaks; nodes of one cluster speak the same.
pub const VERSION: u16 = 2;

/// Far above what a full batch of partitions needs, far below what could hurt a node.
pub const MESSAGE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// A request from one node to another. All but those that describe go to the active controller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PeerRequest {
    RegisterBroker(RegisterBroker),
    Heartbeat(Heartbeat),
    AlterPartition(AlterPartition),
    CreateTopics(CreateTopics),
    DeleteTopics(DeleteTopics),
    /// Asks any node what its replicas look like; only `replica/` knows the shape of the answer.
    DescribeReplicas,
    ReportOffline(OfflineReplicas),
    AllocateProducerIds(AllocateProducerIds),
    Administer(AdminRequest),
    Quorum(QuorumRequest),
    Operate(OperatorRequest),
    /// Asks any node for the groups it coordinates, or for one of them; only `coordinator/` knows the shape
    /// of the answer.
    DescribeGroups(Option<String>),
}

/// What a node says about its replicas; the bytes are `replica/`'s business.
pub trait DescribeReplicas: Send + Sync {
    fn describe_replicas(&self) -> Bytes;
}

/// What a node says about the groups it coordinates, or about one; the bytes are `coordinator/`'s business.
pub trait DescribeGroups: Send + Sync {
    fn describe_groups(
        &self,
        group: Option<String>,
    ) -> Pin<Box<dyn Future<Output = Bytes> + Send + '_>>;
}

/// What came back. `applied` is the metadata offset the answer reflects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerReply {
    pub applied: MetadataOffset,
    pub response: PeerResponse,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PeerResponse {
    RegisterBroker(Result<BrokerEpoch, RegisterError>),
    Heartbeat(Result<HeartbeatAnswer, HeartbeatError>),
    AlterPartition(Result<Vec<AlteredPartition>, StaleBrokerEpoch>),
    CreateTopics(Vec<CreatedTopic>),
    DeleteTopics(Vec<DeletedTopic>),
    DescribeReplicas(Bytes),
    /// The request was not looked at.
    Refused(Refusal),
    ReportOffline(Result<(), StaleBrokerEpoch>),
    AllocateProducerIds(Result<ProducerIdBlock, AllocateProducerIdsError>),
    Administered(AdminResponse),
    Quorum(QuorumResponse),
    Operated(OperatorResponse),
    DescribeGroups(Bytes),
}

/// Why a request was not looked at.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum Refusal {
    /// Ask again: the controller moved, is not active yet, or gave up what it had begun.
    #[error("this node is not the active controller")]
    NotController,
    #[error("the request could not be read: {0}")]
    Unreadable(String),
    #[error("this node does not serve that request yet")]
    NotServed,
}

// ── registration and liveness ──────────────────────────────────────────────────────────────────

/// One broker process introduces itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterBroker {
    pub broker: NodeId,
    /// Drawn by each process: tells a retry from a restart.
    pub incarnation: Uuid,
    pub directory: DirectoryId,
    /// The cluster this node's directory belongs to, once known.
    pub cluster_id: Option<String>,
    pub listeners: Vec<ListenerV1>,
    pub controller_address: String,
    pub http_address: Option<String>,
    pub rack: Option<String>,
    /// From the clean-shutdown marker; absent after a crash.
    pub previous_broker_epoch: Option<BrokerEpoch>,
    /// Whether what this broker acknowledges is on its disk first (`log.flush.mode=commit`): then a
    /// crash forgets nothing that was committed, and it stays eligible to lead.
    pub flushes_on_commit: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum RegisterError {
    /// Ends by itself when the other's session does, so a broker asks again.
    #[error(
        "broker {broker} is already running as incarnation {running}; two processes must not share a node.id"
    )]
    Duplicate { broker: NodeId, running: Uuid },
    #[error(
        "broker {broker} is known with directory {:016x} but comes with {:016x}: its data was lost or \
         replaced. Bring that directory back; or, if it is gone for good, let the node in as new with: \
         drave node readmit {broker}; or start it under another node.id",
        known.0,
        presented.0
    )]
    DirectoryMismatch {
        broker: NodeId,
        known: DirectoryId,
        presented: DirectoryId,
    },
    #[error("broker belongs to cluster {presented}, this is cluster {expected}")]
    ClusterMismatch { expected: String, presented: String },
    #[error("broker {broker} names no listener clients could dial")]
    NoListeners { broker: NodeId },
}

/// "I live." Not a record: the controller remembers when it last heard of whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub broker: NodeId,
    pub broker_epoch: BrokerEpoch,
    /// What this broker's image reflects.
    pub applied: MetadataOffset,
    /// It does not serve (yet): keep it hidden from clients.
    pub want_fence: bool,
    /// It wants to leave politely; go on heartbeating until told `should_shut_down`.
    pub want_shutdown: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatAnswer {
    /// Not routable; such an answer renews no lease.
    pub fenced: bool,
    /// Nothing depends on this broker any more: it may stop.
    pub should_shut_down: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum HeartbeatError {
    #[error("broker {0} is not registered")]
    NotRegistered(NodeId),
    #[error(transparent)]
    Stale(StaleBrokerEpoch),
}

/// A newer registration of that broker exists, or this one was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[error("broker {broker} speaks with epoch {presented}, registered is {registered:?}")]
pub struct StaleBrokerEpoch {
    pub broker: NodeId,
    pub presented: BrokerEpoch,
    pub registered: Option<BrokerEpoch>,
}

// ── replicas a broker cannot use ───────────────────────────────────────────────────────────────

/// All replicas of a running broker that are offline: these, and no others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfflineReplicas {
    pub broker: NodeId,
    pub broker_epoch: BrokerEpoch,
    pub partitions: Vec<TopicIdPartition>,
}

// ── changes of the ISR ─────────────────────────────────────────────────────────────────────────

/// A leader proposes ISRs. Compare-and-set: the epochs say what each proposal was made on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterPartition {
    pub broker: NodeId,
    pub broker_epoch: BrokerEpoch,
    pub partitions: Vec<IsrProposal>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsrProposal {
    pub partition: TopicIdPartition,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    pub isr: Vec<IsrMember>,
    /// A leader elected uncleanly says `Recovered` once it has settled.
    pub recovery: LeaderRecovery,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsrMember {
    pub node: NodeId,
    /// As seen in its last fetch; `BrokerEpoch::NONE` where the leader did not look (itself).
    pub broker_epoch: BrokerEpoch,
}

/// The partition's state after the change, or why there was none.
pub type AlteredPartition = (
    TopicIdPartition,
    Result<PartitionRegistration, AlterPartitionError>,
);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum AlterPartitionError {
    #[error("unknown topic id {0}")]
    UnknownTopicId(TopicId),
    #[error("unknown partition {0}")]
    UnknownPartition(TopicIdPartition),
    /// The request knows more than this controller: it is the controller that is behind.
    #[error(
        "the controller is behind: it knows leader epoch {leader_epoch} and partition epoch {partition_epoch}"
    )]
    ControllerBehind {
        leader_epoch: LeaderEpoch,
        partition_epoch: PartitionEpoch,
    },
    #[error("leader epoch {presented} is over, current is {current}")]
    FencedLeaderEpoch {
        presented: LeaderEpoch,
        current: LeaderEpoch,
    },
    #[error("broker {sender} does not lead, {leader:?} does")]
    NotLeader {
        sender: NodeId,
        leader: Option<NodeId>,
    },
    #[error("partition epoch {presented} is over, current is {current}")]
    InvalidUpdateVersion {
        presented: PartitionEpoch,
        current: PartitionEpoch,
    },
    #[error("the proposed ISR names {0}, which is not a replica, or names it twice")]
    NotReplica(NodeId),
    #[error("the proposed ISR lacks its leader {0}")]
    WithoutLeader(NodeId),
    #[error("a leader that still recovers cannot have {0} members in its ISR")]
    RecoveringWithFollowers(usize),
    #[error("a recovered leader cannot go back to recovering")]
    BackToRecovering,
    #[error("replica {node} cannot be in sync: {reason}")]
    IneligibleReplica { node: NodeId, reason: Ineligible },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum Ineligible {
    #[error("it is not registered")]
    NotRegistered,
    #[error("it is fenced")]
    Fenced,
    #[error("it is shutting down")]
    ShuttingDown,
    #[error("it was seen with another broker epoch than its current one")]
    OtherBrokerEpoch,
    #[error("its broker says that it is offline")]
    Offline,
}

impl From<&AlterPartitionError> for ErrorCode {
    fn from(error: &AlterPartitionError) -> Self {
        match error {
            AlterPartitionError::UnknownTopicId(_) => Self::UnknownTopicId,
            AlterPartitionError::UnknownPartition(_) => Self::UnknownTopicOrPartition,
            AlterPartitionError::ControllerBehind { .. } => Self::NotController,
            AlterPartitionError::FencedLeaderEpoch { .. } => Self::FencedLeaderEpoch,
            AlterPartitionError::InvalidUpdateVersion { .. } => Self::InvalidUpdateVersion,
            AlterPartitionError::NotLeader { .. }
            | AlterPartitionError::NotReplica(_)
            | AlterPartitionError::WithoutLeader(_)
            | AlterPartitionError::RecoveringWithFollowers(_)
            | AlterPartitionError::BackToRecovering => Self::InvalidRequest,
            AlterPartitionError::IneligibleReplica { .. } => Self::IneligibleReplica,
        }
    }
}

// ── topics ─────────────────────────────────────────────────────────────────────────────────────

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTopics {
    pub topics: Vec<CreateTopic>,
    pub mode: CreateMode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CreateMode {
    Create,
    /// Say what would happen; change nothing.
    ValidateOnly,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTopic {
    pub name: String,
    /// `None` (-1 on the wire): the cluster's default.
    pub n_partitions: Option<i32>,
    /// `None` (-1 on the wire): the cluster's default.
    pub replication_factor: Option<i16>,
    /// Manual placement; empty: the controller places.
    pub assignments: Vec<ReplicaAssignment>,
    pub configs: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaAssignment {
    pub partition: i32,
    pub replicas: Vec<NodeId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedTopic {
    pub name: String,
    pub result: Result<NewTopic, CreateTopicError>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTopic {
    /// All zero when only validated.
    pub topic_id: TopicId,
    pub n_partitions: i32,
    pub replication_factor: i16,
}

#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum CreateTopicError {
    #[error("topic '{0}' already exists")]
    AlreadyExists(String),
    #[error("topic name {0}")]
    InvalidName(String),
    #[error("topic '{name}' collides with '{existing}': '.' and '_' are the same in metric names")]
    Collides { name: String, existing: String },
    #[error("topic '{0}' is named more than once in the request")]
    NamedTwice(String),
    #[error("number of partitions must be larger than 0, not {0}")]
    InvalidPartitions(i32),
    #[error("{asked} partitions in one request are more than the {limit} allowed")]
    TooManyPartitions { asked: usize, limit: usize },
    #[error("replication factor {requested} must be larger than 0")]
    InvalidReplicationFactor { requested: i16 },
    #[error("replication factor {requested} is larger than the {live} live brokers")]
    NotEnoughBrokers { requested: i16, live: usize },
    #[error("a manual assignment excludes a number of partitions and a replication factor")]
    AssignmentAndCounts,
    #[error("replica assignment: {0}")]
    InvalidAssignment(String),
    #[error("{0}")]
    InvalidConfig(String),
}

impl From<&CreateTopicError> for ErrorCode {
    fn from(error: &CreateTopicError) -> Self {
        match error {
            CreateTopicError::AlreadyExists(_) => Self::TopicAlreadyExists,
            CreateTopicError::InvalidName(_) | CreateTopicError::Collides { .. } => {
                Self::InvalidTopicException
            }
            CreateTopicError::NamedTwice(_) | CreateTopicError::AssignmentAndCounts => {
                Self::InvalidRequest
            }
            CreateTopicError::InvalidPartitions(_) => Self::InvalidPartitions,
            CreateTopicError::TooManyPartitions { .. } => Self::PolicyViolation,
            CreateTopicError::InvalidReplicationFactor { .. }
            | CreateTopicError::NotEnoughBrokers { .. } => Self::InvalidReplicationFactor,
            CreateTopicError::InvalidAssignment(_) => Self::InvalidReplicaAssignment,
            CreateTopicError::InvalidConfig(_) => Self::InvalidConfig,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteTopics {
    pub topics: Vec<TopicRef>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TopicRef {
    Name(String),
    Id(TopicId),
}

/// Deleted: its name and id. The order is that of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedTopic {
    pub topic: TopicRef,
    pub result: Result<(String, TopicId), DeleteTopicError>,
}

#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum DeleteTopicError {
    #[error("there is no topic '{0}'")]
    UnknownName(String),
    #[error("there is no topic with id {0}")]
    UnknownId(TopicId),
    #[error("topic '{0}' is named more than once in the request")]
    NamedTwice(String),
    #[error("topic deletion is disabled (delete.topic.enable=false)")]
    Disabled,
}

impl From<&DeleteTopicError> for ErrorCode {
    fn from(error: &DeleteTopicError) -> Self {
        match error {
            DeleteTopicError::UnknownName(_) => Self::UnknownTopicOrPartition,
            DeleteTopicError::UnknownId(_) => Self::UnknownTopicId,
            DeleteTopicError::NamedTwice(_) => Self::InvalidRequest,
            DeleteTopicError::Disabled => Self::TopicDeletionDisabled,
        }
    }
}

// ── producer ids ───────────────────────────────────────────────────────────────────────────────

/// Each call that is agreed yields a block of its own, whether or not its answer arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocateProducerIds {
    pub broker: NodeId,
    pub broker_epoch: BrokerEpoch,
}

/// The ids from `first` up to, and without, `next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerIdBlock {
    pub first: ProducerId,
    pub next: ProducerId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum AllocateProducerIdsError {
    #[error(transparent)]
    Stale(StaleBrokerEpoch),
    #[error("no producer ids are left behind {next}")]
    Exhausted { next: ProducerId },
}

// ── bytes ──────────────────────────────────────────────────────────────────────────────────────

#[derive(Debug, Error)]
pub enum MessageError {
    #[error("a message of {got} bytes carries no version")]
    Short { got: usize },
    #[error("message version {got}, this node speaks {VERSION}")]
    Version { got: u16 },
    #[error("malformed message: {0}")]
    Malformed(#[from] bincode::Error),
}

pub fn encode<T: Serialize>(message: &T) -> Result<Bytes, MessageError> {
    let mut bytes = VERSION.to_be_bytes().to_vec();
    options().serialize_into(&mut bytes, message)?;
    Ok(bytes.into())
}

pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, MessageError> {
    let (version, body) = bytes
        .split_first_chunk()
        .ok_or(MessageError::Short { got: bytes.len() })?;
    let got = u16::from_be_bytes(*version);
    if got != VERSION {
        return Err(MessageError::Version { got });
    }
    Ok(options().deserialize(body)?)
}

/// The limit also bounds what a forged length can make us reserve.
fn options() -> impl Options {
    bincode::DefaultOptions::new().with_limit(MESSAGE_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heartbeat() -> PeerRequest {
        PeerRequest::Heartbeat(Heartbeat {
            broker: NodeId(1),
            broker_epoch: BrokerEpoch(7),
            applied: MetadataOffset(9),
            want_fence: false,
            want_shutdown: true,
        })
    }

    #[test]
    fn a_message_survives_its_bytes() {
        let bytes = encode(&heartbeat()).unwrap();
        assert_eq!(decode::<PeerRequest>(&bytes).unwrap(), heartbeat());
    }

    #[test]
    fn a_message_of_another_version_is_refused_by_number() {
        let mut bytes = encode(&heartbeat()).unwrap().to_vec();
        bytes[1] = 9;
        let error = decode::<PeerRequest>(&bytes).unwrap_err();
        assert!(matches!(error, MessageError::Version { got: 9 }), "{error}");
    }

    #[test]
    fn cut_and_forged_messages_are_errors() {
        let bytes = encode(&heartbeat()).unwrap();
        for end in 0..bytes.len() {
            assert!(
                decode::<PeerRequest>(&bytes[..end]).is_err(),
                "cut at {end}"
            );
        }
        // An AlterPartition that claims 2^60 partitions.
        let mut forged = vec![0, 2, 2, 2, 14, 253];
        forged.extend_from_slice(&(1_u64 << 60).to_le_bytes());
        assert!(decode::<PeerRequest>(&forged).is_err());
    }
}
