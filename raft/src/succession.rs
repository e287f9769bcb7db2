//! Replacing a leader whose process is gone, without the randomised wait that silence takes.
//!
//! A closed connection and a port that refuses prove a dead process; silence proves nothing and is left to the
//! election timeout. Leases still hold: nobody votes before its own lease on the old leader ran out.
//!
//! Whoever is left learns of it at the same instant, and two who stand at once take the votes from each other:
//! then both wait for their timeouts. So they stand one after the other, in the order of their ids.

use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::node::Node;
use crate::peer::{Peer, PeerId, Probe};

const PROBE_PATIENCE: Duration = Duration::from_millis(100);
const PROBE_PAUSE_MIN: Duration = Duration::from_millis(10);
const PROBE_PAUSE_MAX: Duration = Duration::from_millis(100);
/// Refusals in a row that make a process dead.
const REFUSALS_OF_THE_DEAD: u32 = 2;

/// By so much each waits for those before it: longer than a round of votes takes, which disks are synced for.
const TURN: Duration = Duration::from_millis(75);
/// Between attempts, doubling: one that begins before the last was answered takes its answer away.
const ATTEMPT_PAUSE_MIN: Duration = Duration::from_millis(25);
const ATTEMPT_PAUSE_MAX: Duration = Duration::from_millis(200);

/// Until the node stops.
pub(crate) async fn replace_dead_leader(node: Arc<Node>, mut lost: mpsc::Receiver<PeerId>) {
    while let Some(gone) = lost.recv().await {
        let Some(leader) = node.leader().filter(|leader| leader.id == gone) else {
            continue;
        };
        if gone != node.id() && is_dead(&node, &leader).await {
            tracing::info!(leader = %gone, "the leader's process is gone, electing another");
            stand(&node, gone).await;
        }
    }
}

/// Dials until it is plain. The kernel of a dying process accepts until its last socket is closed.
async fn is_dead(node: &Node, leader: &Peer) -> bool {
    let deadline = (node.now)() + node.config.election_timeout_max;
    let (mut n_refusals, mut pause) = (0, PROBE_PAUSE_MIN);
    while node.leader().is_some_and(|it| it.id == leader.id) {
        let dialer = node.links.dialer();
        match dialer.probe(&leader.address, PROBE_PATIENCE).await {
            Probe::Refused => n_refusals += 1,
            Probe::Alive => n_refusals = 0,
            Probe::Silent => return false,
        }
        if n_refusals >= REFUSALS_OF_THE_DEAD {
            return true;
        }
        if node.left(deadline) <= pause {
            return false;
        }
        sleep(pause).await;
        pause = (pause * 2).min(PROBE_PAUSE_MAX);
    }
    false
}

/// Stands for election when it is this node's turn, until somebody leads or the election timeout does it.
async fn stand(node: &Node, gone: PeerId) {
    let voters: Vec<u64> = node.metrics().membership_config.voter_ids().collect();
    let Some(turn) = turn(&voters, node.raft_id(), gone.directory.0) else {
        return;
    };
    let now = (node.now)();
    let heard = node.heard.lock().unwrap_or(now);
    let lease_ends: Instant = heard + node.config.election_timeout_max;
    if others_lead_by(node, gone, node.left(lease_ends) + TURN * turn).await {
        return;
    }
    let deadline = (node.now)() + node.config.election_timeout_max;
    let mut pause = ATTEMPT_PAUSE_MIN;
    while node.left(deadline) > Duration::ZERO {
        if node.raft.trigger().elect(true).await.is_err()
            || others_lead_by(node, gone, node.jitter(pause)).await
        {
            return;
        }
        pause = (pause * 2).min(ATTEMPT_PAUSE_MAX);
        // Voters asked for a vote sync it first.
        let metrics = node.raft.server_metrics();
        let is_candidate = metrics.borrow_watched().state == ServerState::Candidate;
        if is_candidate && others_lead_by(node, gone, node.jitter(ATTEMPT_PAUSE_MAX)).await {
            return;
        }
    }
}

/// Whether somebody else leads, this node perhaps, before that much time is over.
async fn others_lead_by(node: &Node, gone: PeerId, patience: Duration) -> bool {
    let mut leadership = node.leadership.subscribe();
    let other = leadership.wait_for(|it| it.leader.as_ref().is_some_and(|it| it.id != gone));
    timeout(patience, other).await.is_ok()
}

/// How many of the voters that are left stand before this one; `None` if it has no vote.
fn turn(voters: &[u64], me: u64, gone: u64) -> Option<u32> {
    if !voters.contains(&me) {
        return None;
    }
    let before = voters.iter().filter(|it| **it < me && **it != gone);
    u32::try_from(before.count()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_are_left_stand_one_after_the_other() {
        let voters = [30, 10, 20];
        let turns = |gone| [10, 20, 30].map(|me| turn(&voters, me, gone));
        assert_eq!(turns(30), [Some(0), Some(1), Some(2)]);
        assert_eq!(turns(10)[1..], [Some(0), Some(1)]);
        assert_eq!(turns(20)[2], Some(1));
    }

    #[test]
    fn who_has_no_vote_does_not_stand() {
        assert_eq!(turn(&[10, 20], 5, 10), None);
    }
}
