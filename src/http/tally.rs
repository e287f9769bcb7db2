//! Counting an image: how healthy partitions are, and what each node carries. Pure.

use std::collections::BTreeMap;

use drave_protocol::ids::NodeId;
use drave_raft::image::{PartitionRegistration, TopicImage};

use crate::cluster::view::ClusterView;
use crate::config::BrokerConfig;
use crate::config::TopicConfig;
use crate::http::answers::Counts;

/// How one partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) offline: bool,
    pub(super) under_replicated: bool,
    pub(super) under_min_isr: bool,
}

impl Standing {
    pub(super) fn of(partition: &PartitionRegistration, config: &TopicConfig) -> Self {
        let n_replicas = partition.replication_factor();
        let n_in_sync = partition.isr.len();
        Self {
            offline: partition.leader.is_none(),
            under_replicated: n_in_sync < n_replicas,
            under_min_isr: n_in_sync < config.min_isr(n_replicas),
        }
    }
}

/// What is in force for each topic; topics without overrides share one.
#[derive(Debug)]
pub(super) struct TopicConfigs {
    broker: BrokerConfig,
    without_overrides: TopicConfig,
}

impl TopicConfigs {
    pub(super) fn new(view: &ClusterView, started_with: &BrokerConfig) -> Self {
        let broker = view.broker_config(started_with);
        Self {
            without_overrides: TopicConfig::effective(&broker, &BTreeMap::new()),
            broker,
        }
    }

    pub(super) fn of(&self, view: &ClusterView, topic: &TopicImage) -> TopicConfig {
        let overrides = view.topic_overrides(&topic.name);
        if overrides.is_empty() {
            self.without_overrides.clone()
        } else {
            TopicConfig::effective(&self.broker, &overrides)
        }
    }
}

/// What one node carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) leaders: usize,
    pub(super) preferred_leaders: usize,
    pub(super) replicas: usize,
    pub(super) out_of_sync_replicas: usize,
}

/// What each node carries, by its id.
pub(super) fn load_by_node(view: &ClusterView) -> BTreeMap<NodeId, Load> {
    let mut by_node: BTreeMap<NodeId, Load> = BTreeMap::new();
    for partition in view.topics().flat_map(|it| &it.partitions) {
        if let Some(leader) = partition.leader {
            by_node.entry(leader).or_default().leaders += 1;
        }
        if let Some(preferred) = partition.replicas.first() {
            by_node.entry(*preferred).or_default().preferred_leaders += 1;
        }
        for replica in &partition.replicas {
            let load = by_node.entry(*replica).or_default();
            load.replicas += 1;
            load.out_of_sync_replicas += usize::from(!partition.isr.contains(replica));
        }
    }
    by_node
}

/// The cluster in seven numbers.
pub(super) fn counts(view: &ClusterView, config: &BrokerConfig) -> Counts {
    let configs = TopicConfigs::new(view, config);
    let mut counts = Counts {
        brokers: view.brokers().count(),
        live_brokers: view.live_brokers().count(),
        ..Counts::default()
    };
    for topic in view.topics() {
        let config = configs.of(view, topic);
        counts.topics += 1;
        for partition in &topic.partitions {
            let standing = Standing::of(partition, &config);
            counts.partitions += 1;
            counts.offline_partitions += usize::from(standing.offline);
            counts.under_replicated_partitions += usize::from(standing.under_replicated);
            counts.under_min_isr_partitions += usize::from(standing.under_min_isr);
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fixture::{config, view};

    #[test]
    fn partitions_are_counted_by_what_is_wrong_with_them() {
        let counts = counts(&view(), &config());
        assert_eq!((counts.brokers, counts.live_brokers), (3, 2));
        assert_eq!((counts.topics, counts.partitions), (2, 3));
        assert_eq!(counts.offline_partitions, 1);
        assert_eq!(counts.under_replicated_partitions, 3);
        assert_eq!(counts.under_min_isr_partitions, 1);
    }

    #[test]
    fn a_node_carries_what_it_leads_and_what_it_was_assigned() {
        let by_node = load_by_node(&view());
        let expected = Load {
            leaders: 1,
            preferred_leaders: 1,
            replicas: 2,
            out_of_sync_replicas: 0,
        };
        assert_eq!(by_node[&NodeId(1)], expected);
        assert_eq!(by_node[&NodeId(3)].out_of_sync_replicas, 3);
        assert_eq!(by_node[&NodeId(3)].leaders, 0);
    }
}
