//! The group as its records say it is.
//!
//! Invariants: changed by `replay` only; a partition has one owner at most, counting what is pending
//! revocation.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use drave_protocol::ids::TopicId;
use drave_protocol::schema::group_records::{
    ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataValue,
    ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue,
    ConsumerGroupTargetAssignmentMemberValue, GroupKey, GroupMemberKey,
};
use parking_lot::Mutex;

use super::member::{Current, Held, Member};
use super::topics::{self, Topics};
use crate::coordinator::group::assignor::Partitions;
use crate::coordinator::records::GroupRecord;

#[derive(Clone, Debug, Default)]
pub struct ConsumerGroup {
    pub(super) group_id: String,
    pub(super) epoch: i32,
    pub(super) metadata_hash: i64,
    pub(super) members: BTreeMap<Arc<str>, Arc<Member>>,
    pub(super) member_by_instance: HashMap<String, Arc<str>>,
    pub(super) assignment_epoch: i32,
    pub(super) targets: BTreeMap<Arc<str>, Arc<Partitions>>,
    pub(super) owners: HashMap<(TopicId, i32), Arc<str>>,
    pub(super) regexes: BTreeMap<String, Arc<ResolvedRegex>>,
    /// Whether Kafka 4.0 left a record that nobody reads any more.
    pub(super) has_partition_metadata: bool,
    pub(super) seen: Seen,
}

/// What was looked at last: nothing agreed, only work saved.
#[derive(Debug)]
pub(super) struct Seen {
    /// Version of the topics the hash was compared with.
    pub(super) topics: AtomicI64,
    /// Version of the topics the regular expressions were resolved with, and when.
    pub(super) regexes: AtomicI64,
    pub(super) regexes_at_ms: AtomicI64,
    /// Classic members that were told to join again and did not come yet.
    pub(super) asked_to_join: Mutex<BTreeSet<String>>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            topics: AtomicI64::new(-1),
            regexes: AtomicI64::new(-1),
            regexes_at_ms: AtomicI64::new(i64::MIN),
            asked_to_join: Mutex::default(),
        }
    }
}

impl Clone for Seen {
    fn clone(&self) -> Self {
        let copy = |it: &AtomicI64| AtomicI64::new(it.load(Ordering::Relaxed));
        Self {
            topics: copy(&self.topics),
            regexes: copy(&self.regexes),
            regexes_at_ms: copy(&self.regexes_at_ms),
            asked_to_join: Mutex::new(self.asked_to_join.lock().clone()),
        }
    }
}

/// What a regular expression stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ResolvedRegex {
    pub topics: BTreeSet<String>,
    /// Of the topics there were when it was resolved.
    pub version: i64,
    pub resolved_at_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Empty,
    /// Who is to read what is not decided yet.
    Assigning,
    /// It is decided, and some member is not there yet.
    Reconciling,
    Stable,
}

impl State {
    /// As Kafka's tools print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

impl ConsumerGroup {
    pub fn new(group_id: &str) -> Self {
        Self {
            group_id: group_id.to_owned(),
            ..Self::default()
        }
    }

    pub fn group_id(&self) -> &str {
        &self.group_id
    }

    pub(super) fn key(&self) -> GroupKey {
        GroupKey {
            group_id: self.group_id.clone(),
        }
    }

    pub(super) fn key_of_member(&self, member_id: &str) -> GroupMemberKey {
        GroupMemberKey {
            group_id: self.group_id.clone(),
            member_id: member_id.to_owned(),
        }
    }

    pub(super) fn key_of_regex(&self, regex: &str) -> ConsumerGroupRegularExpressionKey {
        ConsumerGroupRegularExpressionKey {
            group_id: self.group_id.clone(),
            regular_expression: regex.to_owned(),
        }
    }

    /// Whether a member speaks the new protocol.
    pub fn is_of_its_protocol(&self, member_id: &str) -> bool {
        self.member(member_id).is_some_and(|it| !it.is_classic())
    }

    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    pub fn assignment_epoch(&self) -> i32 {
        self.assignment_epoch
    }

    pub fn n_members(&self) -> usize {
        self.members.len()
    }

    pub fn member(&self, member_id: &str) -> Option<&Member> {
        self.members.get(member_id).map(AsRef::as_ref)
    }

    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values().map(AsRef::as_ref)
    }

    pub fn state(&self) -> State {
        if self.members.is_empty() {
            State::Empty
        } else if self.epoch > self.assignment_epoch {
            State::Assigning
        } else if self
            .members()
            .any(|it| !it.is_reconciled_to(self.assignment_epoch))
        {
            State::Reconciling
        } else {
            State::Stable
        }
    }

    /// Whether some member reads the topic.
    pub fn may_read(&self, topic: &str) -> bool {
        self.members()
            .any(|it| self.names_of(it).any(|name| name == topic))
    }

    pub(super) fn of_instance(&self, instance_id: &str) -> Option<&Member> {
        self.member(self.member_by_instance.get(instance_id)?)
    }

    pub(super) fn target_of(&self, member_id: &str) -> Arc<Partitions> {
        self.targets.get(member_id).cloned().unwrap_or_default()
    }

    /// The names a member reads, directly and by its regular expression.
    pub(super) fn names_of<'a>(&'a self, member: &'a Member) -> impl Iterator<Item = &'a String> {
        let regex = member.subscribed_regex.as_ref();
        let resolved = regex.and_then(|it| self.regexes.get(it));
        let resolved = resolved.into_iter().flat_map(|it| it.topics.iter());
        let resolved = resolved.filter(|it| !member.subscribed_names.contains(*it));
        member.subscribed_names.iter().chain(resolved)
    }

