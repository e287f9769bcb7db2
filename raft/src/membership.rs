//! Changes of the quorum: who learns, who votes, who is gone.
//!
//! Invariants: one change at a time, from the leader; a node id is a member under one directory
//! only; a learner becomes a voter only while it answers and holds what the leader held; no change
//! leaves a quorum of which no majority lives; a leader hands over before it loses its vote.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{DirectoryId, NodeId};
use openraft::ChangeMembers;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::raft::Precondition;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::time::{sleep, timeout};

use crate::network::rpc::{JoinV1, Response};
use crate::node::Node;
use crate::peer::{Peer, PeerId};
use crate::status::silent_for;
use crate::types::{Member, Metrics, StoredMembership, TypeConfig};

const CHANGE_PATIENCE: Duration = Duration::from_secs(10);
const RETRY_PAUSE: Duration = Duration::from_millis(20);

#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum MembershipError {
    #[error("not the leader of the metadata quorum")]
    NotLeader,
    #[error("{0} is not a member")]
    UnknownMember(PeerId),
    /// The same node id is a member under another directory.
    #[error("{0}")]
    Refused(String),
    #[error("{0} votes already")]
    AlreadyVotes(PeerId),
    #[error("{0} does not answer the leader: start it, and add it when it follows")]
    NotLive(PeerId),
    #[error("{0} lives and does not vote: it follows the log, as every node does")]
    LivesWithoutVote(PeerId),
    #[error("{0} is the only voter")]
    LastVoter(PeerId),
    #[error(
        "without {peer} the quorum has {voters} voters and needs {needed} of them, but only {} live: \
         bring the others back first, or remove those that are gone for good",
        named(live)
    )]
    NoMajority {
        peer: PeerId,
        voters: usize,
        needed: usize,
        live: Vec<NodeId>,
    },
    #[error("{0} is a voter that does not follow the log in time")]
    NotCaughtUp(PeerId),
    #[error("the quorum did not agree in time")]
    Timeout,
    #[error("membership change failed: {0}")]
    Failed(String),
}

impl From<&MembershipError> for ErrorCode {
    fn from(error: &MembershipError) -> Self {
        match error {
            MembershipError::NotLeader => Self::NotController,
            MembershipError::UnknownMember(_) | MembershipError::LivesWithoutVote(_) => {
                Self::VoterNotFound
            }
            MembershipError::Refused(_) => Self::InvalidVoterKey,
            MembershipError::AlreadyVotes(_) => Self::DuplicateVoter,
            MembershipError::LastVoter(_) | MembershipError::NoMajority { .. } => {
                Self::InvalidRequest
            }
            MembershipError::NotLive(_)
            | MembershipError::NotCaughtUp(_)
            | MembershipError::Timeout => Self::RequestTimedOut,
            MembershipError::Failed(_) => Self::UnknownServerError,
        }
    }
}

fn named(nodes: &[NodeId]) -> String {
    match nodes {
        [] => "none".to_owned(),
        [one] => format!("node {one}"),
        several => {
            let ids: Vec<String> = several.iter().map(ToString::to_string).collect();
            format!("nodes {}", ids.join(", "))
        }
    }
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
            // It asks again every second.
            let said = node.turned_away.lock().replace(reason.clone());
            if said.as_ref() != Some(&reason) {
                tracing::error!(peer = %request.peer.id, reason, "a node may not join");
            }
            Response::JoinRefused { reason }
        }
        Err(
            error @ (MembershipError::UnknownMember(_)
            | MembershipError::AlreadyVotes(_)
            | MembershipError::NotLive(_)
            | MembershipError::LivesWithoutVote(_)
            | MembershipError::LastVoter(_)
            | MembershipError::NoMajority { .. }
            | MembershipError::NotCaughtUp(_)
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
    if let Some(member) = membership(node).get_node(&peer.id.directory.0) {
        // It asks because it does not hear us: perhaps it is looked for where it was.
        node.links
            .found_at(peer.id.directory.0, member, &peer.address);
    }
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
         gone for good, remove the member with: drave node readmit {} --directory \
         {directory:016x}; this node then joins as a new one. Otherwise bring the old disk back, \
         or give this node another node.id",
        peer.node, peer.directory.0, peer.node
    ))
}

/// Makes a member vote that does not yet.
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
    caught_up(node, peer).await?;
    tracing::info!(%peer, "learner becomes a voter of the metadata quorum");
    change(node, ChangeMembers::AddVoterIds(BTreeSet::from([id])), true).await
}

/// Makes `peer` a voter, and a member first where it is none: because somebody asked for just that.
pub(crate) async fn add_voter(node: &Node, peer: &Peer) -> Result<(), MembershipError> {
    if !node.is_leader() {
        return Err(MembershipError::NotLeader);
    }
    let current = membership(node);
    let node_of = |id: &u64| current.get_node(id).map(|it| it.node);
    let voter = current
        .voter_ids()
        .find(|it| node_of(it) == Some(peer.id.node.0));
    if let Some(directory) = voter {
        return Err(MembershipError::AlreadyVotes(PeerId {
            node: peer.id.node,
            directory: DirectoryId(directory),
        }));
    }
    add_learner(node, peer).await?;
    promote(node, peer.id).await
}

