//! Asking the other nodes: all at once, each with the same short deadline.
//!
//! Invariant: a node that was to be asked is either in the answer or in `unanswered`, with why.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use drave_protocol::ids::NodeId;
use drave_raft::Probe;
use tokio::task::JoinSet;

use crate::cluster::rpc::{self, PeerReply, PeerRequest, PeerResponse};
use crate::cluster::view::ClusterView;
use crate::http::answers::Unanswered;
use crate::http::sources::Sources;
use crate::http::state::HttpState;
use crate::replica::status::{LogDirStatus, ReplicaStatus};

/// People wait for this: better a part that says it is one than a whole that is late.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

/// A connect on a network that works takes far less.
const PROBE_PATIENCE: Duration = Duration::from_millis(300);

/// What the nodes said of their replicas.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) by_node: BTreeMap<NodeId, Vec<ReplicaStatus>>,
    pub(super) unanswered: Vec<Unanswered>,
}

impl Asked {
    fn note(&mut self, node: NodeId, answer: Result<Vec<ReplicaStatus>, String>) {
        match answer {
            Ok(replicas) => {
                self.by_node.insert(node, replicas);
            }
            Err(reason) => self.unanswered.push(Unanswered { node, reason }),
        }
        self.unanswered.sort_by_key(|it| it.node);
    }

    /// What `node` says of its replica of this partition.
    pub(super) fn replica(
        &self,
        node: NodeId,
        topic_id: &str,
        partition: i32,
    ) -> Option<&ReplicaStatus> {
        let mut replicas = self.by_node.get(&node)?.iter();
        replicas.find(|it| it.partition == partition && it.topic_id == topic_id)
    }
}

/// Asks each of `nodes` what its replicas look like; this node among them answers for itself.
///
/// Cancellation: safe, questions under way are dropped with their tasks.
pub(super) async fn replicas_of(
    state: &HttpState,
    view: &ClusterView,
    nodes: &BTreeSet<NodeId>,
) -> Asked {
    let deadline = state.clock.now() + PATIENCE;
    let mut asked = Asked::default();
    let mut questions = JoinSet::new();
    for node in nodes.iter().copied().filter(|it| *it != state.node) {
        let Some(broker) = view.broker(node) else {
            asked.note(node, Err("it is not a registered broker".to_owned()));
            continue;
        };
        let address = broker.controller_address.clone();
        let sources = Arc::clone(&state.sources);
        questions
            .spawn(async move { (node, ask(sources.as_ref(), node, &address, deadline).await) });
    }
    if nodes.contains(&state.node) {
        asked.note(state.node, own_replicas(state, deadline).await);
    }
    while let Some(answered) = questions.join_next().await {
        if let Ok((node, answer)) = answered {
            asked.note(node, answer);
        }
    }
    let silent: Vec<NodeId> = nodes
        .iter()
        .copied()
        .filter(|node| {
            !asked.by_node.contains_key(node) && !asked.unanswered.iter().any(|it| it.node == *node)
        })
        .collect();
    for node in silent {
        asked.note(node, Err("asking it failed inside this node".to_owned()));
    }
    asked
}

pub(super) async fn own_replicas(
    state: &HttpState,
    deadline: Instant,
) -> Result<Vec<ReplicaStatus>, String> {
    own(state, deadline, Sources::replicas).await
}

pub(super) async fn own_log_dirs(
    state: &HttpState,
    deadline: Instant,
) -> Result<Vec<LogDirStatus>, String> {
    own(state, deadline, Sources::log_dirs).await
}

/// What this node's replicas say, read off the async threads: their locks are held across disk writes.
async fn own<T: Send + 'static>(
    state: &HttpState,
    deadline: Instant,
    say: fn(&dyn Sources) -> T,
) -> Result<T, String> {
    let sources = Arc::clone(&state.sources);
    let readers = Arc::clone(&state.local_readers);
    let tasks = state.tasks.clone();
    let reading = async move {
        let reader = readers.acquire_owned().await.ok()?;
        tasks
            .run_blocking(move || {
                // Held by the thread, not by whoever waits for it: that one may give up.
                let _reader = reader;
                say(sources.as_ref())
            })
            .await
    };
    match tokio::time::timeout_at(deadline.into(), reading).await {
        Ok(Some(said)) => Ok(said),
        Ok(None) => Err("this node is stopping".to_owned()),
        Err(_) => Err(format!(
            "its own replicas were busy for {} ms",
            PATIENCE.as_millis()
        )),
    }
}

async fn ask(
    sources: &dyn Sources,
    node: NodeId,
    address: &str,
    deadline: Instant,
) -> Result<Vec<ReplicaStatus>, String> {
    let request = rpc::encode(&PeerRequest::DescribeReplicas).map_err(|it| it.to_string())?;
    let answer = sources.call(address, request, deadline);
    let bytes = tokio::time::timeout_at(deadline.into(), answer)
        .await
        .map_err(|_| {
            format!(
                "no answer from {address} within {} ms",
                PATIENCE.as_millis()
            )
        })??;
    understand(node, &bytes)
}

/// Reads the answer to `DescribeReplicas`.
fn understand(node: NodeId, bytes: &Bytes) -> Result<Vec<ReplicaStatus>, String> {
    let answer: PeerReply = rpc::decode(bytes).map_err(|it| it.to_string())?;
    match answer.response {
        PeerResponse::DescribeReplicas(json) => serde_json::from_slice(&json)
            .map_err(|it| format!("node {node} described its replicas unreadably: {it}")),
        PeerResponse::Refused(refusal) => Err(refusal.to_string()),
        PeerResponse::RegisterBroker(_)
        | PeerResponse::Heartbeat(_)
        | PeerResponse::AlterPartition(_)
        | PeerResponse::CreateTopics(_)
        | PeerResponse::DeleteTopics(_)
        | PeerResponse::ReportOffline(_)
        | PeerResponse::AllocateProducerIds(_)
        | PeerResponse::Administered(_)
        | PeerResponse::Quorum(_)
        | PeerResponse::Operated(_) => Err(format!("node {node} answered something else")),
    }
}

/// Which of `addresses` answer, and the reasons of those that do not.
///
/// Cancellation: safe, as above.
pub(super) async fn who_is_alive(
    state: &HttpState,
    addresses: BTreeMap<NodeId, String>,
) -> (BTreeMap<NodeId, bool>, Vec<Unanswered>) {
    let mut probes = JoinSet::new();
    for (node, address) in addresses {
        let sources = Arc::clone(&state.sources);
        probes.spawn(async move {
            let probe = sources.probe(&address, PROBE_PATIENCE).await;
            (node, address, probe)
        });
    }
    let mut alive = BTreeMap::new();
    let mut unanswered = Vec::new();
    while let Some(answered) = probes.join_next().await {
        let Ok((node, address, probe)) = answered else {
            continue;
        };
        alive.insert(node, probe == Probe::Alive);
        let reason = match probe {
            Probe::Alive => continue,
            Probe::Refused => format!("connection to {address} refused"),
            Probe::Silent => {
                let patience_ms = PROBE_PATIENCE.as_millis();
                format!("no answer from {address} within {patience_ms} ms")
            }
        };
        unanswered.push(Unanswered { node, reason });
    }
    unanswered.sort_by_key(|it| it.node);
    (alive, unanswered)
}
