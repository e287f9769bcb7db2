//! Changes of the quorum: who learns, who votes, who is gone.
//!
//! Invariants: one change at a time, from the leader; a node id is a member under one directory
//! only; a learner becomes a voter only after it holds the entry that let it in.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::raft::Precondition;
use thiserror::Error;
use tokio::time::{sleep, timeout};

use crate::network::rpc::{JoinV1, Response};
use crate::node::Node;
use crate::peer::{Peer, PeerId};
use crate::types::{Member, StoredMembership, TypeConfig};

const CHANGE_PATIENCE: Duration = Duration::from_secs(10);
const RETRY_PAUSE: Duration = Duration::from_millis(20);

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MembershipError {
    #[error("not the leader of the metadata quorum")]
    NotLeader,
    #[error("{0} is not a member")]
    UnknownMember(PeerId),
    /// The same node id is a member under another directory.
    #[error("{0}")]
    Refused(String),
    #[error("the quorum did not agree in time")]
    Timeout,
    #[error("membership change failed: {0}")]
    Failed(String),
}

/// Answers a node that asks to be let in.
pub(crate) async fn join(node: &Node, request: JoinV1) -> Response {
    if !node.is_leader() {
        return Response::NotLeader {
            leader: node.leader(),
        };
    }
    match admit(node, &request).await {
        Ok(()) => Response::Joined,
        Err(MembershipError::NotLeader) => Response::NotLeader {
            leader: node.leader(),
        },
        Err(MembershipError::Refused(reason)) => {
            tracing::error!(peer = %request.peer.id, reason, "a node may not join");
            Response::JoinRefused { reason }
        }
        Err(
            error @ (MembershipError::UnknownMember(_)
            | MembershipError::Timeout
            | MembershipError::Failed(_)),
        ) => Response::Failed {
            reason: error.to_string(),
        },
    }
}

async fn admit(node: &Node, request: &JoinV1) -> Result<(), MembershipError> {
    add_learner(node, &request.peer).await?;
    let peer = &request.peer;
    if request.is_controller && node.config.bootstrap.names(peer.id.node, &peer.address) {
        promote(node, peer.id).await?;
    }
    Ok(())
}

pub(crate) async fn add_learner(node: &Node, peer: &Peer) -> Result<(), MembershipError> {
    let _changing = node.changing.lock().await;
    let id = peer.id.directory.0;
    let current = membership(node);
    if current.get_node(&id).is_some() {
        return Ok(());
    }
    if let Some(other) = same_node(&current, peer.id) {
        return Err(MembershipError::Refused(other));
    }
    let member = Member {
        node: peer.id.node.0,
        address: peer.address.clone(),
    };
    tracing::info!(peer = %peer.id, address = peer.address, "node joins the metadata quorum");
    let added = ChangeMembers::AddNodes([(id, member)].into_iter().collect());
    change(node, added, true).await
}

/// Why a peer may not join while another disk holds its node id.
fn same_node(current: &StoredMembership, peer: PeerId) -> Option<String> {
    let (directory, _) = current.nodes().find(|(directory, member)| {
        member.node == peer.node.0 && **directory != peer.directory.0
    })?;
    Some(format!(
        "node {} is a member with directory {directory:016x}, but the disk that asks to join has \
         directory {:016x}: its metadata was wiped, or two nodes share the id. If the old disk is \
         gone for good, remove the member with node {} and directory {directory:016x} from the \
         quorum; this node then joins as a new one. Otherwise bring the old disk back, or give \
         this node another node.id",
        peer.node, peer.directory.0, peer.node
    ))
}

pub(crate) async fn promote(node: &Node, peer: PeerId) -> Result<(), MembershipError> {
    let id = peer.directory.0;
    let _changing = node.changing.lock().await;
    let current = membership(node);
    if current.get_node(&id).is_none() {
        return Err(MembershipError::UnknownMember(peer));
    }
    if current.voter_ids().any(|it| it == id) {
        return Ok(());
    }
    caught_up(node, id).await?;
    tracing::info!(%peer, "learner becomes a voter of the metadata quorum");
    change(node, ChangeMembers::AddVoterIds(BTreeSet::from([id])), true).await
}

/// openraft calls a learner caught up within thousands of entries: here it must hold the entry that
/// made it a member, or a quorum that counts on it may have nothing in common.
async fn caught_up(node: &Node, id: u64) -> Result<(), MembershipError> {
    let reached = async {
        loop {
            let metrics = node.metrics();
            let Some(replication) = metrics.replication else {
                return Err(MembershipError::NotLeader);
            };
            let matched = replication.get(&id).copied().flatten();
            if matched >= *metrics.membership_config.log_id() {
                return Ok(());
            }
            sleep(RETRY_PAUSE).await;
        }
    };
    match timeout(CHANGE_PATIENCE, reached).await {
        Ok(outcome) => outcome,
        Err(_) => Err(MembershipError::Timeout),
    }
}

pub(crate) async fn remove(node: &Node, peer: PeerId) -> Result<(), MembershipError> {
    let id = peer.directory.0;
    let _changing = node.changing.lock().await;
    let current = membership(node);
    if current.get_node(&id).is_none() {
        return Err(MembershipError::UnknownMember(peer));
    }
    tracing::info!(%peer, "member leaves the metadata quorum");
    let gone = BTreeSet::from([id]);
    if current.voter_ids().any(|it| it == id) {
        // Not retained as a learner: it is gone for good.
        return change(node, ChangeMembers::RemoveVoters(gone), false).await;
    }
    change(node, ChangeMembers::RemoveNodes(gone), true).await
}

fn membership(node: &Node) -> StoredMembership {
    node.metrics().membership_config.as_ref().clone()
}

/// Retries while the leader has no quorum or another change is under way.
async fn change(
    node: &Node,
    members: ChangeMembers<u64, Member>,
    retain: bool,
) -> Result<(), MembershipError> {
    let agreed = async {
        loop {
            // A change computed on an older membership must not go through.
            let guard = Precondition::<TypeConfig>::LastMembershipLogId {
                last_membership_log_id: *membership(node).log_id(),
            };
            let changed = node
                .raft
                .change_membership_if(members.clone(), retain, [guard]);
            match changed.await {
                Ok(_) => return Ok(()),
                Err(RaftError::Fatal(error)) => {
                    return Err(MembershipError::Failed(error.to_string()));
                }
                Err(RaftError::APIError(error)) => {
                    if !is_passing(node, &error)? {
                        return Err(MembershipError::Failed(error.to_string()));
                    }
                    sleep(RETRY_PAUSE).await;
                }
            }
        }
    };
    match timeout(CHANGE_PATIENCE, agreed).await {
        Ok(outcome) => outcome,
        Err(_) => Err(MembershipError::Timeout),
    }
}

fn is_passing(node: &Node, error: &ClientWriteError<TypeConfig>) -> Result<bool, MembershipError> {
    match error {
        ClientWriteError::ForwardToLeader(_) if node.is_leader() => Ok(true),
        ClientWriteError::ForwardToLeader(_) | ClientWriteError::LogEntryDiscarded(_) => {
            Err(MembershipError::NotLeader)
        }
        ClientWriteError::ChangeMembershipError(error) => {
            use openraft::errors::ChangeMembershipError as Change;
            Ok(match error {
                Change::InProgress(_) | Change::UncommittedLeaderLog(_) => true,
                Change::EmptyMembership(_)
                | Change::LearnerNotFound(_)
                | Change::UnsupportedMembershipTransition(_)
                | Change::NodeMetadataChanged(_) => false,
            })
        }
        ClientWriteError::PreconditionFailed(_) => Ok(true),
    }
}
