//! How a node comes to belong to a cluster: one forms it, the others are let in.
//!
//! Invariants: only the lowest of the named servers forms, and only once a majority of them answers
//! and every one that answers is empty, so neither a restart nor a wiped disk forms a second
//! cluster; a node that has a log or a vote never forms.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::network::rpc::{JoinV1, Request, Response, StateV1};
use crate::node::Node;
use crate::types::Member;

const ASK_PATIENCE: Duration = Duration::from_millis(500);
const JOIN_PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);
const REFUSED_PAUSE: Duration = Duration::from_secs(1);
/// How long the former waits for servers beyond the majority.
const LATECOMERS: Duration = Duration::from_millis(300);

/// Runs until this node is a member in the role it should have.
pub(crate) async fn run(node: Arc<Node>) {
    let former = is_former(&node);
    while !belongs(&node) {
        let empty = !node.raft.is_initialized().await.unwrap_or(true);
        if former && empty && try_form(&node).await {
            continue;
        }
        try_join(&node).await;
        let refused = node.join_refused.lock().is_some();
        let pause = if refused { REFUSED_PAUSE } else { PAUSE };
        sleep(node.jitter(pause)).await;
    }
    *node.join_refused.lock() = None;
}

fn is_former(node: &Node) -> bool {
    let config = &node.config;
    let named = &config.bootstrap;
    config.is_controller
        && named.names(config.node, &config.advertised_address)
        && named.is_former(config.node, &config.advertised_address)
}

fn wants_vote(node: &Node) -> bool {
    let config = &node.config;
    config.is_controller
        && config
            .bootstrap
            .names(config.node, &config.advertised_address)
}

fn belongs(node: &Node) -> bool {
    let membership = node.metrics().membership_config;
    let id = node.raft_id();
    if wants_vote(node) {
        return membership.voter_ids().any(|it| it == id);
    }
    membership.get_node(&id).is_some()
}

/// Whether the cluster was formed, or is being formed by an election now.
async fn try_form(node: &Arc<Node>) -> bool {
    let named = node.config.bootstrap.addresses();
    let majority = named.len() / 2 + 1;
    let mut waited_from = None;
    loop {
        let states = ask_states(node, &named).await;
        if states.len() < majority || states.values().any(|state| !state.empty) {
            return false;
        }
        let began = *waited_from.get_or_insert_with(|| (node.now)());
        if states.len() < named.len() && (node.now)() < began + LATECOMERS {
            sleep(PAUSE).await;
            continue;
        }
        return form(node, &states).await;
    }
}

/// Answers of the named servers by directory; this node's own is known.
async fn ask_states(node: &Arc<Node>, named: &[String]) -> BTreeMap<u64, StateV1> {
    let deadline = (node.now)() + ASK_PATIENCE;
    let mut asking = tokio::task::JoinSet::new();
    for address in named {
        let node = node.clone();
        let address = address.clone();
        if address != node.config.advertised_address {
            asking.spawn(async move { ask_state(&node, &address, deadline).await });
        }
    }
    let mut states = BTreeMap::new();
    let own = StateV1 {
        peer: node.me(),
        cluster_id: None,
        empty: true,
    };
    states.insert(node.raft_id(), own);
    while let Some(answered) = asking.join_next().await {
        if let Ok(Some((address, mut state))) = answered {
            // The name it was reached by works; what it calls itself may not, from here.
            if state.peer.id.directory != node.config.directory {
                state.peer.address = address;
            }
            states.insert(state.peer.id.directory.0, state);
        }
    }
    states
}

async fn ask_state(node: &Node, address: &str, deadline: Instant) -> Option<(String, StateV1)> {
    let link = node.links.address(address);
    match link.call(&Request::State, deadline).await {
        Ok(Response::State(state)) => Some((address.to_owned(), state)),
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(address, %error, "named server does not answer");
            None
        }
    }
}

async fn form(node: &Node, states: &BTreeMap<u64, StateV1>) -> bool {
    let voters: BTreeMap<u64, Member> = states
        .iter()
        .map(|(directory, state)| {
            let member = Member {
                node: state.peer.id.node.0,
                address: state.peer.address.clone(),
            };
            (*directory, member)
        })
        .collect();
    let mut nodes: Vec<i32> = voters.values().map(|member| member.node).collect();
    nodes.sort_unstable();
    if nodes.windows(2).any(|pair| pair.first() == pair.last()) {
        tracing::error!(
            ?nodes,
            "two of the named servers share a node id, forming nothing"
        );
        return false;
    }
    tracing::info!(?nodes, "forming the metadata quorum");
    match node.raft.initialize(voters).await {
        Ok(()) => true,
        Err(error) => {
            // Somebody's vote or entry came first: then there is something to join.
            tracing::info!(%error, "not formed");
            false
        }
    }
}

async fn try_join(node: &Arc<Node>) {
    let request = Request::Join(JoinV1 {
        peer: node.me(),
        is_controller: wants_vote(node),
    });
    let mut addresses: Vec<String> = node.config.bootstrap.addresses();
    addresses.extend(node.leader().map(|leader| leader.address));
    addresses.retain(|address| *address != node.config.advertised_address);
    for address in addresses {
        match ask_to_join(node, &address, &request).await {
            Some(Response::Joined) => {
                *node.join_refused.lock() = None;
                return;
            }
            Some(Response::JoinRefused { reason }) => {
                let first = node.join_refused.lock().replace(reason.clone()).is_none();
                if first {
                    tracing::error!(reason, "the cluster does not let this node in");
                }
                return;
            }
            Some(_) | None => {}
        }
    }
}

/// Follows one pointer to the leader.
async fn ask_to_join(node: &Node, address: &str, request: &Request) -> Option<Response> {
    let mut address = address.to_owned();
    for _hop in 0..2 {
        let deadline = (node.now)() + JOIN_PATIENCE;
        match node.links.address(&address).call(request, deadline).await {
            Ok(Response::NotLeader {
                leader: Some(leader),
            }) => address = leader.address,
            Ok(response) => return Some(response),
            Err(error) => {
                tracing::debug!(address, %error, "cannot ask to join");
                return None;
            }
        }
    }
    None
}
