//! `/health/live`: whether this process can go on. `/health/ready`: whether it does its work.
//!
//! Every check is listed, passed or not, so that a red answer says what it was.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use drave_protocol::ids::NodeId;
use drave_raft::QuorumStatus;
use drave_raft::image::BrokerRegistration;

use crate::cluster::registration::BrokerStanding;
use crate::http::answers::{Check, HealthAnswer, NoQuorum};
use crate::http::layout::json_with;
use crate::http::state::HttpState;

pub(super) async fn live(State(state): State<HttpState>) -> Response {
    let checks = vec![raft_runs(&state.sources.quorum())];
    answer(state.node, checks)
}

pub(super) async fn ready(State(state): State<HttpState>) -> Response {
    let status = state.sources.quorum();
    let no_quorum = state.quorum.look(&status);
    let mut checks = vec![raft_runs(&status), has_quorum(no_quorum)];
    if state.config.process_roles.broker {
        let view = state.metadata.view();
        let standing = state.sources.standing();
        let registration = view.broker(state.node);
        let lease_is_held = state.sources.lease_is_held(state.clock.now());
        checks.extend(broker_checks(registration, &standing, lease_is_held));
    }
    answer(state.node, checks)
}

fn answer(node: NodeId, checks: Vec<Check>) -> Response {
    let ok = checks.iter().all(|it| it.ok);
    let status = if ok {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    json_with(status, &HealthAnswer { node, ok, checks })
}

fn raft_runs(status: &QuorumStatus) -> Check {
    check("raft", status.fatal.clone())
}

fn has_quorum(no_quorum: Option<NoQuorum>) -> Check {
    let reason = no_quorum.map(|it| format!("{} (for {} ms)", it.reason, it.for_ms));
    check("quorum", reason)
}

/// Registered, routable, and entitled to act: three checks, in the order in which they come true.
fn broker_checks(
    registration: Option<&BrokerRegistration>,
    standing: &BrokerStanding,
    lease_is_held: bool,
) -> [Check; 3] {
    // A registration left by an earlier process of this node is not ours.
    let current = registration.filter(|it| Some(it.broker_epoch) == standing.broker_epoch);
    let unregistered = || match &standing.refusal {
        Some(refusal) => format!("the controller does not let this broker in: {refusal}"),
        None => "this process is not registered with the controller yet".to_owned(),
    };
    let unfenced = match current {
        None => Some(unregistered()),
        Some(it) if it.fenced => Some("the controller hides this broker from clients".to_owned()),
        Some(it) if it.shutting_down => Some("this broker is shutting down".to_owned()),
        Some(_) => None,
    };
    let no_lease = "the controller did not answer this broker's heartbeats in time";
    [
        check("registered", current.is_none().then(unregistered)),
        check("unfenced", unfenced),
        check("lease", (!lease_is_held).then(|| no_lease.to_owned())),
    ]
}

fn check(name: &str, reason: Option<String>) -> Check {
    Check {
        name: name.to_owned(),
        ok: reason.is_none(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use drave_protocol::ids::BrokerEpoch;

    use super::*;
    use crate::http::fixture::view;

    fn red(checks: &[Check]) -> Vec<&str> {
        let red = checks.iter().filter(|it| !it.ok);
        red.map(|it| it.name.as_str()).collect()
    }

    fn registered_as(broker_epoch: i64) -> BrokerStanding {
        BrokerStanding {
            broker_epoch: Some(BrokerEpoch(broker_epoch)),
            ..BrokerStanding::default()
        }
    }

    #[test]
    fn a_registered_unfenced_broker_with_a_lease_is_ready() {
        let view = view();
        let checks = broker_checks(view.broker(NodeId(1)), &registered_as(11), true);
        assert!(red(&checks).is_empty(), "{checks:?}");
    }

    #[test]
    fn the_registration_of_an_earlier_process_does_not_count() {
        let view = view();
        let broker = view.broker(NodeId(1));
        let checks = broker_checks(broker, &registered_as(99), true);
        assert_eq!(red(&checks), ["registered", "unfenced"]);
        let checks = broker_checks(broker, &BrokerStanding::default(), false);
        assert_eq!(red(&checks), ["registered", "unfenced", "lease"]);
    }

    #[test]
    fn a_broker_that_is_not_let_in_says_why() {
        let standing = BrokerStanding {
            refusal: Some("broker 1 is already running".to_owned()),
            ..BrokerStanding::default()
        };
        let checks = broker_checks(None, &standing, false);
        let reason = checks[0].reason.as_deref().unwrap();
        assert!(reason.ends_with("broker 1 is already running"), "{reason}");
    }

    #[test]
    fn a_fenced_broker_is_not_ready_and_says_so() {
        let view = view();
        let checks = broker_checks(view.broker(NodeId(3)), &registered_as(13), false);
        assert_eq!(red(&checks), ["unfenced", "lease"]);
        let reason = checks[1].reason.as_deref().unwrap();
        assert!(reason.contains("hides this broker"), "{reason}");
    }
}
