//! How a node comes to belong to a cluster: one forms it, the others are let in.
//!
//! Invariants: only the lowest of the named servers forms, and only once a majority of them answers
//! and every one that answers is empty, so neither a restart nor a wiped disk forms a second
//! cluster; a node that has a log or a vote never forms, nor does one that is known to belong to a
//! cluster: by another of its disks, or because a member of it dials.
//!
//! A member that lost touch looks for the others by the same list: all of them may have moved.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::network::rpc::{JoinV1, Request, Response, StateV1};
use crate::node::Node;
use crate::peer::Peer;
use crate::status::has_quorum;
use crate::types::Member;

const ASK_PATIENCE: Duration = Duration::from_millis(500);
const JOIN_PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);
const REFUSED_PAUSE: Duration = Duration::from_secs(1);
/// Between looks at whether there is a quorum.
const LOST_PAUSE: Duration = Duration::from_millis(250);
/// So long a member of a cluster that dialled counts as one that lives.
const KNOCK_HOLDS: Duration = Duration::from_secs(10);
/// How long the former waits for servers beyond the majority, and for members of a cluster to dial that
/// those who answer have forgotten: as long as such a member takes to find out that it is alone.
const LATECOMERS: Duration = Duration::from_secs(2);

/// Runs until this node is a member in the role it should have.
pub(crate) async fn run(node: Arc<Node>) {
    let former = is_former(&node);
    while !belongs(&node) {
        let join = JoinV1 {
            peer: node.me(),
            is_controller: wants_vote(&node),
        };
        let decided = try_join(&node, join).await;
        let empty = !node.raft.is_initialized().await.unwrap_or(true);
        let may_form = decided == Decided::ByNobody && former && empty;
        if may_form && !must_not_form(&node) && try_form(&node).await {
            continue;
        }
        let refused = node.join_refused.lock().is_some();
        let pause = if refused { REFUSED_PAUSE } else { PAUSE };
        sleep(node.jitter(pause)).await;
    }
    *node.join_refused.lock() = None;
    keep_in_touch(&node).await;
}

/// Whenever there is no quorum for a while, or the leader is not where it should be: asks the named
/// servers who they are, and the leader, if any of them knows one, to note where this node is.
async fn keep_in_touch(node: &Arc<Node>) {
    let patience = node.config.election_timeout_max;
    let mut lost_at = None;
    let mut reached = None;
    loop {
        sleep(node.jitter(LOST_PAUSE)).await;
        if has_quorum(node, &node.metrics()) {
            lost_at = None;
            let leader = node.leader();
            if leader == reached || reaches(node, leader.as_ref()).await {
                reached = leader;
                continue;
            }
        } else {
            let now = (node.now)();
            if now < *lost_at.get_or_insert(now) + patience {
                continue;
            }
        }
        find_members(node).await;
        // Who lost its vote on purpose does not ask for it on this occasion.
        let join = JoinV1 {
            peer: node.me(),
            is_controller: false,
        };
        // Whatever comes of it shows in the next look.
        let _decided = try_join(node, join).await;
    }
}

/// Whether the leader answers where this node would ask it.
async fn reaches(node: &Node, leader: Option<&Peer>) -> bool {
    let Some(leader) = leader.filter(|it| it.id != node.id()) else {
        return true;
    };
    let deadline = (node.now)() + ASK_PATIENCE;
    let state = ask_state(node, &leader.address, deadline).await;
    state.is_some_and(|(_, state)| state.peer.id == leader.id)
}

async fn find_members(node: &Arc<Node>) {
    let states = ask_states(node, &node.config.bootstrap.addresses()).await;
    let membership = node.metrics().membership_config;
    for (directory, state) in states {
        if directory == node.raft_id() {
            continue;
        }
        let Some(member) = membership.get_node(&directory) else {
            continue;
        };
        let address = state.peer.address;
        node.links.found_at(directory, member, &address);
        node.leadership.send_if_modified(|shown| {
            let leader = shown.leader.as_mut();
            let moved = leader.filter(|it| it.id.directory.0 == directory && it.address != address);
            moved.map(|it| it.address.clone_from(&address)).is_some()
        });
    }
}

fn is_former(node: &Node) -> bool {
    let config = &node.config;
    let named = &config.bootstrap;
    config.is_controller
        && named.names(config.node, &config.advertised_address)
        && named.is_former(config.node, &config.advertised_address)
}

/// Whether there is a cluster this node belongs to, although nobody who answers is of it.
fn must_not_form(node: &Node) -> bool {
    let reason = if let Some(cluster_id) = &node.config.remembered.elsewhere {
        format!(
            "this node's metadata is lost, but its other directories belong to cluster {cluster_id}: it \
             forms no new one"
        )
    } else if let Some(knock) = node.knocked.lock().clone()
        && (node.now)() < knock.at + KNOCK_HOLDS
    {
        format!(
            "no new cluster is formed while {} of cluster {} dials this address: a majority of that \
             cluster's disks must come back; to give it up for good, stop that node",
            knock.from, knock.cluster_id
        )
    } else {
        return false;
    };
    let said = node.join_refused.lock().replace(reason.clone());
    if said.as_ref() != Some(&reason) {
        tracing::error!(reason, "an empty node belongs to a cluster");
    }
    true
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
        // Who belongs to a cluster may have dialled while we waited.
        return !must_not_form(node) && form(node, &states).await;
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

/// Who said whether this node may join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decided {
    ByTheLeader,
    ByNobody,
}

async fn try_join(node: &Arc<Node>, join: JoinV1) -> Decided {
    let request = Request::Join(join);
    let mut addresses: Vec<String> = node.config.bootstrap.addresses();
    addresses.extend(node.leader().map(|leader| leader.address));
    addresses.retain(|address| *address != node.config.advertised_address);
    for address in addresses {
        match ask_to_join(node, &address, &request).await {
            Some(Response::Joined) => {
                *node.join_refused.lock() = None;
                return Decided::ByTheLeader;
            }
            Some(Response::JoinRefused { reason }) => {
                let said = node.join_refused.lock().replace(reason.clone());
                if said.as_ref() != Some(&reason) {
                    tracing::error!(reason, "the cluster does not let this node in");
                }
                return Decided::ByTheLeader;
            }
            Some(_) | None => {}
        }
    }
    Decided::ByNobody
}

/// Follows one pointer to the leader.
async fn ask_to_join(node: &Node, address: &str, request: &Request) -> Option<Response> {
    let mut address = address.to_owned();
    for _hop in 0..2 {
        // A node that is paused or cut off must not keep us from asking the next.
        ask_state(node, &address, (node.now)() + ASK_PATIENCE).await?;
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
