//! The agreed state, as an immutable image: readers hold an `Arc` and are never surprised.
//!
//! Copy-on-write: applying a record clones the maps it touches (of `Arc`s) and leaves older images
//! as they were. `apply` is total and deterministic: no clock, no randomness, no hash order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use drave_protocol::ids::{
    BrokerEpoch, DirectoryId, LeaderEpoch, MetadataOffset, NodeId, PartitionEpoch, ProducerId,
    TopicId, TopicIdPartition, Uuid,
};
use serde::{Deserialize, Serialize};

use crate::record::{ConfigResource, LeaderRecovery, ListenerV1};

mod apply;
#[cfg(test)]
mod apply_test;
mod stored;

pub use apply::ApplyError;

/// Everything the cluster has agreed on up to `offset`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetadataImage {
    /// Raft log index up to which everything agreed is in here.
    pub offset: MetadataOffset,
    /// Raft term of that index: Kafka's controller epoch.
    pub term: u64,
    pub cluster_id: Option<String>,
    pub brokers: Arc<BTreeMap<NodeId, Arc<BrokerRegistration>>>,
    pub topics: Arc<BTreeMap<TopicId, Arc<TopicImage>>>,
    pub topic_ids: Arc<BTreeMap<String, TopicId>>,
    pub configs: Arc<BTreeMap<ConfigResource, Arc<BTreeMap<String, String>>>>,
    /// Replicas their broker said it cannot use; brokers without one are absent.
    pub offline_replicas: Arc<BTreeMap<NodeId, Arc<BTreeSet<TopicIdPartition>>>>,
    /// Every id below it belongs to some broker.
    pub next_producer_id: ProducerId,
    /// Nodes that an operator wants empty.
    pub drained: Arc<BTreeSet<NodeId>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrokerRegistration {
    pub broker: NodeId,
    pub broker_epoch: BrokerEpoch,
    pub incarnation: Uuid,
    pub directory: DirectoryId,
    pub listeners: Vec<ListenerV1>,
    pub controller_address: String,
    pub http_address: Option<String>,
    pub rack: Option<String>,
    pub fenced: bool,
    pub shutting_down: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopicImage {
    pub topic_id: TopicId,
    pub name: String,
    /// Index = partition number; never has holes.
    pub partitions: Vec<Arc<PartitionRegistration>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartitionRegistration {
    /// In order of preference; while it is reassigned, first those to come, then those to go.
    pub replicas: Vec<NodeId>,
    /// Of `replicas`, those a reassignment brings.
    pub adding_replicas: Vec<NodeId>,
    /// Of `replicas`, those that leave when it is complete.
    pub removing_replicas: Vec<NodeId>,
    pub isr: Vec<NodeId>,
    pub elr: Vec<NodeId>,
    pub leader: Option<NodeId>,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    pub recovery: LeaderRecovery,
}

/// What one or more applied batches changed, so that followers of the image need not compare it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetadataDelta {
    pub brokers: Vec<NodeId>,
    /// Created or changed.
    pub partitions: Vec<TopicIdPartition>,
    pub deleted_topics: Vec<TopicId>,
    pub configs: Vec<ConfigResource>,
}

impl PartitionRegistration {
    pub fn is_reassigning(&self) -> bool {
        !self.adding_replicas.is_empty() || !self.removing_replicas.is_empty()
    }

    /// Replicas it is to have while nothing has arrived yet: those only on their way do not count.
    pub fn replication_factor(&self) -> usize {
        self.replicas.len() - self.adding_replicas.len().min(self.replicas.len())
    }
}

impl MetadataImage {
    pub fn topic_by_name(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics.get(self.topic_ids.get(name)?)
    }

    pub fn partition(&self, partition: TopicIdPartition) -> Option<&Arc<PartitionRegistration>> {
        let index = usize::try_from(partition.partition).ok()?;
        self.topics.get(&partition.topic_id)?.partitions.get(index)
    }

    /// The current registration, if the broker is known, unfenced and not shutting down.
    pub fn active_broker(&self, broker: NodeId) -> Option<&Arc<BrokerRegistration>> {
        self.brokers
            .get(&broker)
            .filter(|it| !it.fenced && !it.shutting_down)
    }

    /// Whether an operator wants the node empty.
    pub fn is_drained(&self, broker: NodeId) -> bool {
        self.drained.contains(&broker)
    }

    /// Whether the broker said that it cannot use its replica.
    pub fn is_offline(&self, broker: NodeId, partition: TopicIdPartition) -> bool {
        let offline = self.offline_replicas.get(&broker);
        offline.is_some_and(|it| it.contains(&partition))
    }
}
