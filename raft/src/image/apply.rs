//! The only place that changes agreed state: a batch of records becomes the next image.
//!
//! Invariants: a batch applies whole or not at all; the outcome depends on image, offset, term and
//! records alone, so every node refuses exactly the batches every other node refuses; epochs of a
//! partition never fall; partition numbers of a topic have no holes; a producer id is given once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use drave_protocol::ids::{
    BrokerEpoch, LeaderEpoch, MetadataOffset, NodeId, PartitionEpoch, ProducerId, TopicId,
    TopicIdPartition,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::image::{
    BrokerRegistration, MetadataDelta, MetadataImage, PartitionRegistration, TopicImage,
};
use crate::record::{
    BrokerRegisteredV1, ConfigChangedV1, ConfigResource, LeaderRecovery, MetadataRecord,
    PartitionChangedV2, PartitionCreatedV1, ProducerIdsAllocatedV1, TopicCreatedV1,
};

/// Why a batch does not fit the image it met. Such a batch changes nothing, on any node.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum ApplyError {
    #[error("the cluster is already named {existing}")]
    ClusterNamed { existing: String },
    #[error("broker {broker} is not registered")]
    UnknownBroker { broker: NodeId },
    #[error("broker {broker} is registered at epoch {current}, the record says {recorded}")]
    BrokerEpoch {
        broker: NodeId,
        current: BrokerEpoch,
        recorded: BrokerEpoch,
    },
    #[error("topic {name} exists with id {existing}")]
    TopicExists { name: String, existing: TopicId },
    #[error("topic {topic_id} does not exist")]
    UnknownTopic { topic_id: TopicId },
    #[error("partition {partition} cannot be created, the next of its topic is {next}")]
    PartitionOrder {
        partition: TopicIdPartition,
        next: usize,
    },
    #[error("partition {partition} does not exist")]
    UnknownPartition { partition: TopicIdPartition },
    #[error("{partition} is at partition epoch {current}, the record was decided at {recorded}")]
    PartitionEpoch {
        partition: TopicIdPartition,
        current: PartitionEpoch,
        recorded: PartitionEpoch,
    },
    #[error("{partition} is at leader epoch {current}, the record would lower it to {recorded}")]
    LeaderEpoch {
        partition: TopicIdPartition,
        current: LeaderEpoch,
        recorded: LeaderEpoch,
    },
    #[error("producer ids {first} to {next} cannot be allocated, the next one is {current}")]
    ProducerIds {
        current: ProducerId,
        first: ProducerId,
        next: ProducerId,
    },
    #[error("metadata offset {0} does not fit a broker epoch")]
    Offset(MetadataOffset),
}

impl MetadataImage {
    /// The image after `records`, agreed as one batch at log index `at` in `term`; this one stays
    /// as it is.
    pub fn apply(
        &self,
        at: MetadataOffset,
        term: u64,
        records: &[MetadataRecord],
    ) -> Result<(Self, MetadataDelta), ApplyError> {
        let mut next = Next {
            image: self.clone(),
            changes: Changes::default(),
        };
        next.image.offset = at;
        next.image.term = term;
        for record in records {
            next.apply(at, record)?;
        }
        Ok((next.image, next.changes.into_delta()))
    }

    /// The same state, known to hold up to a later entry that carried no records.
    pub(crate) fn advanced_to(&self, at: MetadataOffset, term: u64) -> Self {
        Self {
            offset: at,
            term,
            ..self.clone()
        }
    }
}

/// The image under construction.
struct Next {
    image: MetadataImage,
    changes: Changes,
}

#[derive(Default)]
struct Changes {
    brokers: BTreeSet<NodeId>,
    partitions: BTreeSet<TopicIdPartition>,
    deleted_topics: BTreeSet<TopicId>,
    configs: BTreeSet<ConfigResource>,
}

impl Changes {
    fn into_delta(self) -> MetadataDelta {
        let Self {
            brokers,
            mut partitions,
            deleted_topics,
            configs,
        } = self;
        partitions.retain(|it| !deleted_topics.contains(&it.topic_id));
        MetadataDelta {
            brokers: brokers.into_iter().collect(),
            partitions: partitions.into_iter().collect(),
            deleted_topics: deleted_topics.into_iter().collect(),
            configs: configs.into_iter().collect(),
        }
    }
}

