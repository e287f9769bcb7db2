//! What the quorum looks like from this node, for people and for health checks.

use std::time::Duration;

use drave_protocol::ids::MetadataOffset;
use openraft::{Instant, ServerState};
use serde::Serialize;

use crate::node::Node;
use crate::peer::{Peer, PeerId};
use crate::types::{LogId, Member, Metrics};

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
    /// Up to here the log is gone: who needs it gets the snapshot.
    pub purged: MetadataOffset,
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
    /// How long ago it last answered the leader; only the leader knows.
    pub silent_for: Option<Duration>,
}

pub(crate) fn quorum_status(node: &Node) -> QuorumStatus {
    let metrics = node.metrics();
    let membership = metrics.membership_config.clone();
    let matched = metrics.replication.clone().unwrap_or_default();
    let is_leader = metrics.state == ServerState::Leader;
    let member = |(id, member): (&u64, &Member)| {
        let peer = node.peer(*id, member);
        let stored = matched.get(id).copied().flatten();
        MemberStatus {
            id: peer.id,
            address: peer.address,
            matched: stored
                .filter(|_| is_leader)
                .map(|it| MetadataOffset(it.index())),
            silent_for: silent_for(node, &metrics, *id),
        }
    };
    let is_voter = |id: &u64| membership.voter_ids().any(|it| it == *id);
    let (voters, learners): (Vec<_>, Vec<_>) = membership.nodes().partition(|it| is_voter(it.0));
    let offset = |it: &Option<LogId>| MetadataOffset(it.map_or(0, |it| it.index()));
    let fatal = node.machine.failure().or_else(|| {
        let stopped = metrics.running_state.as_ref().err();
        stopped.map(ToString::to_string)
    });
    let leadership = node.leadership.borrow().clone();
    QuorumStatus {
        id: node.id(),
        cluster_id: node.cluster_id(),
        role: role(&metrics),
        term: metrics.current_term,
        has_quorum: fatal.is_none() && has_quorum(node, &metrics),
        leader: leadership.leader,
        voters: voters.into_iter().map(member).collect(),
        learners: learners.into_iter().map(member).collect(),
        last_log: MetadataOffset(metrics.last_log_index.unwrap_or_default()),
        committed: offset(&metrics.local_committed),
        applied: node.machine.image().offset,
        snapshot: offset(&metrics.snapshot),
        purged: offset(&metrics.purged),
        fatal,
        join_refused: match membership.get_node(&node.raft_id()) {
            Some(_) => None,
            None => node.join_refused.lock().clone(),
        },
    }
}

/// How long ago a member last answered this node, if this node leads.
pub(crate) fn silent_for(node: &Node, metrics: &Metrics, id: u64) -> Option<Duration> {
    if metrics.state != ServerState::Leader {
        return None;
    }
    if id == node.raft_id() {
        return Some(Duration::ZERO);
    }
    let answered = metrics.heartbeat.as_ref()?.get(&id)?.as_ref()?;
    Some(answered.elapsed())
}

fn role(metrics: &Metrics) -> QuorumRole {
    match metrics.state {
        ServerState::Leader => QuorumRole::Leader,
        ServerState::Candidate => QuorumRole::Candidate,
        ServerState::Follower => QuorumRole::Follower,
        ServerState::Learner | ServerState::Shutdown => {
            if metrics.membership_config.nodes().next().is_some() {
                QuorumRole::Learner
            } else {
                QuorumRole::Unformed
            }
        }
    }
}

/// Whether this node leads and nobody else can yet: followers vote for none as long after they heard it.
pub(crate) fn leads_for_sure(node: &Node) -> bool {
    let metrics = node.metrics();
    let is_alone = metrics.membership_config.voter_ids().count() == 1;
    let acked = metrics.last_quorum_acked.as_ref();
    let lease = node.config.election_timeout_max;
    metrics.state == ServerState::Leader
        && (is_alone || acked.is_some_and(|it| it.elapsed() <= lease))
}

/// As long as the leader's own lease: past it the leader refuses to propose.
pub(crate) fn has_quorum(node: &Node, metrics: &Metrics) -> bool {
    let recently = node.config.election_timeout_max * 2;
    match metrics.state {
        // Its own ack needs no heartbeat, so the time of the last one stands still.
        ServerState::Leader if metrics.membership_config.voter_ids().count() == 1 => true,
        ServerState::Leader => {
            let acked = metrics.last_quorum_acked.as_ref();
            acked.is_some_and(|it| it.elapsed() <= recently)
        }
        ServerState::Follower | ServerState::Learner => {
            let heard = *node.heard.lock();
            let fresh = heard.is_some_and(|it| (node.now)().duration_since(it) <= recently);
            metrics.current_leader.is_some() && fresh
        }
        ServerState::Candidate | ServerState::Shutdown => false,
    }
}
