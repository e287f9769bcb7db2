//! `/v1/replicas`: this node's own replicas, by topic and partition, and those it could not open.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use drave_protocol::ids::TopicIdPartition;

use crate::cluster::view::ClusterView;
use crate::http::answers::{ReplicasAnswer, Unanswered, UnopenedReplica};
use crate::http::ask;
use crate::http::layout::json;
use crate::http::state::HttpState;

pub(super) async fn get(State(state): State<HttpState>) -> Response {
    let deadline = state.clock.now() + ask::PATIENCE;
    let (mut replicas, unanswered) = match ask::own_replicas(&state, deadline).await {
        Ok(replicas) => (replicas, Vec::new()),
        Err(reason) => {
            let node = state.node;
            (Vec::new(), vec![Unanswered { node, reason }])
        }
    };
    replicas.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    let view = state.metadata.view();
    json(&ReplicasAnswer {
        seen: state.seen(&view, &state.sources.quorum()),
        replicas,
        unopened: unopened(&view, state.sources.unopened()),
        unanswered,
    })
}

fn unopened(
    view: &ClusterView,
    reasons: BTreeMap<TopicIdPartition, String>,
) -> Vec<UnopenedReplica> {
    let describe = |(id, reason): (TopicIdPartition, String)| UnopenedReplica {
        topic: view.topic_by_id(id.topic_id).map(|it| it.name.clone()),
        topic_id: id.topic_id.to_string(),
        partition: id.partition,
        reason,
    };
    reasons.into_iter().map(describe).collect()
}

#[cfg(test)]
mod tests {
    use drave_protocol::ids::Uuid;

    use super::*;
    use crate::http::fixture::{ORDERS, view};

    #[test]
    fn a_log_that_would_not_open_is_shown_even_when_its_topic_is_unknown() {
        let id = |topic_id| TopicIdPartition {
            topic_id,
            partition: 1,
        };
        let reason = "segment 0 is not ours to read".to_owned();
        let reasons = [(id(ORDERS), reason.clone()), (id(Uuid([9; 16])), reason)];
        let answer = unopened(&view(), reasons.into());
        let topics: Vec<_> = answer.iter().map(|it| it.topic.as_deref()).collect();
        assert_eq!(topics, [Some("orders"), None]);
        assert_eq!(answer[0].partition, 1);
    }
}
