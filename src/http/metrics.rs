//! `/metrics`: what was counted, and what the cluster and this node look like at this moment.
//!
//! Counters live in the table of `telemetry/metrics.rs` and are kept by who counts. Gauges that mirror
//! the image, the quorum or the replicas are set here, when asked: nobody has to keep them in step.
//! Offsets are summed by topic, not shown by partition: thousands of partitions stay a page.

use std::collections::BTreeMap;
use std::fmt::Write;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use drave_protocol::ids::{BrokerEpoch, NodeId};
use drave_raft::QuorumStatus;

use crate::cluster::view::ClusterView;
use crate::config::BrokerConfig;
use crate::coordinator;
use crate::http::ask;
use crate::http::state::HttpState;
use crate::http::tally::{Standing, TopicConfigs, counts};
use crate::replica::status::{ReplicaRole, ReplicaStatus};
use crate::telemetry::metrics::MetricSet;
use crate::telemetry::process;

/// Beyond so many topics led here, none is shown by name.
const TOPICS_MAX: usize = 1_000;

pub(super) async fn get(State(state): State<HttpState>) -> Response {
    let view = state.metadata.view();
    let status = state.sources.quorum();
    let deadline = state.clock.now() + ask::PATIENCE;
    let replicas = ask::own_replicas(&state, deadline).await.ok();
    if let Ok(log_dirs) = ask::own_log_dirs(&state, deadline).await {
        let offline = log_dirs.iter().filter(|it| it.offline.is_some()).count();
        state.metrics.offline_log_dirs.set_count(offline);
        let full = log_dirs.iter().filter(|it| it.full).count();
        state.metrics.full_log_dirs.set_count(full);
    }
    mirror_cluster(&state.metrics, &view, &status, &state.config);
    mirror_node(&state.metrics, &view, &state.config);
    mirror_replicas(&state, replicas.as_deref().unwrap_or_default());
    mirror_groups(&state.metrics, state.sources.groups());
    let mut page = state.metrics.render();
    standing_of_node(&mut page, &state, &view, &status);
    if let Some(replicas) = &replicas {
        offsets_by_topic(&mut page, replicas);
    }
    page.push_str(&process::render());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], page).into_response()
}

/// What is the same on every node that is up to date.
fn mirror_cluster(
    metrics: &MetricSet,
    view: &ClusterView,
    status: &QuorumStatus,
    config: &BrokerConfig,
) {
    let counts = counts(view, config);
    let leader = status.leader.as_ref().map_or(NodeId::NONE, |it| it.id.node);
    let is_controller = status.has_quorum && leader == config.node_id;
    metrics.active_controller.set(i64::from(is_controller));
    metrics.active_brokers.set_count(counts.live_brokers);
    metrics
        .fenced_brokers
        .set_count(counts.brokers - counts.live_brokers);
    metrics.topics.set_count(counts.topics);
    metrics.partitions.set_count(counts.partitions);
    metrics
        .offline_partitions
        .set_count(counts.offline_partitions);
    metrics.raft_term.set_count(status.term);
    metrics.raft_leader.set(i64::from(leader.0));
    metrics.raft_committed.set_count(status.committed.0);
    metrics.raft_applied.set_count(status.applied.0);
}

/// What the image says this node carries.
fn mirror_node(metrics: &MetricSet, view: &ClusterView, config: &BrokerConfig) {
    let configs = TopicConfigs::new(view, config);
    let (mut leaders, mut assigned, mut under_replicated, mut under_min_isr) = (0, 0, 0, 0);
    for topic in view.topics() {
        let topic_config = configs.of(view, topic);
        for partition in &topic.partitions {
            assigned += i64::from(partition.replicas.contains(&config.node_id));
            if partition.leader == Some(config.node_id) {
                let standing = Standing::of(partition, &topic_config);
                leaders += 1;
                under_replicated += i64::from(standing.under_replicated);
                under_min_isr += i64::from(standing.under_min_isr);
            }
        }
    }
    metrics.leaders.set(leaders);
    metrics.under_replicated_partitions.set(under_replicated);
    metrics.under_min_isr_partitions.set(under_min_isr);
    metrics.replicas.set(assigned);
}

