//! `/v1/topics` and `/v1/topics/{name}`: topics as agreed, and each replica as it says of itself.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use axum::response::Response;
use drave_protocol::ids::{LeaderEpoch, NodeId, Offset};
use drave_raft::image::TopicImage;
use drave_raft::record::LeaderRecovery;

use crate::cluster::view::{ClusterView, PartitionView};
use crate::config::{BrokerConfig, TopicConfig};
use crate::http::answers::{
    PartitionAnswer, ReplicaAnswer, Seen, TopicAnswer, TopicSummary, TopicsAnswer,
};
use crate::http::ask::{self, Asked};
use crate::http::layout::json;
use crate::http::refusals;
use crate::http::state::HttpState;
use crate::http::tally::{Standing, TopicConfigs};
use crate::replica::status::ReplicaStatus;

pub(super) async fn list(State(state): State<HttpState>) -> Response {
    let view = state.metadata.view();
    let seen = state.seen(&view, &state.sources.quorum());
    json(&list_answer(&view, seen, &state.config))
}

pub(super) async fn get(State(state): State<HttpState>, Path(name): Path<String>) -> Response {
    let view = state.metadata.view();
    let Some(topic) = view.topic(&name) else {
        let names = view.topics().map(|it| it.name.as_str());
        return refusals::no_such_topic(&name, names);
    };
    let replicas = topic.partitions.iter().flat_map(|it| &it.replicas);
    let nodes: BTreeSet<NodeId> = replicas.copied().collect();
    let asked = ask::replicas_of(&state, &view, &nodes).await;
    let seen = state.seen(&view, &state.sources.quorum());
    json(&topic_answer(&view, topic, asked, seen, &state.config))
}

fn list_answer(view: &ClusterView, seen: Seen, config: &BrokerConfig) -> TopicsAnswer {
    let configs = TopicConfigs::new(view, config);
    let topics = view.topics();
    let topics = topics.map(|topic| summary(topic, &configs.of(view, topic)));
    TopicsAnswer {
        topics: topics.collect(),
        seen,
    }
}

fn summary(topic: &TopicImage, config: &TopicConfig) -> TopicSummary {
    let standings = topic.partitions.iter().map(|it| Standing::of(it, config));
    let standings: Vec<Standing> = standings.collect();
    let count = |what: fn(&Standing) -> bool| standings.iter().filter(|it| what(it)).count();
    let n_replicas = topic.partitions.iter().map(|it| it.replicas.len());
    TopicSummary {
        name: topic.name.clone(),
        topic_id: topic.topic_id.to_string(),
        internal: topic.name.starts_with("__"),
        partition_count: topic.partitions.len(),
        replication_factor: n_replicas.max().unwrap_or(0),
        min_insync_replicas: config.min_insync_replicas,
        offline_partitions: count(|it| it.offline),
        under_replicated_partitions: count(|it| it.under_replicated),
        under_min_isr_partitions: count(|it| it.under_min_isr),
    }
}

fn topic_answer(
    view: &ClusterView,
    topic: &TopicImage,
    asked: Asked,
    seen: Seen,
    config: &BrokerConfig,
) -> TopicAnswer {
    let config = TopicConfigs::new(view, config).of(view, topic);
    let partitions = view.partitions_of(topic);
    let partitions = partitions.map(|it| partition_answer(view, it, &asked, &config));
    TopicAnswer {
        topic: summary(topic, &config),
        configs: view.topic_overrides(&topic.name),
        partitions: partitions.collect(),
        unanswered: asked.unanswered,
        seen,
    }
}

fn partition_answer(
    view: &ClusterView,
    partition: PartitionView<'_>,
    asked: &Asked,
    config: &TopicConfig,
) -> PartitionAnswer {
    let state = partition.state;
    let topic_id = partition.topic.topic_id.to_string();
    let said_by = |node| asked.replica(node, &topic_id, partition.partition.partition);
    let leader = state.leader.and_then(said_by);
    let replica_states = state.replicas.iter().map(|node| ReplicaAnswer {
        in_sync: state.isr.contains(node),
        answered: asked.by_node.contains_key(node),
        log_end_offset_at_leader: leader.and_then(|it| seen_by_leader(it, *node)),
        ..replica_answer(*node, said_by(*node), leader)
    });
    let standing = Standing::of(state, config);
    PartitionAnswer {
        partition: partition.partition.partition,
        leader: state.leader,
        leader_epoch: state.leader_epoch,
        partition_epoch: state.partition_epoch,
        replicas: state.replicas.clone(),
        adding_replicas: state.adding_replicas.clone(),
        removing_replicas: state.removing_replicas.clone(),
        isr: state.isr.clone(),
        elr: state.elr.clone(),
        offline_replicas: state
            .replicas
            .iter()
            .copied()
            .filter(|it| partition.is_offline(view, *it))
            .collect(),
        offline: standing.offline,
        under_replicated: standing.under_replicated,
        under_min_isr: standing.under_min_isr,
        recovering: state.recovery == LeaderRecovery::Recovering,
        high_watermark: leader.map(|it| Offset(it.high_watermark)),
        replica_states: replica_states.collect(),
    }
}

