//! An image as bytes: in snapshots, between nodes, in the history's checkpoint.
//!
//! ```text
//! 0xff | version u8 | body        version 2 and later
//! body                            version 1, which had no place for a number
//! ```
//! A body begins with a varint, whose first byte is never 0xff. Persisted: a released version is never
//! changed; what it lacks takes the value it had before there was such a thing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use drave_protocol::ids::{
    LeaderEpoch, MetadataOffset, NodeId, PartitionEpoch, ProducerId, TopicId, TopicIdPartition,
};
use serde::Deserialize;

use crate::codec::{self, CodecError};
use crate::image::{BrokerRegistration, MetadataImage, PartitionRegistration, TopicImage};
use crate::record::{ConfigResource, LeaderRecovery};

const VERSIONED: u8 = 0xff;
/// What this node writes: `MetadataImage` as it stands.
const VERSION: u8 = 4;

impl MetadataImage {
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, CodecError> {
        let mut bytes = vec![VERSIONED, VERSION];
        bytes.extend(codec::encode(self)?);
        Ok(bytes)
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        match bytes.split_first_chunk() {
            Some(([VERSIONED, VERSION], body)) => codec::decode(body),
            Some(([VERSIONED, 3], body)) => codec::decode::<ImageV3>(body).map(Self::from),
            Some(([VERSIONED, 2], body)) => codec::decode::<ImageV2>(body).map(Self::from),
            Some(([VERSIONED, version], _)) => Err(CodecError::Image(*version)),
            Some(_) | None => codec::decode::<ImageV1>(bytes).map(Self::from),
        }
    }
}

/// Before brokers told which of their replicas are offline, and were given producer ids.
#[derive(Deserialize)]
struct ImageV1 {
    offset: MetadataOffset,
    term: u64,
    cluster_id: Option<String>,
    brokers: Arc<BTreeMap<NodeId, Arc<BrokerRegistration>>>,
    topics: BTreeMap<TopicId, TopicV1>,
    topic_ids: Arc<BTreeMap<String, TopicId>>,
    configs: Arc<BTreeMap<ConfigResource, Arc<BTreeMap<String, String>>>>,
}

/// Before partitions could be reassigned.
#[derive(Deserialize)]
struct ImageV2 {
    offset: MetadataOffset,
    term: u64,
    cluster_id: Option<String>,
    brokers: Arc<BTreeMap<NodeId, Arc<BrokerRegistration>>>,
    topics: BTreeMap<TopicId, TopicV1>,
    topic_ids: Arc<BTreeMap<String, TopicId>>,
    configs: Arc<BTreeMap<ConfigResource, Arc<BTreeMap<String, String>>>>,
    offline_replicas: Arc<BTreeMap<NodeId, Arc<BTreeSet<TopicIdPartition>>>>,
    next_producer_id: ProducerId,
}

/// A topic in images of version 1 and 2.
#[derive(Deserialize)]
struct TopicV1 {
    topic_id: TopicId,
    name: String,
    partitions: Vec<PartitionV1>,
}

#[derive(Deserialize)]
struct PartitionV1 {
    replicas: Vec<NodeId>,
    isr: Vec<NodeId>,
    elr: Vec<NodeId>,
    leader: Option<NodeId>,
    leader_epoch: LeaderEpoch,
    partition_epoch: PartitionEpoch,
    recovery: LeaderRecovery,
}

impl From<PartitionV1> for PartitionRegistration {
    fn from(it: PartitionV1) -> Self {
        Self {
            replicas: it.replicas,
            adding_replicas: Vec::new(),
            removing_replicas: Vec::new(),
            isr: it.isr,
            elr: it.elr,
            leader: it.leader,
            leader_epoch: it.leader_epoch,
            partition_epoch: it.partition_epoch,
            recovery: it.recovery,
        }
    }
}

impl From<TopicV1> for TopicImage {
    fn from(it: TopicV1) -> Self {
        let partitions = it.partitions.into_iter();
        Self {
            topic_id: it.topic_id,
            name: it.name,
            partitions: partitions.map(|it| Arc::new(it.into())).collect(),
        }
    }
}

fn topics(stored: BTreeMap<TopicId, TopicV1>) -> Arc<BTreeMap<TopicId, Arc<TopicImage>>> {
    let topics = stored.into_iter();
    Arc::new(topics.map(|(id, it)| (id, Arc::new(it.into()))).collect())
}

impl From<ImageV2> for MetadataImage {
    fn from(it: ImageV2) -> Self {
        Self {
            offset: it.offset,
            term: it.term,
            cluster_id: it.cluster_id,
            brokers: it.brokers,
            topics: topics(it.topics),
            topic_ids: it.topic_ids,
            configs: it.configs,
            offline_replicas: it.offline_replicas,
            next_producer_id: it.next_producer_id,
            drained: Arc::default(),
        }
    }
}

impl From<ImageV1> for MetadataImage {
    fn from(it: ImageV1) -> Self {
        Self {
            offset: it.offset,
            term: it.term,
            cluster_id: it.cluster_id,
            brokers: it.brokers,
            topics: topics(it.topics),
            topic_ids: it.topic_ids,
            configs: it.configs,
            offline_replicas: Arc::default(),
            next_producer_id: ProducerId(0),
            drained: Arc::default(),
        }
    }
}

/// Before nodes could be drained.
#[derive(Deserialize)]
struct ImageV3 {
    offset: MetadataOffset,
    term: u64,
    cluster_id: Option<String>,
    brokers: Arc<BTreeMap<NodeId, Arc<BrokerRegistration>>>,
    topics: Arc<BTreeMap<TopicId, Arc<TopicImage>>>,
    topic_ids: Arc<BTreeMap<String, TopicId>>,
    configs: Arc<BTreeMap<ConfigResource, Arc<BTreeMap<String, String>>>>,
    offline_replicas: Arc<BTreeMap<NodeId, Arc<BTreeSet<TopicIdPartition>>>>,
    next_producer_id: ProducerId,
}

impl From<ImageV3> for MetadataImage {
    fn from(it: ImageV3) -> Self {
        Self {
            offset: it.offset,
            term: it.term,
            cluster_id: it.cluster_id,
            brokers: it.brokers,
            topics: it.topics,
            topic_ids: it.topic_ids,
            configs: it.configs,
            offline_replicas: it.offline_replicas,
            next_producer_id: it.next_producer_id,
            drained: Arc::default(),
        }
    }
}
