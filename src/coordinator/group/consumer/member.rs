//! One member: what it said of itself, what it has, and how it is recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use drave_protocol::ids::TopicId;
use drave_protocol::schema::group_records::{
    ClassicMemberMetadata, ConsumerGroupCurrentMemberAssignmentValue,
    ConsumerGroupMemberMetadataValue, CurrentTopicPartitions,
};

use super::draft::Settings;
use crate::coordinator::group::assignor::Partitions;

/// The member leaves and its place is kept for whoever comes with its instance id.
pub(super) const LEFT_FOR_A_WHILE: i32 = -2;
/// The member leaves.
pub(super) const LEFT: i32 = -1;
/// The member joins.
pub(super) const JOINING: i32 = 0;

/// Partitions a member has, each with the epoch in which it got it.
pub type Held = BTreeMap<TopicId, BTreeMap<i32, i32>>;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Member {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub subscribed_names: BTreeSet<String>,
    pub subscribed_regex: Option<String>,
    pub rebalance_timeout_ms: i32,
    pub assignor: Option<String>,
    /// Of a member that speaks the classic protocol.
    pub classic: Option<ClassicMemberMetadata>,
    pub current: Current,
}

/// Where a member is on its way to what it shall read.
#[derive(Clone, Debug, PartialEq)]
pub struct Current {
    pub epoch: i32,
    pub previous_epoch: i32,
    pub state: MemberState,
    pub assigned: Held,
    /// Still with the member, until it no longer says so.
    pub pending_revocation: Held,
}

/// Persisted: never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// It has what it shall have in its epoch.
    Stable,
    /// It is to give up partitions before it comes into the next epoch.
    UnrevokedPartitions,
    /// It waits for partitions others have not given up.
    UnreleasedPartitions,
    /// Of a later Kafka.
    Unknown,
}

impl Default for Current {
    fn default() -> Self {
        Self {
            epoch: JOINING,
            previous_epoch: LEFT,
            state: MemberState::Stable,
            assigned: Held::new(),
            pending_revocation: Held::new(),
        }
    }
}

impl MemberState {
    fn number(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::UnrevokedPartitions => 1,
            Self::UnreleasedPartitions => 2,
            Self::Unknown => 127,
        }
    }

    fn from_number(number: i8) -> Self {
        match number {
            0 => Self::Stable,
            1 => Self::UnrevokedPartitions,
            2 => Self::UnreleasedPartitions,
            _ => Self::Unknown,
        }
    }
}

impl Member {
    pub fn new(member_id: &str) -> Self {
        Self {
            member_id: member_id.to_owned(),
            rebalance_timeout_ms: -1,
            ..Self::default()
        }
    }

    pub fn is_classic(&self) -> bool {
        self.classic.is_some()
    }

    pub(super) fn session_timeout(&self, settings: &Settings) -> Duration {
        let own = self
            .classic
            .as_ref()
            .map(|it| from_ms(it.session_timeout_ms));
        own.unwrap_or(settings.session_timeout)
    }

    pub(super) fn rebalance_timeout(&self) -> Duration {
        from_ms(self.rebalance_timeout_ms)
    }

    pub fn is_reconciled_to(&self, epoch: i32) -> bool {
        self.current.state == MemberState::Stable && self.current.epoch == epoch
    }

    /// The epoch in which it got a partition it still has.
    pub fn assigned_in(&self, topic: TopicId, partition: i32) -> Option<i32> {
        let held = [&self.current.assigned, &self.current.pending_revocation];
        held.iter()
            .find_map(|it| it.get(&topic)?.get(&partition).copied())
    }

    pub fn to_record(&self) -> ConsumerGroupMemberMetadataValue {
        ConsumerGroupMemberMetadataValue {
            instance_id: self.instance_id.clone(),
            rack_id: self.rack_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            subscribed_topic_names: self.subscribed_names.iter().cloned().collect(),
            subscribed_topic_regex: self.subscribed_regex.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            server_assignor: self.assignor.clone(),
            classic_member_metadata: self.classic.clone(),
        }
    }

    /// What it is by a record; what it has is in another.
    pub fn describe_by(&mut self, value: &ConsumerGroupMemberMetadataValue) {
        self.instance_id.clone_from(&value.instance_id);
        self.rack_id.clone_from(&value.rack_id);
        self.client_id.clone_from(&value.client_id);
        self.client_host.clone_from(&value.client_host);
        self.subscribed_names = value.subscribed_topic_names.iter().cloned().collect();
        self.subscribed_regex = not_empty(value.subscribed_topic_regex.clone());
        self.rebalance_timeout_ms = value.rebalance_timeout_ms;
        self.assignor = not_empty(value.server_assignor.clone());
        self.classic.clone_from(&value.classic_member_metadata);
    }
}

fn from_ms(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}

/// Kafka writes an empty string where nothing was said.
pub(super) fn not_empty(text: Option<String>) -> Option<String> {
    text.filter(|it| !it.is_empty())
}

/// Without the epochs.
pub(super) fn each_held(held: &Held) -> Partitions {
    let topics = held
        .iter()
        .map(|(topic, all)| (*topic, all.keys().copied().collect()));
    topics.collect()
}

impl Current {
    pub fn to_record(&self) -> ConsumerGroupCurrentMemberAssignmentValue {
        ConsumerGroupCurrentMemberAssignmentValue {
            member_epoch: self.epoch,
            previous_member_epoch: self.previous_epoch,
            state: self.state.number(),
            assigned_partitions: held_to_record(&self.assigned),
            partitions_pending_revocation: held_to_record(&self.pending_revocation),
        }
    }

    pub fn from_record(value: &ConsumerGroupCurrentMemberAssignmentValue) -> Self {
        Self {
            epoch: value.member_epoch,
            previous_epoch: value.previous_member_epoch,
            state: MemberState::from_number(value.state),
            assigned: held_from_record(&value.assigned_partitions, value.member_epoch),
            pending_revocation: held_from_record(
                &value.partitions_pending_revocation,
                value.member_epoch,
            ),
        }
    }

    /// In another epoch, or the same.
    #[must_use]
    pub fn in_epoch(&self, epoch: i32) -> Self {
        let mut next = self.clone();
        if epoch != self.epoch {
            next.previous_epoch = self.epoch;
            next.epoch = epoch;
        }
        next
    }
}

fn held_to_record(held: &Held) -> Vec<CurrentTopicPartitions> {
    let topics = held
        .iter()
        .map(|(topic_id, epochs)| CurrentTopicPartitions {
            topic_id: *topic_id,
            partitions: epochs.keys().copied().collect(),
            assignment_epochs: Some(epochs.values().copied().collect()),
        });
    topics.collect()
}

/// Kafka before 4.2 did not say in which epoch: then no earlier one can be proven.
fn held_from_record(topics: &[CurrentTopicPartitions], member_epoch: i32) -> Held {
    let topics = topics.iter().map(|it| {
        let epochs = it.assignment_epochs.as_deref().unwrap_or_default();
        let epochs = epochs
            .iter()
            .copied()
            .chain(std::iter::repeat(member_epoch));
        (
            it.topic_id,
            it.partitions.iter().copied().zip(epochs).collect(),
        )
    });
    topics.collect()
}