    /// A number that stands for all topics the group reads, as they are now.
    pub(super) fn hash_of(&self, topics: &dyn Topics) -> i64 {
        let names = self.members().flat_map(|it| self.names_of(it));
        topics::hash(&names.cloned().collect(), topics)
    }

    pub(super) fn n_subscribed_to(&self, regex: &str) -> usize {
        let theirs = self
            .members()
            .filter_map(|it| it.subscribed_regex.as_deref());
        theirs.filter(|it| *it == regex).count()
    }

    /// Takes a record in. Those of other groups and kinds do not come here.
    pub fn replay(&mut self, record: &GroupRecord) {
        match record {
            GroupRecord::ConsumerGroupMetadata(_, value) => {
                let value = value.clone().unwrap_or_default();
                self.epoch = value.epoch;
                self.metadata_hash = value.metadata_hash;
            }
            GroupRecord::ConsumerGroupPartitionMetadata(_, value) => {
                self.has_partition_metadata = value.is_some();
            }
            GroupRecord::ConsumerGroupMemberMetadata(key, value) => {
                self.replay_member(&key.member_id, value.as_ref());
            }
            GroupRecord::ConsumerGroupTargetAssignmentMetadata(_, value) => {
                self.assignment_epoch = value.as_ref().map_or(0, |it| it.assignment_epoch);
            }
            GroupRecord::ConsumerGroupTargetAssignmentMember(key, value) => {
                self.replay_target(&key.member_id, value.as_ref());
            }
            GroupRecord::ConsumerGroupCurrentMemberAssignment(key, value) => {
                self.replay_current(&key.member_id, value.as_ref());
            }
            GroupRecord::ConsumerGroupRegularExpression(key, value) => {
                self.replay_regex(&key.regular_expression, value.as_ref());
            }
            GroupRecord::OffsetCommit(..) | GroupRecord::GroupMetadata(..) => {}
        }
    }

    fn replay_member(&mut self, member_id: &str, value: Option<&ConsumerGroupMemberMetadataValue>) {
        self.seen.topics.store(-1, Ordering::Relaxed);
        let Some(value) = value else {
            if let Some(member) = self.members.remove(member_id) {
                self.forget_instance(&member);
                self.release(member_id, &member.current);
            }
            return;
        };
        let id = self.id_of(member_id);
        let mut member = self
            .member(member_id)
            .cloned()
            .unwrap_or_else(|| Member::new(member_id));
        self.forget_instance(&member);
        member.describe_by(value);
        if let Some(instance) = &member.instance_id {
            self.member_by_instance
                .insert(instance.clone(), Arc::clone(&id));
        }
        self.members.insert(id, Arc::new(member));
    }

    /// Unless another has its place by now.
    fn forget_instance(&mut self, member: &Member) {
        if let Some(instance) = &member.instance_id
            && self.member_by_instance.get(instance).map(AsRef::as_ref)
                == Some(member.member_id.as_str())
        {
            self.member_by_instance.remove(instance);
        }
    }

    fn replay_target(
        &mut self,
        member_id: &str,
        value: Option<&ConsumerGroupTargetAssignmentMemberValue>,
    ) {
        let Some(value) = value else {
            self.targets.remove(member_id);
            return;
        };
        let topics = value.topic_partitions.iter();
        let target = topics.map(|it| (it.topic_id, it.partitions.iter().copied().collect()));
        self.targets
            .insert(self.id_of(member_id), Arc::new(target.collect()));
    }

    fn replay_current(
        &mut self,
        member_id: &str,
        value: Option<&ConsumerGroupCurrentMemberAssignmentValue>,
    ) {
        // A tombstone after the member's own, or in a log cut short by compaction.
        let Some(member) = self.members.get(member_id) else {
            if let Some(value) = value {
                let mut member = Member::new(member_id);
                member.current = Current::from_record(value);
                let id = self.id_of(member_id);
                self.hold(&id, &member.current);
                self.members.insert(id, Arc::new(member));
            }
            return;
        };
        let mut member = Member::clone(member);
        self.release(member_id, &member.current);
        member.current = value.map(Current::from_record).unwrap_or_default();
        let id = self.id_of(member_id);
        self.hold(&id, &member.current);
        self.members.insert(id, Arc::new(member));
    }

    fn replay_regex(&mut self, regex: &str, value: Option<&ConsumerGroupRegularExpressionValue>) {
        self.seen.topics.store(-1, Ordering::Relaxed);
        let Some(value) = value else {
            self.regexes.remove(regex);
            return;
        };
        let resolved = ResolvedRegex {
            topics: value.topics.iter().cloned().collect(),
            version: value.version,
            resolved_at_ms: value.timestamp,
        };
        self.regexes.insert(regex.to_owned(), Arc::new(resolved));
    }

    fn hold(&mut self, member_id: &Arc<str>, current: &Current) {
        for held in [&current.assigned, &current.pending_revocation] {
            for partition in each(held) {
                self.owners.insert(partition, Arc::clone(member_id));
            }
        }
    }

    fn release(&mut self, member_id: &str, current: &Current) {
        for held in [&current.assigned, &current.pending_revocation] {
            for partition in each(held) {
                if self
                    .owners
                    .get(&partition)
                    .is_some_and(|it| **it == *member_id)
                {
                    self.owners.remove(&partition);
                }
            }
        }
    }

    /// One string for each member, however often it is named.
    fn id_of(&self, member_id: &str) -> Arc<str> {
        let known = self.members.get_key_value(member_id).map(|(id, _)| id);
        known.map_or_else(|| Arc::from(member_id), Arc::clone)
    }
}

pub(super) fn each(held: &Held) -> impl Iterator<Item = (TopicId, i32)> + '_ {
    held.iter()
        .flat_map(|(topic, all)| all.keys().map(|it| (*topic, *it)))
}
