//! Questions about the agreed image, answered in one place for every door.
//!
//! A view is one image: two answers of the same view never contradict each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use drave_protocol::ids::{NodeId, TopicId, TopicIdPartition};
use drave_raft::image::{BrokerRegistration, MetadataImage, PartitionRegistration, TopicImage};
use drave_raft::record::{ConfigResource, ListenerV1};

use crate::config::{BrokerConfig, TopicConfig};

/// The cluster as one image shows it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClusterView {
    image: Arc<MetadataImage>,
}

/// A partition together with the topic it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct PartitionView<'a> {
    pub topic: &'a TopicImage,
    pub partition: TopicIdPartition,
    pub state: &'a PartitionRegistration,
}

impl PartitionView<'_> {
    /// Whether the broker said that it cannot use its replica: a disk failed, a log is corrupt.
    pub fn is_offline(&self, view: &ClusterView, broker: NodeId) -> bool {
        view.image.is_offline(broker, self.partition)
    }
}

impl ClusterView {
    pub fn new(image: Arc<MetadataImage>) -> Self {
        Self { image }
    }

    pub fn image(&self) -> &Arc<MetadataImage> {
        &self.image
    }

    pub fn cluster_id(&self) -> Option<&str> {
        self.image.cluster_id.as_deref()
    }

    pub fn broker(&self, broker: NodeId) -> Option<&BrokerRegistration> {
        self.image.brokers.get(&broker).map(AsRef::as_ref)
    }

    /// Every broker ever registered and not unregistered, fenced ones included.
    pub fn brokers(&self) -> impl Iterator<Item = &BrokerRegistration> {
        self.image.brokers.values().map(AsRef::as_ref)
    }

    /// Brokers clients may be sent to. One that is shutting down still serves what it leads.
    pub fn live_brokers(&self) -> impl Iterator<Item = &BrokerRegistration> {
        self.brokers().filter(|it| !it.fenced)
    }

    pub fn is_live(&self, broker: NodeId) -> bool {
        self.broker(broker).is_some_and(|it| !it.fenced)
    }

    /// Whether an operator wants it empty.
    pub fn is_drained(&self, broker: NodeId) -> bool {
        self.image.is_drained(broker)
    }

    /// Where `broker` listens under the listener a client came in by; a broker without a listener of
    /// that name is reached by none (`None`), as in Kafka.
    pub fn endpoint(&self, broker: NodeId, listener: &str) -> Option<&ListenerV1> {
        endpoint_of(self.broker(broker)?, listener)
    }

    /// Live brokers with their endpoint under `listener`, by id.
    pub fn live_endpoints(
        &self,
        listener: &str,
    ) -> impl Iterator<Item = (&BrokerRegistration, &ListenerV1)> {
        self.live_brokers()
            .filter_map(move |broker| Some((broker, endpoint_of(broker, listener)?)))
    }

    /// Where brokers reach each other: the first listener.
    pub fn inter_broker_endpoint(&self, broker: NodeId) -> Option<&ListenerV1> {
        self.broker(broker)?.listeners.first()
    }

    pub fn topics(&self) -> impl Iterator<Item = &TopicImage> {
        self.image
            .topic_ids
            .values()
            .filter_map(|id| self.topic_by_id(*id))
    }

    pub fn topic(&self, name: &str) -> Option<&TopicImage> {
        self.image.topic_by_name(name).map(AsRef::as_ref)
    }

    pub fn topic_by_id(&self, topic_id: TopicId) -> Option<&TopicImage> {
        self.image.topics.get(&topic_id).map(AsRef::as_ref)
    }

    pub fn partition(&self, partition: TopicIdPartition) -> Option<PartitionView<'_>> {
        Some(PartitionView {
            topic: self.topic_by_id(partition.topic_id)?,
            partition,
            state: self.image.partition(partition)?,
        })
    }

    pub fn partition_by_name(&self, topic: &str, partition: i32) -> Option<PartitionView<'_>> {
        let topic_id = self.topic(topic)?.topic_id;
        self.partition(TopicIdPartition {
            topic_id,
            partition,
        })
    }

    /// Every partition of `topic`, in order.
    pub fn partitions_of<'a>(
        &'a self,
        topic: &'a TopicImage,
    ) -> impl Iterator<Item = PartitionView<'a>> {
        (0..).zip(&topic.partitions).map(|(number, state)| {
            let partition = TopicIdPartition {
                topic_id: topic.topic_id,
                partition: number,
            };
            PartitionView {
                topic,
                partition,
                state,
            }
        })
    }

    /// What is in force on the broker that was started with `config`.
    pub fn broker_config(&self, config: &BrokerConfig) -> BrokerConfig {
        let own = ConfigResource::Broker(config.node_id);
        config.under(&self.entries(&ConfigResource::Cluster), &self.entries(&own))
    }

    /// What was agreed for a resource; empty when nothing was.
    pub fn entries(&self, resource: &ConfigResource) -> Arc<BTreeMap<String, String>> {
        let entries = self.image.configs.get(resource);
        entries.map(Arc::clone).unwrap_or_default()
    }

    /// What is in force for a topic on the broker that was started with `config`.
    pub fn topic_config(&self, topic: &str, config: &BrokerConfig) -> TopicConfig {
        TopicConfig::effective(&self.broker_config(config), &self.topic_overrides(topic))
    }

    /// What was set on the topic itself; empty when nothing was.
    pub fn topic_overrides(&self, topic: &str) -> BTreeMap<String, String> {
        self.image
            .configs
            .get(&ConfigResource::Topic(topic.to_owned()))
            .map(|it| it.as_ref().clone())
            .unwrap_or_default()
    }
}

fn endpoint_of<'a>(broker: &'a BrokerRegistration, listener: &str) -> Option<&'a ListenerV1> {
    broker.listeners.iter().find(|it| it.name == listener)
}
