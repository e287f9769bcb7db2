//! Asking the other nodes: all at once, each with the same short deadline.
//!
//! Invariant: a node that was to be asked is either in the answer or in `unanswered`, with why.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use drave_protocol::ids::NodeId;
use drave_raft::Probe;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::cluster::rpc::{self, PeerReply, PeerRequest, PeerResponse};
use crate::cluster::view::ClusterView;
use crate::coordinator::group::{GroupDescription, GroupStatus};
use crate::http::answers::Unanswered;
use crate::http::sources::Sources;
use crate::http::state::HttpState;
use crate::replica::status::{LogDirStatus, ReplicaStatus};

/// People wait for this: better a part that says it is one than a whole that is late.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

/// A connect on a network that works takes far less.
const PROBE_PATIENCE: Duration = Duration::from_millis(300);

/// What the nodes said, of their replicas unless of something else.
#[derive(Debug)]
pub(super) struct Asked<T = Vec<ReplicaStatus>> {
    pub(super) by_node: BTreeMap<NodeId, T>,
    pub(super) unanswered: Vec<Unanswered>,
}

impl<T> Asked<T> {
    fn note(&mut self, node: NodeId, answer: Result<T, String>) {
        match answer {
            Ok(said) => {
                self.by_node.insert(node, said);
            }
            Err(reason) => self.unanswered.push(Unanswered { node, reason }),
        }
        self.unanswered.sort_by_key(|it| it.node);
    }
}

impl Asked {
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
    let question = Question {
        request: PeerRequest::DescribeReplicas,
        read: |response| {
            let PeerResponse::DescribeReplicas(json) = response else {
                return None;
            };
            Some(read_json(&json))
        },
    };
    let deadline = state.clock.now() + PATIENCE;
    let own = own_replicas(state, deadline);
    everyone(state, view, nodes, (question, own), deadline).await
}

/// Asks each of `nodes` for the groups it coordinates.
///
/// Cancellation: safe, as above.
pub(super) async fn groups_of(
    state: &HttpState,
    view: &ClusterView,
    nodes: &BTreeSet<NodeId>,
) -> Asked<Vec<GroupStatus>> {
    let question = Question {
        request: PeerRequest::DescribeGroups(None),
        read: groups_in::<Vec<GroupStatus>>,
    };
    let deadline = state.clock.now() + PATIENCE;
    let own = in_time(state.sources.groups_here(), deadline);
    everyone(state, view, nodes, (question, own), deadline).await
}

/// Asks a coordinator for one of its groups; `Ok(None)`: there is no such group.
///
/// Cancellation: safe, as above.
pub(super) async fn group_of(
    state: &HttpState,
    view: &ClusterView,
    coordinator: NodeId,
    group: &str,
) -> Result<Option<GroupDescription>, String> {
    let question = Question {
        request: PeerRequest::DescribeGroups(Some(group.to_owned())),
        read: groups_in::<Option<GroupDescription>>,
    };
    let deadline = state.clock.now() + PATIENCE;
    let own = in_time(state.sources.group_here(group), deadline);
    let nodes = BTreeSet::from([coordinator]);
    let asked = everyone(state, view, &nodes, (question, own), deadline).await;
    let mut unanswered = asked.unanswered.into_iter();
    match (asked.by_node.into_values().next(), unanswered.next()) {
        (Some(answer), _) => Ok(answer),
        (None, Some(it)) => Err(format!("node {}: {}", it.node, it.reason)),
        (None, None) => Err(format!("node {coordinator} said nothing")),
    }
}

/// What is asked of other nodes, and what their answer says, if it is one to that.
struct Question<T> {
    request: PeerRequest,
    read: fn(PeerResponse) -> Option<Result<T, String>>,
}

fn groups_in<T: DeserializeOwned>(response: PeerResponse) -> Option<Result<T, String>> {
    let PeerResponse::DescribeGroups(json) = response else {
        return None;
    };
    // Whoever was asked may have had a reason not to say.
    Some(read_json::<Result<T, String>>(&json).and_then(|it| it))
}

fn read_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    serde_json::from_slice(json).map_err(|it| format!("what it said is unreadable: {it}"))
}

async fn in_time<T>(
    answer: impl Future<Output = Result<T, String>>,
    deadline: Instant,
) -> Result<T, String> {
    let answer = tokio::time::timeout_at(deadline.into(), answer).await;
    answer.unwrap_or_else(|_| Err(format!("no answer within {} ms", PATIENCE.as_millis())))
}

/// This node among `nodes` answers with `own`.
async fn everyone<T: Send + 'static>(
    state: &HttpState,
    view: &ClusterView,
    nodes: &BTreeSet<NodeId>,
    (question, own): (Question<T>, impl Future<Output = Result<T, String>>),
    deadline: Instant,
) -> Asked<T> {
    let mut asked = Asked {
        by_node: BTreeMap::new(),
        unanswered: Vec::new(),
    };
    let mut questions = JoinSet::new();
    for node in nodes.iter().copied().filter(|it| *it != state.node) {
        let Some(broker) = view.broker(node) else {
            asked.note(node, Err("it is not a registered broker".to_owned()));
            continue;
        };
        let address = broker.controller_address.clone();
        let (sources, read) = (Arc::clone(&state.sources), question.read);
        let request = rpc::encode(&question.request).map_err(|it| it.to_string());
        questions.spawn(async move {
            let answer = async {
                let answer = ask(sources.as_ref(), &address, request?, deadline).await?;
                understand(node, &answer, read)
            };
            (node, answer.await)
        });
    }
    if nodes.contains(&state.node) {
        asked.note(state.node, own.await);
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
    address: &str,
    request: Bytes,
    deadline: Instant,
) -> Result<Bytes, String> {
    let answer = sources.call(address, request, deadline);
    tokio::time::timeout_at(deadline.into(), answer)
        .await
        .map_err(|_| {
            format!(
                "no answer from {address} within {} ms",
                PATIENCE.as_millis()
            )
        })?
}

fn understand<T>(
    node: NodeId,
    bytes: &Bytes,
    read: fn(PeerResponse) -> Option<Result<T, String>>,
) -> Result<T, String> {
    let answer: PeerReply = rpc::decode(bytes).map_err(|it| it.to_string())?;
    if let PeerResponse::Refused(refusal) = answer.response {
        return Err(refusal.to_string());
    }
    read(answer.response).unwrap_or_else(|| Err(format!("node {node} answered something else")))
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
