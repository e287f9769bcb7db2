//! Who leads: what openraft knows, as the rest of the node sees it; and two things a change of
//! leader makes necessary, naming a new cluster and handing over.

use std::sync::Arc;
use std::time::Duration;

use drave_protocol::ids::Uuid;
use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use tokio::time::sleep;

use crate::node::Node;
use crate::propose::{ProposeError, propose};
use crate::record::{ClusterV1, MetadataRecord};
use crate::status::Leadership;

const RETRY_PAUSE: Duration = Duration::from_millis(20);
const HAND_OVER_PATIENCE: Duration = Duration::from_millis(300);

/// Keeps `Node::leadership` current; names the cluster when this node is its first leader.
pub(crate) async fn watch(node: Arc<Node>) {
    let mut metrics = node.raft.server_metrics();
    loop {
        let now = metrics.borrow_watched().clone();
        let membership = now.membership_config;
        let leader = now.current_leader.and_then(|id| {
            let member = membership.get_node(&id)?;
            Some(node.peer(id, member))
        });
        let leadership = Leadership {
            term: now.vote.leader_id().term,
            is_self: now.state == ServerState::Leader,
            leader,
        };
        let term = leadership.term;
        let leads = leadership.is_self;
        let changed = node.leadership.send_if_modified(|shown| {
            let changed = *shown != leadership;
            if changed {
                *shown = leadership;
            }
            changed
        });
        if changed && leads {
            let node = node.clone();
            let tasks = node.tasks.clone();
            tasks.spawn(async move { name_cluster(&node, term).await });
        }
        if metrics.changed().await.is_err() {
            break;
        }
    }
    // openraft stopped, in order or not: whoever leads now, it is not this node.
    node.leadership.send_modify(|shown| {
        shown.leader = None;
        shown.is_self = false;
    });
}

/// Once an entry of this term is applied the image holds everything agreed before, so a missing
/// name is really missing.
async fn name_cluster(node: &Node, term: u64) {
    let mut applied = node.machine.applied();
    loop {
        let image = node.machine.image();
        let leadership = node.leadership.borrow().clone();
        if !leadership.is_self || leadership.term != term || image.cluster_id.is_some() {
            return;
        }
        if image.term < term {
            // Whatever ends the wait, the checks above decide.
            drop(tokio::time::timeout(RETRY_PAUSE, applied.changed()).await);
            continue;
        }
        let mut bytes = [0; 16];
        let (high, low) = bytes.split_at_mut(8);
        high.copy_from_slice(&(node.random_u64)().to_be_bytes());
        low.copy_from_slice(&(node.random_u64)().to_be_bytes());
        let cluster_id = Uuid::from_random(bytes).to_string();
        let record = MetadataRecord::Cluster(ClusterV1 { cluster_id });
        match propose(node, term, vec![record]).await {
            Ok(_)
            | Err(
                ProposeError::Rejected(_) | ProposeError::NotLeader { .. } | ProposeError::Fatal(_),
            ) => return,
            Err(ProposeError::Unavailable | ProposeError::Timeout) => sleep(RETRY_PAUSE).await,
            Err(error @ ProposeError::TooLarge { .. }) => {
                tracing::error!(%error, "the cluster's name cannot be proposed");
                return;
            }
        }
    }
}

/// Before a leader stops it lets the most advanced voter lead, so that nobody waits for its lease.
pub(crate) async fn hand_over(node: &Node) {
    let metrics = node.metrics();
    let Some(replication) = metrics.replication else {
        return;
    };
    let me = node.raft_id();
    let others = metrics.membership_config.voter_ids().filter(|id| *id != me);
    let Some(heir) = others.max_by_key(|id| replication.get(id).copied().flatten()) else {
        return;
    };
    let mut leadership = node.leadership.subscribe();
    if node.raft.trigger().transfer_leader(heir).await.is_ok() {
        let handed = leadership.wait_for(|it| !it.is_self);
        // An heir that does not come is replaced by the next election.
        drop(tokio::time::timeout(HAND_OVER_PATIENCE, handed).await);
    }
}
