//! openraft's values as we persist and send them: mirrors of our own, so that a bump of openraft
//! cannot change a byte on disk.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use openraft::entry::RaftEntry;
use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError};
use crate::types::{
    Entry, LogId, Member, Membership, Payload, RecordBatch, SnapshotMeta, StoredMembership, Vote,
    log_id,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct LogIdV1 {
    pub(crate) term: u64,
    pub(crate) index: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VoteV1 {
    pub(crate) term: u64,
    /// Directory id of the candidate.
    pub(crate) voted_for: u64,
    /// Whether a quorum granted it.
    pub(crate) committed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EntryV1 {
    pub(crate) id: LogIdV1,
    pub(crate) payload: PayloadV1,
}

/// Persisted; variants are numbered by their place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PayloadV1 {
    Blank,
    Records { wall_ms: i64, records: Bytes },
    Membership(MembershipV1),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MembershipV1 {
    /// One set of voters, or two while a change is under way.
    pub(crate) configs: Vec<BTreeSet<u64>>,
    pub(crate) nodes: BTreeMap<u64, MemberV1>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MemberV1 {
    pub(crate) node: i32,
    pub(crate) address: String,
}

/// Up to where a snapshot or checkpoint reaches, and who the members were there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AppliedV1 {
    pub(crate) last: Option<LogIdV1>,
    pub(crate) membership_at: Option<LogIdV1>,
    pub(crate) membership: MembershipV1,
}

impl LogIdV1 {
    pub(crate) fn of(id: &LogId) -> Self {
        Self {
            term: id.committed_leader_id().term,
            index: id.index(),
        }
    }

    pub(crate) fn to_log_id(self) -> LogId {
        log_id(self.term, self.index)
    }
}

impl VoteV1 {
    pub(crate) fn of(vote: &Vote) -> Self {
        Self {
            term: vote.leader_id().term,
            voted_for: vote.leader_id().voted_for,
            committed: vote.is_committed(),
        }
    }

    pub(crate) fn to_vote(self) -> Vote {
        if self.committed {
            Vote::new_committed(self.term, self.voted_for)
        } else {
            Vote::new(self.term, self.voted_for)
        }
    }
}

impl MembershipV1 {
    pub(crate) fn of(membership: &Membership) -> Self {
        let nodes = membership.nodes().map(|(id, member)| {
            let member = MemberV1 {
                node: member.node,
                address: member.address.clone(),
            };
            (*id, member)
        });
        Self {
            configs: membership.get_joint_config().clone(),
            nodes: nodes.collect(),
        }
    }

    pub(crate) fn to_membership(&self) -> Result<Membership, CodecError> {
        if self.configs.is_empty() && self.nodes.is_empty() {
            return Ok(Membership::default());
        }
        let nodes: BTreeMap<u64, Member> = self
            .nodes
            .iter()
            .map(|(id, member)| {
                let member = Member {
                    node: member.node,
                    address: member.address.clone(),
                };
                (*id, member)
            })
            .collect();
        Membership::new(self.configs.clone(), nodes)
            .map_err(|error| CodecError::Body(error.to_string()))
    }
}

impl EntryV1 {
    pub(crate) fn of(entry: &Entry) -> Self {
        let payload = match &entry.payload {
            Payload::Blank => PayloadV1::Blank,
            Payload::Normal(batch) => PayloadV1::Records {
                wall_ms: batch.wall_ms,
                records: batch.records.clone(),
            },
            Payload::Membership(it) => PayloadV1::Membership(MembershipV1::of(it)),
        };
        Self {
            id: LogIdV1::of(&entry.log_id),
            payload,
        }
    }

    pub(crate) fn into_entry(self) -> Result<Entry, CodecError> {
        let payload = match self.payload {
            PayloadV1::Blank => Payload::Blank,
            PayloadV1::Records { wall_ms, records } => {
                Payload::Normal(RecordBatch { wall_ms, records })
            }
            PayloadV1::Membership(it) => Payload::Membership(it.to_membership()?),
        };
        Ok(Entry::new(self.id.to_log_id(), payload))
    }
}

impl AppliedV1 {
    pub(crate) fn of(last: Option<&LogId>, membership: &StoredMembership) -> Self {
        Self {
            last: last.map(LogIdV1::of),
            membership_at: membership.log_id().as_ref().map(LogIdV1::of),
            membership: MembershipV1::of(membership.membership()),
        }
    }

    pub(crate) fn to_meta(&self) -> Result<SnapshotMeta, CodecError> {
        Ok(SnapshotMeta {
            last_log_id: self.last.map(LogIdV1::to_log_id),
            last_membership: StoredMembership::new(
                self.membership_at.map(LogIdV1::to_log_id),
                self.membership.to_membership()?,
            ),
        })
    }
}

pub(crate) fn encode_entry(entry: &Entry) -> Result<Bytes, CodecError> {
    codec::encode(&EntryV1::of(entry)).map(Bytes::from)
}

pub(crate) fn decode_entry(bytes: &[u8]) -> Result<Entry, CodecError> {
    codec::decode::<EntryV1>(bytes)?.into_entry()
}
