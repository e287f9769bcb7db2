//! All groups whose records are in one partition.
//!
//! Invariant: what is recorded here is what replaying the partition from its start brings about; a group with
//! offsets exists, if only for them.

use std::collections::BTreeMap;

use super::classic::{ClassicGroup, State};
use super::consumer::ConsumerGroup;
use super::consumers::{around, settings};
use super::context::Context;
use super::offsets::{Committed, Offsets};
use crate::coordinator::decision::{Decision, TimerKey};
use crate::coordinator::error::GroupError;
use crate::coordinator::records::GroupRecord;

#[derive(Debug, Default)]
pub struct GroupShard {
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) offsets: Offsets,
    is_loaded: bool,
}

#[derive(Debug)]
pub enum Group {
    Classic(ClassicGroup),
    Consumer(ConsumerGroup),
}

impl Group {
    /// What an offset's age is counted from; `None` while it must not be forgotten.
    pub(super) fn age_counts_from(&self, offset: &Committed) -> Option<i64> {
        match self {
            Self::Classic(group) if group.protocol_type().is_none() => Some(offset.committed_at_ms),
            Self::Classic(group) => match group.state() {
                State::Empty if group.state_since_ms() >= 0 => Some(group.state_since_ms()),
                State::Empty => Some(offset.committed_at_ms),
                State::Stable if group.is_of_consumers() => Some(offset.committed_at_ms),
                State::Stable | State::PreparingRebalance | State::CompletingRebalance => None,
            },
            Self::Consumer(_) => Some(offset.committed_at_ms),
        }
    }

    /// Whether it reads the topic, as far as anybody can say.
    pub(super) fn may_read(&self, topic: &str) -> bool {
        match self {
            Self::Classic(group) => group.may_read(topic),
            Self::Consumer(group) => group.may_read(topic),
        }
    }

    pub(super) fn n_members(&self) -> usize {
        match self {
            Self::Classic(group) => group.n_members(),
            Self::Consumer(group) => group.n_members(),
        }
    }

    /// Whether it may be forgotten when its offsets are.
    pub(super) fn is_idle(&self) -> bool {
        match self {
            Self::Classic(group) => group.is_idle(),
            Self::Consumer(group) => group.n_members() == 0,
        }
    }

    pub(super) fn tombstones(&self) -> Vec<GroupRecord> {
        match self {
            Self::Classic(group) => vec![group.tombstone()],
            Self::Consumer(group) => group.tombstones(),
        }
    }
}

impl GroupShard {
    /// Brings about what a record says: each one of the log, then each one decided here.
    pub fn replay(&mut self, record: &GroupRecord, wall_ms: i64) {
        match record {
            GroupRecord::OffsetCommit(key, value) => {
                self.offsets.replay(key, value.as_ref());
                if value.is_some() && !self.groups.contains_key(&key.group_id) {
                    self.begin_group(&key.group_id, wall_ms);
                }
            }
            GroupRecord::GroupMetadata(key, None) => {
                self.groups.remove(&key.group_id);
            }
            GroupRecord::GroupMetadata(key, Some(value)) => {
                let lives = self.is_loaded
                    && matches!(self.groups.get(&key.group_id), Some(Group::Classic(_)));
                // A living group made the record of itself; those who wait in it are not in the record.
                if !lives {
                    let group = ClassicGroup::from_record(&key.group_id, value);
                    self.groups
                        .insert(key.group_id.clone(), Group::Classic(group));
                }
            }
            GroupRecord::ConsumerGroupMetadata(..)
            | GroupRecord::ConsumerGroupPartitionMetadata(..)
            | GroupRecord::ConsumerGroupMemberMetadata(..)
            | GroupRecord::ConsumerGroupTargetAssignmentMetadata(..)
            | GroupRecord::ConsumerGroupTargetAssignmentMember(..)
            | GroupRecord::ConsumerGroupCurrentMemberAssignment(..)
            | GroupRecord::ConsumerGroupRegularExpression(..) => {
                self.replay_consumers(record, wall_ms);
            }
        }
    }

    /// All of the log was replayed: deadlines begin to run, and what ended meanwhile is cleaned up.
    pub fn loaded(&mut self, cx: &Context) -> Decision<()> {
        self.is_loaded = true;
        let mut out = self.forget_deleted_topics(cx);
        for group in self.groups.values() {
            match group {
                Group::Classic(group) => out.timers.extend(group.begin_sessions(cx.now)),
                Group::Consumer(group) => {
                    let settings = settings(cx, group.group_id());
                    out.timers
                        .extend(group.begin_sessions(around(cx, &settings)));
                }
            }
        }
        out
    }

    /// A deadline passed.
    pub fn expire(&mut self, key: &TimerKey, cx: &Context) -> Decision<()> {
        match self.groups.get_mut(&key.group_id) {
            Some(Group::Classic(group)) => group.expire(&key.member_id, key.kind, cx),
            Some(Group::Consumer(group)) => group.expire(
                &key.member_id,
                key.kind,
                around(cx, &settings(cx, &key.group_id)),
            ),
            None => Decision::default(),
        }
    }

    /// Deletes a group nobody is in, with its offsets.
    pub fn delete_group(&self, group_id: &str) -> Result<Decision<()>, GroupError> {
        let group = self.group(group_id)?;
        if group.n_members() > 0 {
            return Err(GroupError::NotEmpty {
                group: group_id.to_owned(),
                n_members: group.n_members(),
            });
        }
        let mut records = self.tombstones_of_offsets(group_id);
        records.extend(group.tombstones());
        Ok(Decision::default().with(records))
    }

    pub(super) fn group(&self, group_id: &str) -> Result<&Group, GroupError> {
        let found = self.groups.get(group_id);
        found.ok_or_else(|| GroupError::UnknownGroup(group_id.to_owned()))
    }

    pub(super) fn begin_group(&mut self, group_id: &str, wall_ms: i64) -> &mut Group {
        let new = || Group::Classic(ClassicGroup::new(group_id, wall_ms));
        self.groups.entry(group_id.to_owned()).or_insert_with(new)
    }

    pub fn n_groups(&self) -> usize {
        self.groups.len()
    }

    pub fn n_members(&self) -> usize {
        self.groups.values().map(Group::n_members).sum()
    }

    pub fn n_offsets(&self) -> usize {
        self.offsets.len()
    }
}
