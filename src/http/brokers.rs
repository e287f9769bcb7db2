//! `/v1/brokers`: every registered broker and what it carries, as agreed.

use axum::extract::State;
use axum::response::Response;
use drave_raft::image::BrokerRegistration;

use crate::cluster::view::ClusterView;
use crate::http::answers::{BrokerAnswer, BrokersAnswer, Seen};
use crate::http::cluster::listeners;
use crate::http::layout::json;
use crate::http::raft::directory;
use crate::http::state::HttpState;
use crate::http::tally::{Load, load_by_node};

pub(super) async fn get(State(state): State<HttpState>) -> Response {
    let view = state.metadata.view();
    let seen = state.seen(&view, &state.sources.quorum());
    json(&answer(&view, seen))
}

fn answer(view: &ClusterView, seen: Seen) -> BrokersAnswer {
    let mut loads = load_by_node(view);
    let brokers = view.brokers().map(|broker| {
        let load = loads.remove(&broker.broker).unwrap_or_default();
        describe(broker, load, view.is_drained(broker.broker))
    });
    BrokersAnswer {
        seen,
        brokers: brokers.collect(),
    }
}

fn describe(broker: &BrokerRegistration, load: Load, drained: bool) -> BrokerAnswer {
    BrokerAnswer {
        node: broker.broker,
        fenced: broker.fenced,
        shutting_down: broker.shutting_down,
        drained,
        broker_epoch: broker.broker_epoch,
        incarnation: broker.incarnation.to_string(),
        directory: directory(broker.directory),
        listeners: listeners(broker),
        controller_address: broker.controller_address.clone(),
        http_address: broker.http_address.clone(),
        rack: broker.rack.clone(),
        leaders: load.leaders,
        preferred_leaders: load.preferred_leaders,
        replicas: load.replicas,
        out_of_sync_replicas: load.out_of_sync_replicas,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fixture::{seen, view};

    #[test]
    fn fenced_brokers_are_listed_and_said_to_be_fenced() {
        let answer = answer(&view(), seen());
        let fenced: Vec<(i32, bool)> = answer
            .brokers
            .iter()
            .map(|it| (it.node.0, it.fenced))
            .collect();
        assert_eq!(fenced, [(1, false), (2, false), (3, true)]);
        assert_eq!(answer.brokers[0].leaders, 1);
        assert_eq!(answer.brokers[0].directory, "00000000000000d1");
    }
}
