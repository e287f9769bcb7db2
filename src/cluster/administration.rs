//! What administrators ask of the active controller about what exists already: more partitions, other
//! leaders, other
//! configs, other replicas. Part of the peer protocol: the order of variants and fields is the format (see `rpc`).

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::NodeId;
use drave_raft::record::ConfigResource;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::cluster::rpc::CreateMode;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdminRequest {
    CreatePartitions(CreatePartitions),
    ElectLeaders(ElectLeaders),
    AlterConfigs(AlterConfigs),
    AlterReassignments(AlterReassignments),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdminResponse {
    CreatePartitions(Vec<GrownTopic>),
    ElectLeaders(Vec<Election>),
    AlterConfigs(Vec<AlteredConfigs>),
    AlterReassignments(Vec<Reassigned>),
}

// ── more partitions ────────────────────────────────────────────────────────────────────────────

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatePartitions {
    pub topics: Vec<GrowTopic>,
    pub mode: CreateMode,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrowTopic {
    pub name: String,
    /// Partitions it has afterwards.
    pub n_partitions: i32,
    /// Replicas of each new partition; `None`: the controller places.
    pub assignments: Option<Vec<Vec<NodeId>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrownTopic {
    pub name: String,
    pub result: Result<(), CreatePartitionsError>,
}

#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum CreatePartitionsError {
    #[error("there is no topic '{0}'")]
    UnknownTopic(String),
    #[error("topic '{0}' is named more than once in the request")]
    NamedTwice(String),
    #[error("the topic has {current} partitions already")]
    AlreadySo { current: i32 },
    #[error(
        "the topic has {current} partitions, {asked} would not be more; partitions cannot be taken away"
    )]
    NotMore { current: i32, asked: i32 },
    #[error("{asked} new partitions in one request are more than the {limit} allowed")]
    TooManyPartitions { asked: usize, limit: usize },
    #[error("{new} new partitions need as many assignments, not {assigned}")]
    AssignmentCount { new: usize, assigned: usize },
    #[error("replica assignment: {0}")]
    InvalidAssignment(String),
    #[error("replication factor {requested} of the topic is larger than the {live} live brokers")]
    NotEnoughBrokers { requested: usize, live: usize },
}

impl From<&CreatePartitionsError> for ErrorCode {
    fn from(error: &CreatePartitionsError) -> Self {
        match error {
            CreatePartitionsError::UnknownTopic(_) => Self::UnknownTopicOrPartition,
            CreatePartitionsError::NamedTwice(_) => Self::InvalidRequest,
            CreatePartitionsError::AlreadySo { .. } | CreatePartitionsError::NotMore { .. } => {
                Self::InvalidPartitions
            }
            CreatePartitionsError::TooManyPartitions { .. } => Self::PolicyViolation,
            CreatePartitionsError::AssignmentCount { .. }
            | CreatePartitionsError::InvalidAssignment(_) => Self::InvalidReplicaAssignment,
            CreatePartitionsError::NotEnoughBrokers { .. } => Self::InvalidReplicationFactor,
        }
    }
}