impl Next {
    fn apply(&mut self, at: MetadataOffset, record: &MetadataRecord) -> Result<(), ApplyError> {
        match record {
            MetadataRecord::Cluster(it) => self.name_cluster(&it.cluster_id),
            // Its effect is the term it was agreed in, which the image already carries.
            MetadataRecord::ControllerActivated(_) => Ok(()),
            MetadataRecord::BrokerRegistered(it) => self.register(at, it),
            MetadataRecord::BrokerFenced(it) => {
                self.change_broker(it.broker, it.broker_epoch, |broker| broker.fenced = true)
            }
            MetadataRecord::BrokerUnfenced(it) => {
                self.change_broker(it.broker, it.broker_epoch, |broker| broker.fenced = false)
            }
            MetadataRecord::BrokerShuttingDown(it) => {
                self.change_broker(it.broker, it.broker_epoch, |broker| {
                    broker.shutting_down = true;
                })
            }
            MetadataRecord::BrokerUnregistered(it) => self.unregister(it.broker, it.broker_epoch),
            MetadataRecord::TopicCreated(it) => self.create_topic(it),
            MetadataRecord::TopicDeleted(it) => self.delete_topic(it.topic_id),
            MetadataRecord::PartitionCreated(it) => self.create_partition(it),
            MetadataRecord::PartitionChanged(it) => self.change_partition(it),
            MetadataRecord::ConfigChanged(it) => {
                self.change_config(it);
                Ok(())
            }
            MetadataRecord::ProducerIdsAllocated(it) => self.allocate_producer_ids(it),
            MetadataRecord::BrokerDrained(it) => self.drain(it.broker),
            MetadataRecord::BrokerUndrained(it) => {
                self.undrain(it.broker);
                Ok(())
            }
            MetadataRecord::ReplicasWentOffline(it) => self.change_offline(
                it.broker,
                it.broker_epoch,
                &it.partitions,
                |offline, name| {
                    offline.insert(name);
                },
            ),
            MetadataRecord::ReplicasCameOnline(it) => self.change_offline(
                it.broker,
                it.broker_epoch,
                &it.partitions,
                |offline, name| {
                    offline.remove(&name);
                },
            ),
        }
    }

    fn name_cluster(&mut self, cluster_id: &str) -> Result<(), ApplyError> {
        if let Some(existing) = &self.image.cluster_id {
            let existing = existing.clone();
            return Err(ApplyError::ClusterNamed { existing });
        }
        self.image.cluster_id = Some(cluster_id.to_owned());
        Ok(())
    }

    fn register(&mut self, at: MetadataOffset, it: &BrokerRegisteredV1) -> Result<(), ApplyError> {
        let epoch = i64::try_from(at.0).map_err(|_| ApplyError::Offset(at))?;
        let registration = BrokerRegistration {
            broker: it.broker,
            broker_epoch: BrokerEpoch(epoch),
            incarnation: it.incarnation,
            directory: it.directory,
            listeners: it.listeners.clone(),
            controller_address: it.controller_address.clone(),
            http_address: it.http_address.clone(),
            rack: it.rack.clone(),
            fenced: true,
            shutting_down: false,
        };
        Arc::make_mut(&mut self.image.brokers).insert(it.broker, Arc::new(registration));
        self.forget_offline(it.broker);
        self.changes.brokers.insert(it.broker);
        Ok(())
    }

    /// What an earlier process of a broker could not use says nothing of the next one.
    fn forget_offline(&mut self, broker: NodeId) {
        if self.image.offline_replicas.contains_key(&broker) {
            Arc::make_mut(&mut self.image.offline_replicas).remove(&broker);
        }
    }

