//! `/v1/cluster`: who belongs to the cluster, who is there, who decides, and how it is.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use axum::response::Response;
use drave_protocol::ids::NodeId;
use drave_raft::QuorumStatus;
use drave_raft::image::BrokerRegistration;
use drave_raft::record::ListenerV1;

use crate::cluster::view::ClusterView;
use crate::http::answers::{
    ClusterAnswer, Counts, ListenerAnswer, NodeAnswer, NodeRole, Seen, Unanswered,
};
use crate::http::ask;
use crate::http::layout::json;
use crate::http::raft::{cluster_id, member};
use crate::http::state::HttpState;
use crate::http::tally::{Load, counts, load_by_node};

pub(super) async fn get(State(state): State<HttpState>) -> Response {
    let view = state.metadata.view();
    let status = state.sources.quorum();
    let mut others = peer_addresses(&view, &status);
    others.remove(&state.node);
    let (mut alive, unanswered) = ask::who_is_alive(&state, others).await;
    alive.insert(state.node, true);
    let seen = state.seen(&view, &status);
    let counts = counts(&view, &state.config);
    json(&answer(&view, &status, seen, counts, (&alive, unanswered)))
}

/// What was found out by asking: who is alive, and who could not be asked.
type Probed<'a> = (&'a BTreeMap<NodeId, bool>, Vec<Unanswered>);

fn answer(
    view: &ClusterView,
    status: &QuorumStatus,
    seen: Seen,
    counts: Counts,
    (alive, unanswered): Probed<'_>,
) -> ClusterAnswer {
    let mut loads = load_by_node(view);
    let nodes = nodes(view, status, seen.node).into_iter().map(|node| {
        let load = loads.remove(&node).unwrap_or_default();
        describe(view, status, node, load, alive.get(&node).copied())
    });
    ClusterAnswer {
        nodes: nodes.collect(),
        cluster_id: cluster_id(view, status),
        controller: controller(status),
        term: status.term,
        committed_index: status.committed,
        applied_index: status.applied,
        voters: status.voters.iter().map(member).collect(),
        learners: status.learners.iter().map(member).collect(),
        counts,
        unanswered,
        seen,
    }
}

/// The active controller. A leader that no majority follows decides nothing, so it is none;
/// `/v1/raft` tells who led last.
fn controller(status: &QuorumStatus) -> Option<NodeId> {
    let leader = status.leader.as_ref().filter(|_| status.has_quorum);
    leader.map(|it| it.id.node)
}

/// Everyone who is registered or a member of the quorum, and this node in any case.
fn nodes(view: &ClusterView, status: &QuorumStatus, here: NodeId) -> BTreeSet<NodeId> {
    let brokers = view.brokers().map(|it| it.broker);
    let members = status.voters.iter().chain(&status.learners);
    let members = members.map(|it| it.id.node);
    brokers.chain(members).chain([here]).collect()
}

fn peer_addresses(view: &ClusterView, status: &QuorumStatus) -> BTreeMap<NodeId, String> {
    let members = status.voters.iter().chain(&status.learners);
    let members = members.map(|it| (it.id.node, it.address.clone()));
    // A registration is newer than the membership: it is renewed at every start.
    let brokers = view.brokers();
    let brokers = brokers.map(|it| (it.broker, it.controller_address.clone()));
    members.chain(brokers).collect()
}

fn describe(
    view: &ClusterView,
    status: &QuorumStatus,
    node: NodeId,
    load: Load,
    alive: Option<bool>,
) -> NodeAnswer {
    let broker = view.broker(node);
    let is_voter = status.voters.iter().any(|it| it.id.node == node);
    let roles = [
        (broker.is_some(), NodeRole::Broker),
        (is_voter, NodeRole::Controller),
    ];
    NodeAnswer {
        node,
        roles: roles
            .into_iter()
            .filter_map(|(has, role)| has.then_some(role))
            .collect(),
        is_controller: controller(status) == Some(node),
        alive,
        fenced: broker.map(|it| it.fenced),
        shutting_down: broker.map(|it| it.shutting_down),
        drained: broker.map(|it| view.is_drained(it.broker)),
        broker_epoch: broker.map(|it| it.broker_epoch),
        listeners: broker.map(listeners).unwrap_or_default(),
        controller_address: peer_addresses(view, status).remove(&node),
        http_address: broker.and_then(|it| it.http_address.clone()),
        rack: broker.and_then(|it| it.rack.clone()),
        leaders: load.leaders,
        replicas: load.replicas,
    }
}

pub(super) fn listeners(broker: &BrokerRegistration) -> Vec<ListenerAnswer> {
    let answer = |it: &ListenerV1| ListenerAnswer {
        name: it.name.clone(),
        host: it.host.clone(),
        port: it.port,
    };
    broker.listeners.iter().map(answer).collect()
}

#[cfg(test)]
mod tests {
    use drave_protocol::ids::DirectoryId;
    use drave_raft::{MemberStatus, PeerId};

    use super::*;
    use crate::http::fixture::{config, quorum_status, seen, view};

    fn answered(status: &QuorumStatus) -> ClusterAnswer {
        let alive = BTreeMap::from([(NodeId(1), true), (NodeId(2), true), (NodeId(3), false)]);
        let unanswered = vec![Unanswered {
            node: NodeId(3),
            reason: "connection to c3:9093 refused".to_owned(),
        }];
        let counts = counts(&view(), &config());
        answer(&view(), status, seen(), counts, (&alive, unanswered))
    }

    #[test]
    fn the_answer_names_the_controller_and_who_could_not_be_asked() {
        let answer = answered(&quorum_status());
        assert_eq!(answer.controller, Some(NodeId(2)));
        let alive: Vec<_> = answer.nodes.iter().map(|it| it.alive).collect();
        assert_eq!(alive, [Some(true), Some(true), Some(false)]);
        let controllers = answer.nodes.iter().filter(|it| it.is_controller);
        assert_eq!(
            controllers.map(|it| it.node).collect::<Vec<_>>(),
            [NodeId(2)]
        );
        assert_eq!(answer.nodes[2].fenced, Some(true));
        assert_eq!(answer.unanswered[0].node, NodeId(3));
    }

    #[test]
    fn without_a_quorum_nobody_is_the_controller() {
        let mut status = quorum_status();
        status.has_quorum = false;
        let answer = answered(&status);
        assert_eq!(answer.controller, None);
        assert!(answer.nodes.iter().all(|it| !it.is_controller));
    }

    #[test]
    fn a_member_that_is_no_broker_is_shown_all_the_same() {
        let mut status = quorum_status();
        status.learners.push(MemberStatus {
            silent_for: None,
            id: PeerId {
                node: NodeId(9),
                directory: DirectoryId(9),
            },
            address: "c9:9093".to_owned(),
            matched: None,
        });
        let answer = answered(&status);
        let observer = answer.nodes.last().unwrap();
        assert_eq!((observer.node, observer.fenced), (NodeId(9), None));
        assert_eq!(observer.roles, []);
        assert_eq!(observer.controller_address.as_deref(), Some("c9:9093"));
    }
}