/// openraft calls a learner caught up within thousands of entries: here it must live and hold all
/// that the leader held when it was asked to become a voter, or a quorum that counts on it may have
/// nothing in common, and waits for it.
async fn caught_up(node: &Node, peer: PeerId) -> Result<(), MembershipError> {
    let id = peer.directory.0;
    let goal = node.metrics().last_log_index;
    let began = (node.now)();
    let mut was_live = false;
    let reached = async {
        loop {
            let metrics = node.metrics();
            let Some(replication) = &metrics.replication else {
                return Err(MembershipError::NotLeader);
            };
            let matched = replication.get(&id).copied().flatten();
            let lives = answered_since(node, &metrics, began, id);
            was_live |= lives;
            if lives && matched.map(|it| it.index()) >= goal {
                return Ok(());
            }
            sleep(RETRY_PAUSE).await;
        }
    };
    match timeout(CHANGE_PATIENCE, reached).await {
        Ok(outcome) => outcome,
        Err(_) if was_live => Err(MembershipError::NotCaughtUp(peer)),
        Err(_) => Err(MembershipError::NotLive(peer)),
    }
}

fn answered_since(node: &Node, metrics: &Metrics, since: Instant, id: u64) -> bool {
    let elapsed = (node.now)().saturating_duration_since(since);
    silent_for(node, metrics, id).is_some_and(|it| it <= elapsed)
}

/// Which of the members answer the leader now. What they answered before says nothing: one that died a
/// moment ago would be counted on.
async fn living(node: &Node, ids: &[u64]) -> Vec<u64> {
    let began = (node.now)();
    let patience = node.config.election_timeout_max * 2;
    loop {
        let metrics = node.metrics();
        let answers = |id: &u64| answered_since(node, &metrics, began, *id);
        let living: Vec<u64> = ids.iter().copied().filter(answers).collect();
        if living.len() == ids.len() || (node.now)() >= began + patience {
            return living;
        }
        sleep(RETRY_PAUSE).await;
    }
}

/// Takes a vote away, and the membership too where nobody answers: a node that lives goes on following
/// the log. Refused where the voters that stay could not agree on anything.
pub(crate) async fn remove(node: &Node, peer: PeerId) -> Result<(), MembershipError> {
    let id = peer.directory.0;
    let _changing = node.changing.lock().await;
    let metrics = node.metrics();
    if metrics.replication.is_none() {
        return Err(MembershipError::NotLeader);
    }
    let current = metrics.membership_config.as_ref();
    if current.get_node(&id).map(|it| it.node) != Some(peer.node.0) {
        return Err(MembershipError::UnknownMember(peer));
    }
    let is_voter = current.voter_ids().any(|it| it == id);
    let asked: Vec<u64> = if is_voter {
        let others = current.voter_ids().filter(|it| *it != id);
        others.chain([id]).collect()
    } else {
        vec![id]
    };
    let living = living(node, &asked).await;
    let lives = living.contains(&id);
    if !is_voter {
        if lives {
            return Err(MembershipError::LivesWithoutVote(peer));
        }
        tracing::info!(%peer, "member leaves the metadata quorum");
        let gone = ChangeMembers::RemoveNodes(BTreeSet::from([id]));
        return change(node, gone, true).await;
    }
    let heir = check_majority_without(node, peer, &living)?;
    if id == node.raft_id() {
        return hand_over_to(node, heir).await;
    }
    if lives {
        tracing::info!(%peer, "voter becomes a learner of the metadata quorum");
    } else {
        tracing::info!(%peer, "voter leaves the metadata quorum");
    }
    change(
        node,
        ChangeMembers::RemoveVoters(BTreeSet::from([id])),
        lives,
    )
    .await
}

/// Whether the voters that stay can agree; then the one that knows most, beside this node.
fn check_majority_without(
    node: &Node,
    peer: PeerId,
    living: &[u64],
) -> Result<Option<u64>, MembershipError> {
    let metrics = node.metrics();
    let members = &metrics.membership_config;
    let staying = members.voter_ids().filter(|it| *it != peer.directory.0);
    let staying: Vec<u64> = staying.collect();
    if staying.is_empty() {
        return Err(MembershipError::LastVoter(peer));
    }
    let live: Vec<u64> = staying
        .iter()
        .copied()
        .filter(|it| living.contains(it))
        .collect();
    let needed = staying.len() / 2 + 1;
    if live.len() < needed {
        let node_of = |id: &u64| members.get_node(id).map(|it| NodeId(it.node));
        return Err(MembershipError::NoMajority {
            peer,
            voters: staying.len(),
            needed,
            live: live.iter().filter_map(node_of).collect(),
        });
    }
    let matched = |id: &u64| metrics.replication.as_ref()?.get(id).copied().flatten();
    let others = live.into_iter().filter(|it| *it != node.raft_id());
    Ok(others.max_by_key(matched))
}

/// A leader that is to go lets another lead first, which is then asked the same.
async fn hand_over_to(node: &Node, heir: Option<u64>) -> Result<(), MembershipError> {
    let Some(heir) = heir else {
        return Err(MembershipError::Timeout);
    };
    tracing::info!("the leader is to lose its vote: another leads first");
    let mut leadership = node.leadership.subscribe();
    let trigger = node.raft.trigger();
    let asked = trigger.transfer_leader(heir).await;
    asked.map_err(|error| MembershipError::Failed(error.to_string()))?;
    let handed = leadership.wait_for(|it| !it.is_self);
    match timeout(CHANGE_PATIENCE, handed).await {
        Ok(_) => Err(MembershipError::NotLeader),
        Err(_) => Err(MembershipError::Timeout),
    }
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
