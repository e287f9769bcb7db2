//! What the quorum looks like from this node, for people and for health checks.

use drave_protocol::ids::MetadataOffset;
use serde::Serialize;

use crate::peer::{Peer, PeerId};

/// Who leads, as far as this node knows. Kafka's controller epoch is the `term`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Leadership {
    pub term: u64,
    pub leader: Option<Peer>,
    pub is_self: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuorumStatus {
    pub id: PeerId,
    pub cluster_id: Option<String>,
    pub role: QuorumRole,
    pub term: u64,
    pub leader: Option<Peer>,
    pub voters: Vec<MemberStatus>,
    pub learners: Vec<MemberStatus>,
    /// Last log index here, whether committed or not.
    pub last_log: MetadataOffset,
    pub committed: MetadataOffset,
    pub applied: MetadataOffset,
    /// Index the newest snapshot reaches.
    pub snapshot: MetadataOffset,
    /// A leader is known and was heard recently; on the leader, a quorum acked recently.
    pub has_quorum: bool,
    /// Set for good once this node cannot go on: it must be restarted, or repaired.
    pub fatal: Option<String>,
    /// Why the cluster does not let this node in, while it does not.
    pub join_refused: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum QuorumRole {
    /// Belongs to no cluster yet.
    Unformed,
    Learner,
    Follower,
    Candidate,
    Leader,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberStatus {
    pub id: PeerId,
    pub address: String,
    /// Log index known to be stored there; only the leader knows.
    pub matched: Option<MetadataOffset>,
}