fn mirror_groups(metrics: &MetricSet, groups: coordinator::Load) {
    metrics.group_partitions.set_count(groups.n_partitions);
    metrics.group_partitions_loading.set_count(groups.n_loading);
    metrics.groups.set_count(groups.n_groups);
    metrics.group_members.set_count(groups.n_members);
    metrics.group_offsets.set_count(groups.n_offsets);
}

/// What the replicas say themselves: those that went offline, and those that never opened.
fn mirror_replicas(state: &HttpState, replicas: &[ReplicaStatus]) {
    let offline = replicas.iter().filter(|it| it.offline.is_some()).count();
    let unopened = state.sources.unopened().len();
    state.metrics.offline_replicas.set_count(offline + unopened);
    state
        .metrics
        .replicas_begun_anew
        .set_count(state.sources.n_begun_anew());
}

fn standing_of_node(
    page: &mut String,
    state: &HttpState,
    view: &ClusterView,
    status: &QuorumStatus,
) {
    let lost_ms = state.quorum.look(status).map_or(0, |it| it.for_ms);
    let epoch = state.sources.standing().broker_epoch;
    let is_routable = is_routable(view, state.node, epoch);
    let lease = state.sources.lease_is_held(state.clock.now());
    let name = "drave_raft_quorum";
    gauge(
        page,
        name,
        "Whether this node is in touch with a majority of the voters: 1 or 0.",
    );
    sample(page, name, u8::from(status.has_quorum));
    let name = "drave_raft_quorum_lost_milliseconds";
    gauge(
        page,
        name,
        "How long there has been no quorum; 0 while there is one.",
    );
    sample(page, name, lost_ms);
    let name = "drave_broker_fenced";
    gauge(
        page,
        name,
        "Whether clients are kept from this broker, or it is not registered: 1 or 0.",
    );
    sample(page, name, u8::from(!is_routable));
    let name = "drave_broker_lease";
    gauge(
        page,
        name,
        "Whether the controller answered this broker's heartbeats in time: 1 or 0.",
    );
    sample(page, name, u8::from(lease));
    let name = "drave_replica_isr_size";
    gauge(
        page,
        name,
        "Partitions led here, by the number of replicas in sync.",
    );
    for (size, n_partitions) in isr_sizes(view, state.node) {
        sample(page, &format!("{name}{{isr=\"{size}\"}}"), n_partitions);
    }
}

/// Whether the registration of this very process is open to clients.
fn is_routable(view: &ClusterView, node: NodeId, epoch: Option<BrokerEpoch>) -> bool {
    let broker = view.broker(node);
    broker.is_some_and(|it| !it.fenced && Some(it.broker_epoch) == epoch)
}

/// How many partitions led by `node` have an ISR of each size.
fn isr_sizes(view: &ClusterView, node: NodeId) -> BTreeMap<usize, usize> {
    let mut n_by_size = BTreeMap::new();
    let partitions = view.topics().flat_map(|it| &it.partitions);
    for partition in partitions.filter(|it| it.leader == Some(node)) {
        *n_by_size.entry(partition.isr.len()).or_default() += 1;
    }
    n_by_size
}

/// What the partitions of one topic that are led here add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Led {
    log_end_offset: i64,
    high_watermark: i64,
    lag_max: i64,
    size_bytes: u64,
}

type Column = (&'static str, &'static str, fn(&Led) -> String);

const COLUMNS: [Column; 4] = [
    (
        "drave_topic_log_end_offset",
        "Sum of the LEOs of the partitions led here.",
        |it| it.log_end_offset.to_string(),
    ),
    (
        "drave_topic_high_watermark",
        "Sum of the high watermarks of the partitions led here.",
        |it| it.high_watermark.to_string(),
    ),
    (
        "drave_topic_follower_lag_max",
        "Most records that a follower of a partition led here lacks.",
        |it| it.lag_max.to_string(),
    ),
    (
        "drave_topic_size_bytes",
        "Bytes of the partitions led here, on this node's disk.",
        |it| it.size_bytes.to_string(),
    ),
];