// ── elections on demand ────────────────────────────────────────────────────────────────────────

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElectLeaders {
    pub kind: ElectionKind,
    /// `None`: wherever one is needed.
    pub partitions: Option<Vec<(String, i32)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ElectionKind {
    /// The first replica of the assignment takes over, if it is in sync.
    Preferred,
    /// Where nobody leads, any live replica does, even if acked records are lost by that.
    Unclean,
}

/// Asked for every partition, only those are told where there was something to decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Election {
    pub topic: String,
    pub partition: i32,
    pub result: Result<Elected, ElectionError>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elected {
    pub leader: NodeId,
    /// Replicas known to hold what the new leader may lack; empty where nothing can be lost.
    pub lost: Vec<NodeId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum ElectionError {
    #[error("there is no topic '{0}'")]
    UnknownTopic(String),
    #[error("topic '{topic}' has no partition {partition}")]
    UnknownPartition { topic: String, partition: i32 },
    #[error("broker {leader} leads already")]
    NotNeeded { leader: NodeId },
    #[error("the preferred leader, broker {preferred}, {reason}")]
    PreferredNotAvailable { preferred: NodeId, reason: String },
    #[error("none of the replicas {0:?} is live")]
    NobodyEligible(Vec<i32>),
    #[error("the partition is named more than once in the request")]
    NamedTwice,
}

impl From<&ElectionError> for ErrorCode {
    fn from(error: &ElectionError) -> Self {
        match error {
            ElectionError::UnknownTopic(_) | ElectionError::UnknownPartition { .. } => {
                Self::UnknownTopicOrPartition
            }
            ElectionError::NotNeeded { .. } => Self::ElectionNotNeeded,
            ElectionError::PreferredNotAvailable { .. } => Self::PreferredLeaderNotAvailable,
            ElectionError::NobodyEligible(_) => Self::EligibleLeadersNotAvailable,
            ElectionError::NamedTwice => Self::InvalidRequest,
        }
    }
}

// ── configs ────────────────────────────────────────────────────────────────────────────────────

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterConfigs {
    pub resources: Vec<AlterResource>,
    pub mode: CreateMode,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterResource {
    pub resource: ConfigResource,
    pub alteration: Alteration,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Alteration {
    /// Entries not named stay.
    Some(Vec<(String, EntryChange)>),
    /// Entries not named go.
    All(Vec<(String, String)>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryChange {
    Set(String),
    Delete,
    /// Adds to a list what it lacks.
    Append(String),
    Subtract(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlteredConfigs {
    pub resource: ConfigResource,
    pub result: Result<(), AlterConfigsError>,
}

#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum AlterConfigsError {
    #[error("there is no topic '{0}'")]
    UnknownTopic(String),
    #[error("broker {0} is not registered")]
    UnknownBroker(NodeId),
    #[error("the resource is named more than once in the request")]
    ResourceTwice,
    #[error("{0} is named more than once in the request")]
    KeyTwice(String),
    #[error("{0} is no list: set it instead")]
    NoList(String),
    #[error(
        "{0} can be set for the cluster to another value, but not removed: brokers must agree on it"
    )]
    NotRemovable(String),
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    NotDynamic(String),
}

impl From<&AlterConfigsError> for ErrorCode {
    fn from(error: &AlterConfigsError) -> Self {
        match error {
            AlterConfigsError::UnknownTopic(_) => Self::UnknownTopicOrPartition,
            AlterConfigsError::UnknownBroker(_) => Self::BrokerIdNotRegistered,
            AlterConfigsError::ResourceTwice
            | AlterConfigsError::KeyTwice(_)
            | AlterConfigsError::NotDynamic(_) => Self::InvalidRequest,
            AlterConfigsError::NoList(_)
            | AlterConfigsError::NotRemovable(_)
            | AlterConfigsError::Invalid(_) => Self::InvalidConfig,
        }
    }
}

// ── reassignments ──────────────────────────────────────────────────────────────────────────────

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterReassignments {
    pub reassignments: Vec<Reassignment>,
    pub factor_change: FactorChange,
}

/// Whether a partition may have more or fewer replicas afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FactorChange {
    Allowed,
    Refused,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reassignment {
    pub topic: String,
    pub partition: i32,
    /// Where its replicas are to be, preferred leader first; `None`: where they were.
    pub target: Option<Vec<NodeId>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reassigned {
    pub topic: String,
    pub partition: i32,
    pub result: Result<(), ReassignError>,
}

#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum ReassignError {
    #[error("there is no such topic or partition")]
    UnknownPartition,
    #[error("the partition is named more than once in the request")]
    NamedTwice,
    #[error("the partition is not being reassigned")]
    NothingToCancel,
    #[error("replica assignment: {0}")]
    InvalidAssignment(String),
    #[error("the partition has {current} replicas, {asked} would change its replication factor")]
    FactorChanges { current: usize, asked: usize },
    #[error("cannot go back: of {in_sync:?} in sync too few were there before the reassignment")]
    CancelLosesData { in_sync: Vec<i32> },
}

impl From<&ReassignError> for ErrorCode {
    fn from(error: &ReassignError) -> Self {
        match error {
            ReassignError::UnknownPartition => Self::UnknownTopicOrPartition,
            ReassignError::NamedTwice => Self::InvalidRequest,
            ReassignError::NothingToCancel => Self::NoReassignmentInProgress,
            ReassignError::InvalidAssignment(_) | ReassignError::CancelLosesData { .. } => {
                Self::InvalidReplicaAssignment
            }
            ReassignError::FactorChanges { .. } => Self::InvalidReplicationFactor,
        }
    }
}
