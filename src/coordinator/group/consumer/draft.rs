//! A decision in the making: records, each taken into a copy of the group at once, so that what is decided
//! next builds on it.

use std::time::{Duration, Instant};

use drave_protocol::schema::group_records::{
    ConsumerGroupMetadataValue, ConsumerGroupRegularExpressionKey,
    ConsumerGroupRegularExpressionValue, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataValue, GroupKey, GroupMemberKey, TargetTopicPartitions,
};

use super::group::{ConsumerGroup, ResolvedRegex};
use super::member::{Current, Member};
use super::topics::Topics;
use crate::coordinator::decision::{Decision, TimerChange, TimerKey, TimerKind};
use crate::coordinator::group::assignor::{Assignor, Partitions};
use crate::coordinator::records::GroupRecord;

/// What a decision looks at besides the group.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    pub now: Instant,
    pub wall_ms: i64,
    pub topics: &'a dyn Topics,
    pub settings: &'a Settings,
}

/// The settings of one group.
#[derive(Clone, Debug)]
pub struct Settings {
    pub session_timeout: Duration,
    pub heartbeat_interval: Duration,
    pub n_members_max: usize,
    /// The first is that of groups that do not say.
    pub assignors: Vec<Assignor>,
    /// Whether a classic group may become one of consumers.
    pub upgrades: bool,
    /// Whether a group that only classic members are left in becomes classic.
    pub downgrades: bool,
    pub n_classic_members_max: usize,
}

pub(super) struct Draft<'a> {
    base: &'a ConsumerGroup,
    changed: Option<ConsumerGroup>,
    records: Vec<GroupRecord>,
    pub(super) timers: Vec<TimerChange>,
    pub(super) around: Surroundings<'a>,
}

impl<'a> Draft<'a> {
    pub(super) fn of(base: &'a ConsumerGroup, around: Surroundings<'a>) -> Self {
        Self {
            base,
            changed: None,
            records: Vec::new(),
            timers: Vec::new(),
            around,
        }
    }

    pub(super) fn group(&self) -> &ConsumerGroup {
        self.changed.as_ref().unwrap_or(self.base)
    }

    pub(super) fn add(&mut self, record: GroupRecord) {
        self.changed
            .get_or_insert_with(|| self.base.clone())
            .replay(&record);
        self.records.push(record);
    }

    pub(super) fn decide<R>(self, response: R) -> Decision<R> {
        Decision {
            records: self.records,
            response,
            timers: self.timers,
            answers: Vec::new(),
        }
    }

    pub(super) fn set_timer(&mut self, member_id: &str, kind: TimerKind, after: Duration) {
        let key = self.timer(member_id, kind);
        self.timers.push(TimerChange::Set {
            key,
            at: self.around.now + after,
        });
    }

    pub(super) fn cancel_timer(&mut self, member_id: &str, kind: TimerKind) {
        let key = self.timer(member_id, kind);
        self.timers.push(TimerChange::Cancel { key });
    }

    fn timer(&self, member_id: &str, kind: TimerKind) -> TimerKey {
        TimerKey::of_member(&self.group().group_id, member_id, kind)
    }

    pub(super) fn group_key(&self) -> GroupKey {
        self.group().key()
    }

    fn member_key(&self, member_id: &str) -> GroupMemberKey {
        self.group().key_of_member(member_id)
    }

    pub(super) fn record_epoch(&mut self, epoch: i32, metadata_hash: i64) {
        let value = ConsumerGroupMetadataValue {
            epoch,
            metadata_hash,
        };
        self.add(GroupRecord::ConsumerGroupMetadata(
            self.group_key(),
            Some(value),
        ));
    }

    /// What makes all who read the group's target assign it anew.
    pub(super) fn raise_epoch(&mut self) {
        let hash = self.group().hash_of(self.around.topics);
        self.record_epoch(self.group().epoch + 1, hash);
    }

    pub(super) fn record_member(&mut self, member: &Member) {
        let key = self.member_key(&member.member_id);
        self.add(GroupRecord::ConsumerGroupMemberMetadata(
            key,
            Some(member.to_record()),
        ));
    }

    pub(super) fn record_current(&mut self, member_id: &str, current: &Current) {
        let (key, value) = (self.member_key(member_id), current.to_record());
        self.add(GroupRecord::ConsumerGroupCurrentMemberAssignment(
            key,
            Some(value),
        ));
    }

    pub(super) fn record_target(&mut self, member_id: &str, target: &Partitions) {
        let topics = target
            .iter()
            .map(|(topic_id, partitions)| TargetTopicPartitions {
                topic_id: *topic_id,
                partitions: partitions.iter().copied().collect(),
            });
        let topic_partitions = topics.collect();
        let value = ConsumerGroupTargetAssignmentMemberValue { topic_partitions };
        let key = self.member_key(member_id);
        self.add(GroupRecord::ConsumerGroupTargetAssignmentMember(
            key,
            Some(value),
        ));
    }

    pub(super) fn record_assignment_epoch(&mut self, assignment_epoch: i32) {
        let value = ConsumerGroupTargetAssignmentMetadataValue {
            assignment_epoch,
            assignment_timestamp: self.around.wall_ms,
        };
        let key = self.group_key();
        self.add(GroupRecord::ConsumerGroupTargetAssignmentMetadata(
            key,
            Some(value),
        ));
    }

    pub(super) fn record_regex(&mut self, regex: &str, resolved: &ResolvedRegex) {
        let value = ConsumerGroupRegularExpressionValue {
            topics: resolved.topics.iter().cloned().collect(),
            version: resolved.version,
            timestamp: resolved.resolved_at_ms,
        };
        let key = self.regex_key(regex);
        self.add(GroupRecord::ConsumerGroupRegularExpression(
            key,
            Some(value),
        ));
    }

    pub(super) fn forget_regex(&mut self, regex: &str) {
        let key = self.regex_key(regex);
        self.add(GroupRecord::ConsumerGroupRegularExpression(key, None));
    }

    fn regex_key(&self, regex: &str) -> ConsumerGroupRegularExpressionKey {
        self.group().key_of_regex(regex)
    }

    /// Of Kafka 4.0; the hash says it now.
    pub(super) fn forget_partition_metadata(&mut self) {
        if self.group().has_partition_metadata {
            let key = self.group_key();
            self.add(GroupRecord::ConsumerGroupPartitionMetadata(key, None));
        }
    }

    pub(super) fn forget_member(&mut self, member_id: &str) {
        for record in self.group().tombstones_of(member_id) {
            self.add(record);
        }
        for kind in [
            TimerKind::Session,
            TimerKind::Rebalance,
            TimerKind::Join,
            TimerKind::Sync,
        ] {
            self.cancel_timer(member_id, kind);
        }
    }
}
