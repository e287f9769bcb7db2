//! What deciding yields: the facts to agree on, and what to answer once they are agreed.
//!
//! Deciding never changes anything. Records of one decision that fit into one batch are agreed all
//! or none; a decision larger than a batch is ordered so that each prefix of it is a sound state.

use std::collections::BTreeMap;
use std::sync::Arc;

use drave_protocol::ids::{NodeId, TopicIdPartition};
use drave_raft::image::{BrokerRegistration, MetadataImage, PartitionRegistration, TopicImage};
use drave_raft::record::{ConfigResource, MetadataRecord, PartitionChangedV2};
use parking_lot::Mutex;

use crate::config::dynamic::Entries;
use crate::config::{BrokerConfig, FlushMode, TopicConfig};

#[derive(Clone, Debug, PartialEq)]
pub struct Decision<R> {
    pub records: Vec<MetadataRecord>,
    pub response: R,
}

impl<R> Decision<R> {
    pub fn new(records: Vec<MetadataRecord>, response: R) -> Self {
        Self { records, response }
    }

    /// The same decision, its answer in another form.
    pub fn map<S>(self, form: impl FnOnce(R) -> S) -> Decision<S> {
        Decision::new(self.records, form(self.response))
    }

    /// Nothing to agree on.
    pub fn answer(response: R) -> Self {
        Self::new(Vec::new(), response)
    }
}

/// What a topic asks of its partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicRules {
    /// `min.insync.replicas` as configured; see `min_isr`.
    pub min_insync_replicas: usize,
    pub unclean_election: bool,
    /// What is acknowledged was fsynced first: a crash forgets nothing committed.
    pub flushed_on_commit: bool,
}

impl TopicRules {
    /// A partition with fewer replicas than `min.insync.replicas` needs all of them.
    pub fn min_isr(&self, replication_factor: usize) -> usize {
        self.min_insync_replicas.min(replication_factor).max(1)
    }
}

/// The controller's reading of the configuration: its own, under what is agreed for the cluster.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What this node was started with.
    pub config: Arc<BrokerConfig>,
    /// As last read: a pure function of `config` and the entries, remembered.
    agreed: Arc<Mutex<Agreed>>,
}

#[derive(Clone, Debug)]
struct Agreed {
    entries: Arc<Entries>,
    config: Arc<BrokerConfig>,
    defaults: TopicRules,
}

impl Agreed {
    fn new(started_with: &Arc<BrokerConfig>, entries: Arc<Entries>) -> Self {
        let config = if entries.is_empty() {
            Arc::clone(started_with)
        } else {
            Arc::new(started_with.under(&entries, &Entries::new()))
        };
        let defaults = rules_of(&TopicConfig::effective(&config, &BTreeMap::new()));
        Self {
            entries,
            config,
            defaults,
        }
    }
}

impl Policy {
    pub fn new(config: Arc<BrokerConfig>) -> Self {
        let agreed = Agreed::new(&config, Arc::default());
        Self {
            config,
            agreed: Arc::new(Mutex::new(agreed)),
        }
    }

    pub fn rules(&self, image: &MetadataImage, topic: &str) -> TopicRules {
        let agreed = self.agreed(image);
        let resource = ConfigResource::Topic(topic.to_owned());
        // Most topics override nothing; reading the whole configuration for each would make
        // fencing a broker with many topics slow.
        image
            .configs
            .get(&resource)
            .map_or(agreed.defaults, |overrides| {
                rules_of(&TopicConfig::effective(&agreed.config, overrides))
            })
    }

    fn agreed(&self, image: &MetadataImage) -> Agreed {
        let entries = image.configs.get(&ConfigResource::Cluster);
        let entries = entries.map(Arc::clone).unwrap_or_default();
        let mut agreed = self.agreed.lock();
        if !Arc::ptr_eq(&agreed.entries, &entries) && agreed.entries != entries {
            *agreed = Agreed::new(&self.config, entries);
        }
        agreed.clone()
    }
}

fn rules_of(config: &TopicConfig) -> TopicRules {
    TopicRules {
        min_insync_replicas: usize::try_from(config.min_insync_replicas).unwrap_or(1),
        unclean_election: config.unclean_leader_election_enable,
        flushed_on_commit: config.flush_mode == FlushMode::Commit,
    }
}

/// The record that moves a partition from `before` to `after`.
pub fn partition_changed(
    partition: TopicIdPartition,
    before: &PartitionRegistration,
    after: &PartitionRegistration,
) -> MetadataRecord {
    MetadataRecord::PartitionChanged(PartitionChangedV2 {
        topic_id: partition.topic_id,
        partition: partition.partition,
        previous_partition_epoch: before.partition_epoch,
        replicas: after.replicas.clone(),
        adding_replicas: after.adding_replicas.clone(),
        removing_replicas: after.removing_replicas.clone(),
        isr: after.isr.clone(),
        elr: after.elr.clone(),
        leader: after.leader,
        leader_epoch: after.leader_epoch,
        recovery: after.recovery,
    })
}

/// The partitions of a topic with their names, in order.
pub fn partitions_of(
    topic: &TopicImage,
) -> impl Iterator<Item = (TopicIdPartition, &PartitionRegistration)> {
    (0..).zip(&topic.partitions).map(|(number, state)| {
        let partition = TopicIdPartition {
            topic_id: topic.topic_id,
            partition: number,
        };
        (partition, state.as_ref())
    })
}

/// Brokers a new replica may be placed on.
pub fn active_brokers(
    image: &MetadataImage,
) -> impl Iterator<Item = (NodeId, &BrokerRegistration)> {
    image
        .brokers
        .iter()
        .filter(|(id, _)| image.active_broker(**id).is_some() && !image.is_drained(**id))
        .map(|(id, broker)| (*id, broker.as_ref()))
}