fn replica_answer(
    node: NodeId,
    said: Option<&ReplicaStatus>,
    leader: Option<&ReplicaStatus>,
) -> ReplicaAnswer {
    // The two were asked at different moments: the follower may have got further since.
    let lag = |(own, leader): (&ReplicaStatus, &ReplicaStatus)| {
        leader
            .log_end_offset
            .saturating_sub(own.log_end_offset)
            .max(0)
    };
    ReplicaAnswer {
        node,
        in_sync: false,
        answered: false,
        role: said.map(|it| it.role),
        leader_epoch: said.map(|it| LeaderEpoch(it.leader_epoch)),
        log_start_offset: said.map(|it| Offset(it.log_start_offset)),
        log_end_offset: said.map(|it| Offset(it.log_end_offset)),
        high_watermark: said.map(|it| Offset(it.high_watermark)),
        recovery_point: said.map(|it| Offset(it.recovery_point)),
        size_bytes: said.map(|it| it.size_bytes),
        lag: said.zip(leader).map(lag),
        log_end_offset_at_leader: None,
        offline: said.and_then(|it| it.offline.clone()),
        uncleanable: said.and_then(|it| it.uncleanable.clone()),
    }
}

fn seen_by_leader(leader: &ReplicaStatus, follower: NodeId) -> Option<Offset> {
    let mut followers = leader.followers.iter();
    let known = followers.find(|it| it.broker == follower.0)?;
    known.log_end_offset.map(Offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fixture::{asked_of_two, config, seen, view};

    fn orders() -> TopicAnswer {
        let view = view();
        let topic = view.topic("orders").unwrap();
        topic_answer(&view, topic, asked_of_two(), seen(), &config())
    }

    #[test]
    fn topics_are_listed_by_name_with_what_is_wrong_with_them() {
        let answer = list_answer(&view(), seen(), &config());
        let names: Vec<&str> = answer.topics.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["events", "orders"]);
        assert_eq!(answer.topics[0].offline_partitions, 1);
        assert_eq!(answer.topics[1].under_replicated_partitions, 2);
        assert_eq!(answer.topics[1].replication_factor, 3);
    }

    #[test]
    fn each_replica_is_shown_as_it_sees_itself_and_as_the_leader_sees_it() {
        let partition = &orders().partitions[0];
        assert_eq!(partition.high_watermark, Some(Offset(90)));
        let [leader, follower, silent] = &partition.replica_states[..] else {
            panic!("three replicas");
        };
        assert_eq!(
            (leader.log_end_offset, leader.lag),
            (Some(Offset(100)), Some(0))
        );
        assert_eq!(follower.log_end_offset, Some(Offset(95)));
        assert_eq!(follower.log_end_offset_at_leader, Some(Offset(90)));
        assert_eq!(follower.lag, Some(5));
        assert!(!silent.answered && !silent.in_sync);
        assert_eq!(silent.log_end_offset, None);
        assert_eq!(silent.log_end_offset_at_leader, Some(Offset(40)));
    }

    #[test]
    fn whoever_could_not_be_asked_is_named_with_the_reason() {
        let answer = orders();
        let json = serde_json::to_value(&answer.unanswered).unwrap();
        let expected = serde_json::json!([{"node": 3, "reason": "connection refused"}]);
        assert_eq!(json, expected);
    }

    #[test]
    fn a_node_that_answers_but_lacks_the_replica_has_no_role() {
        let second = &orders().partitions[1];
        let follower = &second.replica_states[2];
        assert_eq!((follower.node, follower.answered), (NodeId(1), true));
        assert_eq!(follower.role, None);
        assert_eq!(second.high_watermark, Some(Offset(7)));
    }
}