fn led_by_topic(replicas: &[ReplicaStatus]) -> BTreeMap<&str, Led> {
    let mut by_topic: BTreeMap<&str, Led> = BTreeMap::new();
    for replica in replicas.iter().filter(|it| it.role == ReplicaRole::Leader) {
        let known = replica.followers.iter().filter_map(|it| it.log_end_offset);
        let lags = known.map(|it| replica.log_end_offset.saturating_sub(it));
        let led = by_topic.entry(&replica.topic).or_default();
        led.log_end_offset = led.log_end_offset.saturating_add(replica.log_end_offset);
        led.high_watermark = led.high_watermark.saturating_add(replica.high_watermark);
        led.lag_max = led.lag_max.max(lags.max().unwrap_or(0));
        led.size_bytes = led.size_bytes.saturating_add(replica.size_bytes);
    }
    by_topic
}

fn offsets_by_topic(page: &mut String, replicas: &[ReplicaStatus]) {
    let by_topic = led_by_topic(replicas);
    let name = "drave_topics_not_shown";
    gauge(
        page,
        name,
        "Topics led here that are too many to be shown by name.",
    );
    if by_topic.len() > TOPICS_MAX {
        sample(page, name, by_topic.len());
        return;
    }
    sample(page, name, 0);
    for (name, help, value) in COLUMNS {
        gauge(page, name, help);
        for (topic, led) in &by_topic {
            // Topic names are of letters, digits, '.', '_' and '-': nothing to escape.
            sample(page, &format!("{name}{{topic=\"{topic}\"}}"), value(led));
        }
    }
}

fn gauge(page: &mut String, name: &str, help: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} gauge");
}

fn sample(page: &mut String, series: &str, value: impl std::fmt::Display) {
    let _ = writeln!(page, "{series} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fixture::{config, leader_of_orders, quorum_status, view};

    #[test]
    fn the_gauges_mirror_the_image_and_the_quorum() {
        let metrics = MetricSet::default();
        mirror_cluster(&metrics, &view(), &quorum_status(), &config());
        mirror_node(&metrics, &view(), &config());
        assert_eq!(metrics.fenced_brokers.value(), 1);
        assert_eq!(metrics.offline_partitions.value(), 1);
        assert_eq!(
            (metrics.raft_leader.value(), metrics.raft_term.value()),
            (2, 4)
        );
        assert_eq!((metrics.leaders.value(), metrics.replicas.value()), (1, 2));
        assert_eq!(metrics.under_replicated_partitions.value(), 1);
        assert_eq!(metrics.under_min_isr_partitions.value(), 0);
    }

    #[test]
    fn only_the_registration_of_this_process_makes_it_routable() {
        let view = view();
        assert!(is_routable(&view, NodeId(1), Some(BrokerEpoch(11))));
        assert!(!is_routable(&view, NodeId(1), Some(BrokerEpoch(99))));
        assert!(!is_routable(&view, NodeId(1), None));
        assert!(!is_routable(&view, NodeId(3), Some(BrokerEpoch(13))));
    }

    #[test]
    fn offsets_are_summed_by_topic_over_the_partitions_led_here() {
        let mut second = leader_of_orders();
        second.partition = 1;
        let mut followed = leader_of_orders();
        followed.role = ReplicaRole::Follower;
        let mut page = String::new();
        offsets_by_topic(&mut page, &[leader_of_orders(), second, followed]);
        for line in [
            "drave_topic_log_end_offset{topic=\"orders\"} 200\n",
            "drave_topic_high_watermark{topic=\"orders\"} 180\n",
            "drave_topic_follower_lag_max{topic=\"orders\"} 60\n",
            "drave_topics_not_shown 0\n",
        ] {
            assert!(page.contains(line), "{page}");
        }
    }
}