    fn change_offline(
        &mut self,
        broker: NodeId,
        recorded: BrokerEpoch,
        partitions: &[TopicIdPartition],
        change: impl Fn(&mut BTreeSet<TopicIdPartition>, TopicIdPartition),
    ) -> Result<(), ApplyError> {
        self.check_broker(broker, recorded)?;
        let offline_replicas = Arc::make_mut(&mut self.image.offline_replicas);
        let before = offline_replicas.remove(&broker).unwrap_or_default();
        let mut offline = Arc::unwrap_or_clone(before);
        for partition in partitions {
            change(&mut offline, *partition);
            self.changes.partitions.insert(*partition);
        }
        if !offline.is_empty() {
            offline_replicas.insert(broker, Arc::new(offline));
        }
        Ok(())
    }

    fn change_broker(
        &mut self,
        broker: NodeId,
        recorded: BrokerEpoch,
        change: impl FnOnce(&mut BrokerRegistration),
    ) -> Result<(), ApplyError> {
        self.check_broker(broker, recorded)?;
        if let Some(registration) = Arc::make_mut(&mut self.image.brokers).get_mut(&broker) {
            change(Arc::make_mut(registration));
        }
        self.changes.brokers.insert(broker);
        Ok(())
    }

    fn unregister(&mut self, broker: NodeId, recorded: BrokerEpoch) -> Result<(), ApplyError> {
        self.check_broker(broker, recorded)?;
        Arc::make_mut(&mut self.image.brokers).remove(&broker);
        self.forget_offline(broker);
        self.undrain(broker);
        self.changes.brokers.insert(broker);
        Ok(())
    }

    fn drain(&mut self, broker: NodeId) -> Result<(), ApplyError> {
        if !self.image.brokers.contains_key(&broker) {
            return Err(ApplyError::UnknownBroker { broker });
        }
        Arc::make_mut(&mut self.image.drained).insert(broker);
        self.changes.brokers.insert(broker);
        Ok(())
    }

    fn undrain(&mut self, broker: NodeId) {
        if self.image.is_drained(broker) {
            Arc::make_mut(&mut self.image.drained).remove(&broker);
            self.changes.brokers.insert(broker);
        }
    }

    fn check_broker(&self, broker: NodeId, recorded: BrokerEpoch) -> Result<(), ApplyError> {
        let registration = self
            .image
            .brokers
            .get(&broker)
            .ok_or(ApplyError::UnknownBroker { broker })?;
        let current = registration.broker_epoch;
        if current != recorded {
            return Err(ApplyError::BrokerEpoch {
                broker,
                current,
                recorded,
            });
        }
        Ok(())
    }

    fn create_topic(&mut self, it: &TopicCreatedV1) -> Result<(), ApplyError> {
        let taken = self.image.topic_ids.get(&it.name).copied();
        let taken = taken.or_else(|| self.image.topics.get(&it.topic_id).map(|it| it.topic_id));
        if let Some(existing) = taken {
            let name = it.name.clone();
            return Err(ApplyError::TopicExists { name, existing });
        }
        let topic = TopicImage {
            topic_id: it.topic_id,
            name: it.name.clone(),
            partitions: Vec::new(),
        };
        Arc::make_mut(&mut self.image.topics).insert(it.topic_id, Arc::new(topic));
        Arc::make_mut(&mut self.image.topic_ids).insert(it.name.clone(), it.topic_id);
        Ok(())
    }

    fn delete_topic(&mut self, topic_id: TopicId) -> Result<(), ApplyError> {
        let topic = Arc::make_mut(&mut self.image.topics)
            .remove(&topic_id)
            .ok_or(ApplyError::UnknownTopic { topic_id })?;
        Arc::make_mut(&mut self.image.topic_ids).remove(&topic.name);
        // Configs belong to the name: a topic created again under it must start clean.
        let resource = ConfigResource::Topic(topic.name.clone());
        if self.image.configs.contains_key(&resource) {
            Arc::make_mut(&mut self.image.configs).remove(&resource);
            self.changes.configs.insert(resource);
        }
        self.forget_offline_of(topic_id);
        self.changes.deleted_topics.insert(topic_id);
        Ok(())
    }

