//! Every applied record, kept for people: by offset and by what it is about; and the applied image,
//! so that a restart replays less.
//!
//! sled holds both. It can lose what it acknowledged when the power fails, so nothing here is ever
//! the only copy: the checkpoint is used only when its checksum and its log id agree with the log,
//! and is written anew otherwise; records that are missing stay missing and are counted.
//! sled blocks and may panic on open, so it runs on a thread of its own, fed by a bounded queue:
//! applying never waits for it.

pub(crate) mod feed;
pub(crate) mod keys;
mod store;
#[cfg(test)]
mod store_test;

use drave_protocol::ids::{MetadataOffset, NodeId, TopicId, TopicIdPartition};
use serde::{Deserialize, Serialize};

use crate::history::feed::Feed;
use crate::record::{ConfigResource, MetadataRecord};

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Entity {
    Cluster,
    Broker(NodeId),
    Topic(TopicId),
    Partition(TopicIdPartition),
    Config(ConfigResource),
}

impl Entity {
    pub fn of(record: &MetadataRecord) -> Self {
        match record {
            MetadataRecord::Cluster(_) | MetadataRecord::ControllerActivated(_) => Self::Cluster,
            MetadataRecord::BrokerRegistered(it) => Self::Broker(it.broker),
            MetadataRecord::BrokerFenced(it) => Self::Broker(it.broker),
            MetadataRecord::BrokerUnfenced(it) => Self::Broker(it.broker),
            MetadataRecord::BrokerShuttingDown(it) => Self::Broker(it.broker),
            MetadataRecord::BrokerUnregistered(it) => Self::Broker(it.broker),
            MetadataRecord::TopicCreated(it) => Self::Topic(it.topic_id),
            MetadataRecord::TopicDeleted(it) => Self::Topic(it.topic_id),
            MetadataRecord::PartitionCreated(it) => Self::Partition(TopicIdPartition {
                topic_id: it.topic_id,
                partition: it.partition,
            }),
            MetadataRecord::PartitionChanged(it) => Self::Partition(TopicIdPartition {
                topic_id: it.topic_id,
                partition: it.partition,
            }),
            MetadataRecord::ConfigChanged(it) => Self::Config(it.resource.clone()),
            MetadataRecord::ReplicasWentOffline(it) => Self::Broker(it.broker),
            MetadataRecord::ReplicasCameOnline(it) => Self::Broker(it.broker),
            MetadataRecord::ProducerIdsAllocated(it) => Self::Broker(it.broker),
            MetadataRecord::BrokerDrained(it) => Self::Broker(it.broker),
            MetadataRecord::BrokerUndrained(it) => Self::Broker(it.broker),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HistoryRecord {
    pub offset: MetadataOffset,
    /// Place within the batch agreed at `offset`.
    pub position: u32,
    pub term: u64,
    /// When the leader proposed it, in milliseconds since the epoch.
    pub wall_ms: i64,
    pub record: MetadataRecord,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HistoryStatus {
    pub oldest: Option<MetadataOffset>,
    pub newest: Option<MetadataOffset>,
    pub records: u64,
    /// Batches missing because the history could not keep up, or a snapshot jumped over them.
    pub skipped: u64,
    /// Why there is no history, when there is none.
    pub unavailable: Option<String>,
}

/// A cheap handle; reads run on the history's own thread.
#[derive(Clone, Debug)]
pub struct History {
    feed: Feed,
}

impl History {
    pub(crate) fn new(feed: Feed) -> Self {
        Self { feed }
    }

    /// Records at or after `from`, oldest first.
    pub async fn since(&self, from: MetadataOffset, limit: usize) -> Vec<HistoryRecord> {
        self.feed.since(from, limit).await
    }

    /// The newest records about `entity`, newest first.
    pub async fn about(&self, entity: Entity, limit: usize) -> Vec<HistoryRecord> {
        self.feed.about(entity, limit).await
    }

    pub fn status(&self) -> HistoryStatus {
        self.feed.status()
    }
}
