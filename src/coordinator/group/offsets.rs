//! Committed offsets, by group, topic and partition.

use std::collections::BTreeMap;

use drave_protocol::ids::TopicId;
use drave_protocol::schema::group_records::{OffsetCommitKey, OffsetCommitValue};

use crate::coordinator::records::GroupRecord;

/// How far a group got in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub offset: i64,
    /// -1 where the client did not say.
    pub leader_epoch: i32,
    pub metadata: Box<str>,
    pub committed_at_ms: i64,
    /// Of old clients, who said how long it is to be kept.
    pub expires_at_ms: Option<i64>,
    /// Zero in records of those who did not know it.
    pub topic_id: TopicId,
}

pub(super) type ByPartition = BTreeMap<i32, Committed>;
pub(super) type ByTopic = BTreeMap<String, ByPartition>;

/// Invariant: neither a group nor a topic is kept without an offset.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    by_group: BTreeMap<String, ByTopic>,
}

impl From<&OffsetCommitValue> for Committed {
    fn from(value: &OffsetCommitValue) -> Self {
        Self {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata.as_str().into(),
            committed_at_ms: value.commit_timestamp,
            expires_at_ms: Some(value.expire_timestamp).filter(|it| *it >= 0),
            topic_id: value.topic_id,
        }
    }
}

impl Committed {
    pub(super) fn record(&self, group: &str, topic: &str, partition: i32) -> GroupRecord {
        let value = OffsetCommitValue {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            metadata: self.metadata.to_string(),
            commit_timestamp: self.committed_at_ms,
            expire_timestamp: self.expires_at_ms.unwrap_or(-1),
            topic_id: self.topic_id,
        };
        GroupRecord::OffsetCommit(key(group, topic, partition), Some(value))
    }
}

pub(super) fn tombstone(group: &str, topic: &str, partition: i32) -> GroupRecord {
    GroupRecord::OffsetCommit(key(group, topic, partition), None)
}

fn key(group: &str, topic: &str, partition: i32) -> OffsetCommitKey {
    OffsetCommitKey {
        group_id: group.to_owned(),
        topic: topic.to_owned(),
        partition,
    }
}

impl Offsets {
    pub(super) fn of_group(&self, group: &str) -> Option<&ByTopic> {
        self.by_group.get(group)
    }

    pub(super) fn of(&self, group: &str, topic: &str, partition: i32) -> Option<&Committed> {
        self.of_group(group)?.get(topic)?.get(&partition)
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = (&String, &ByTopic)> {
        self.by_group.iter()
    }

    pub(super) fn replay(&mut self, key: &OffsetCommitKey, value: Option<&OffsetCommitValue>) {
        if let Some(value) = value {
            let topics = self.by_group.entry(key.group_id.clone()).or_default();
            let partitions = topics.entry(key.topic.clone()).or_default();
            partitions.insert(key.partition, Committed::from(value));
        } else {
            self.remove(key);
        }
    }

    fn remove(&mut self, key: &OffsetCommitKey) {
        let Some(topics) = self.by_group.get_mut(&key.group_id) else {
            return;
        };
        if let Some(partitions) = topics.get_mut(&key.topic) {
            partitions.remove(&key.partition);
            if partitions.is_empty() {
                topics.remove(&key.topic);
            }
        }
        if topics.is_empty() {
            self.by_group.remove(&key.group_id);
        }
    }

    pub(super) fn len(&self) -> usize {
        let topics = self.by_group.values().flat_map(BTreeMap::values);
        topics.map(BTreeMap::len).sum()
    }
}