    fn forget_offline_of(&mut self, topic_id: TopicId) {
        let is_of_topic = |it: &TopicIdPartition| it.topic_id == topic_id;
        let offline_replicas = &self.image.offline_replicas;
        if !offline_replicas
            .values()
            .flat_map(|it| it.iter())
            .any(is_of_topic)
        {
            return;
        }
        Arc::make_mut(&mut self.image.offline_replicas).retain(|_, offline| {
            Arc::make_mut(offline).retain(|it| !is_of_topic(it));
            !offline.is_empty()
        });
    }

    fn topic_mut(&mut self, topic_id: TopicId) -> Result<&mut TopicImage, ApplyError> {
        Arc::make_mut(&mut self.image.topics)
            .get_mut(&topic_id)
            .map(Arc::make_mut)
            .ok_or(ApplyError::UnknownTopic { topic_id })
    }

    fn create_partition(&mut self, it: &PartitionCreatedV1) -> Result<(), ApplyError> {
        let partition = TopicIdPartition {
            topic_id: it.topic_id,
            partition: it.partition,
        };
        let topic = self.topic_mut(it.topic_id)?;
        let next = topic.partitions.len();
        if usize::try_from(it.partition) != Ok(next) {
            return Err(ApplyError::PartitionOrder { partition, next });
        }
        topic.partitions.push(Arc::new(PartitionRegistration {
            replicas: it.replicas.clone(),
            adding_replicas: Vec::new(),
            removing_replicas: Vec::new(),
            isr: it.isr.clone(),
            elr: Vec::new(),
            leader: it.leader,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            recovery: LeaderRecovery::Recovered,
        }));
        self.changes.partitions.insert(partition);
        Ok(())
    }

    fn change_partition(&mut self, it: &PartitionChangedV2) -> Result<(), ApplyError> {
        let partition = TopicIdPartition {
            topic_id: it.topic_id,
            partition: it.partition,
        };
        let topic = self.topic_mut(it.topic_id)?;
        let registration = usize::try_from(it.partition)
            .ok()
            .and_then(|index| topic.partitions.get_mut(index))
            .ok_or(ApplyError::UnknownPartition { partition })?;
        if registration.partition_epoch != it.previous_partition_epoch {
            return Err(ApplyError::PartitionEpoch {
                partition,
                current: registration.partition_epoch,
                recorded: it.previous_partition_epoch,
            });
        }
        if it.leader_epoch < registration.leader_epoch {
            return Err(ApplyError::LeaderEpoch {
                partition,
                current: registration.leader_epoch,
                recorded: it.leader_epoch,
            });
        }
        *registration = Arc::new(PartitionRegistration {
            replicas: it.replicas.clone(),
            adding_replicas: it.adding_replicas.clone(),
            removing_replicas: it.removing_replicas.clone(),
            isr: it.isr.clone(),
            elr: it.elr.clone(),
            leader: it.leader,
            leader_epoch: it.leader_epoch,
            partition_epoch: it.previous_partition_epoch.next(),
            recovery: it.recovery,
        });
        self.changes.partitions.insert(partition);
        Ok(())
    }

    fn allocate_producer_ids(&mut self, it: &ProducerIdsAllocatedV1) -> Result<(), ApplyError> {
        self.check_broker(it.broker, it.broker_epoch)?;
        let current = self.image.next_producer_id;
        let (first, next) = (it.first, it.next);
        if first != current || next <= first {
            return Err(ApplyError::ProducerIds {
                current,
                first,
                next,
            });
        }
        self.image.next_producer_id = next;
        Ok(())
    }

    fn change_config(&mut self, it: &ConfigChangedV1) {
        let configs = Arc::make_mut(&mut self.image.configs);
        let mut entries = configs
            .remove(&it.resource)
            .map_or_else(BTreeMap::new, Arc::unwrap_or_clone);
        match &it.value {
            Some(value) => entries.insert(it.key.clone(), value.clone()),
            None => entries.remove(&it.key),
        };
        if !entries.is_empty() {
            configs.insert(it.resource.clone(), Arc::new(entries));
        }
        self.changes.configs.insert(it.resource.clone());
    }
}
