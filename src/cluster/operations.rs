//! What operators ask of the controller: who votes, which broker is gone, which is to be emptied.
//!
//! The requests and answers as they travel over the peer port; the order of variants and fields is the
//! format.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{MetadataOffset, NodeId};
use drave_raft::{MembershipError, Peer, PeerId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What only the leader of the quorum knows or can change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuorumRequest {
    Describe,
    AddVoter(Peer),
    RemoveVoter(PeerId),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuorumResponse {
    Described(QuorumDescription),
    Changed(Result<(), MembershipError>),
}

/// The quorum as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuorumDescription {
    pub leader: NodeId,
    pub term: u64,
    pub committed: MetadataOffset,
    pub voters: Vec<MemberDescription>,
    pub observers: Vec<MemberDescription>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberDescription {
    pub peer: Peer,
    /// The last log index known to be stored there.
    pub matched: Option<MetadataOffset>,
    /// When it last answered the leader, by the leader's wall clock.
    pub answered_at_ms: Option<i64>,
    /// The same, if it held the whole log then.
    pub caught_up_at_ms: Option<i64>,
}

/// What the controller decides about brokers on an operator's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperatorRequest {
    Unregister(NodeId),
    Drain(NodeId),
    Undrain(NodeId),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperatorResponse {
    Unregistered(Result<(), UnregisterError>),
    /// What is left on the broker.
    Drained(Result<Remains, NotRegistered>),
}

/// What a broker still carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remains {
    pub leaders: usize,
    pub replicas: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[error("broker {0} is not registered")]
pub struct NotRegistered(pub NodeId);

#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum UnregisterError {
    #[error(transparent)]
    NotRegistered(#[from] NotRegistered),
    /// It would be back at once.
    #[error("broker {0} is running: stop it first, or it registers again")]
    Running(NodeId),
    #[error(
        "nobody but broker {broker} is known to hold the records of {n_partitions} partitions, {first} \
         among them: bring its disk back, or delete those topics"
    )]
    LastCopy {
        broker: NodeId,
        n_partitions: usize,
        first: String,
    },
}

impl From<&UnregisterError> for ErrorCode {
    fn from(error: &UnregisterError) -> Self {
        match error {
            UnregisterError::NotRegistered(_) => Self::BrokerIdNotRegistered,
            UnregisterError::Running(_) | UnregisterError::LastCopy { .. } => Self::InvalidRequest,
        }
    }
}

impl From<&NotRegistered> for ErrorCode {
    fn from(_: &NotRegistered) -> Self {
        Self::BrokerIdNotRegistered
    }
}
