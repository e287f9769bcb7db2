//! From what a member has to what it shall have, a step at a time.
//!
//! Invariant: a partition is given to a member only when no other has it, neither assigned nor pending
//! revocation. A member stays in its epoch until it gave up what it must.

use std::collections::BTreeSet;

use drave_protocol::ids::TopicId;

use super::member::{Current, Held, Member, MemberState};
use crate::coordinator::group::assignor::Partitions;

/// What decides the step.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) member: &'a Member,
    pub(super) target_epoch: i32,
    pub(super) target: &'a Partitions,
    /// The topics it reads, of those there are.
    pub(super) topics: &'a BTreeSet<TopicId>,
    /// Whether it may have partitions of topics it reads no more.
    pub(super) has_subscription_changed: bool,
    /// What it says it has; `None` when it did not say.
    pub(super) owned: Option<&'a Partitions>,
}

impl Step<'_> {
    /// `is_held` says of a partition whether another than this member has it. `None`: the member must give
    /// up everything and join again.
    pub(super) fn next(&self, is_held: impl Fn(TopicId, i32) -> bool) -> Option<Current> {
        let current = &self.member.current;
        match current.state {
            MemberState::Stable if current.epoch != self.target_epoch => {
                Some(self.towards_target(current.epoch, is_held))
            }
            MemberState::Stable if self.has_subscription_changed => Some(self.unsubscribed()),
            MemberState::Stable => Some(current.clone()),
            MemberState::UnrevokedPartitions if self.owns_any(&current.pending_revocation) => {
                Some(if self.has_subscription_changed {
                    self.unsubscribed()
                } else {
                    current.clone()
                })
            }
            MemberState::UnrevokedPartitions | MemberState::UnreleasedPartitions => {
                Some(self.towards_target(current.epoch, is_held))
            }
            MemberState::Unknown => {
                let has_nothing = self.owned.is_some_and(Partitions::is_empty);
                has_nothing.then(|| self.towards_target(self.target_epoch, is_held))
            }
        }
    }

    fn towards_target(&self, epoch: i32, is_held: impl Fn(TopicId, i32) -> bool) -> Current {
        let current = &self.member.current;
        let may_have = |topic: &TopicId, partition: &i32| {
            self.topics.contains(topic)
                && self
                    .target
                    .get(topic)
                    .is_some_and(|it| it.contains(partition))
        };
        let (mut assigned, pending) = split(&current.assigned, may_have);
        if !pending.is_empty() && self.owns_any(&pending) {
            return Current {
                state: MemberState::UnrevokedPartitions,
                assigned,
                pending_revocation: pending,
                ..current.in_epoch(epoch)
            };
        }
        let mut state = MemberState::Stable;
        let target = self
            .target
            .iter()
            .filter(|(topic, _)| self.topics.contains(*topic));
        for (topic, partition) in target.flat_map(|(id, all)| all.iter().map(|it| (*id, *it))) {
            if holds(&assigned, topic, partition) {
                continue;
            }
            if is_held(topic, partition) {
                state = MemberState::UnreleasedPartitions;
            } else {
                assigned
                    .entry(topic)
                    .or_default()
                    .insert(partition, self.target_epoch);
            }
        }
        Current {
            state,
            assigned,
            pending_revocation: Held::new(),
            ..current.in_epoch(self.target_epoch)
        }
    }

    /// Takes away what belongs to topics it reads no more, whatever else is under way.
    fn unsubscribed(&self) -> Current {
        let current = &self.member.current;
        let (assigned, given_up) = split(&current.assigned, |topic, _| self.topics.contains(topic));
        if given_up.is_empty() {
            return current.clone();
        }
        let mut pending = current.pending_revocation.clone();
        for (topic, partitions) in given_up {
            pending.entry(topic).or_default().extend(partitions);
        }
        if self.owns_any(&pending) {
            return Current {
                state: MemberState::UnrevokedPartitions,
                assigned,
                pending_revocation: pending,
                ..current.clone()
            };
        }
        Current {
            assigned,
            ..current.clone()
        }
    }

    /// A member that does not say what it has may have all of it.
    fn owns_any(&self, held: &Held) -> bool {
        let Some(owned) = self.owned else {
            return true;
        };
        let mut owned = owned
            .iter()
            .flat_map(|(id, all)| all.iter().map(|it| (*id, *it)));
        owned.any(|(topic, partition)| holds(held, topic, partition))
    }
}

fn holds(held: &Held, topic: TopicId, partition: i32) -> bool {
    held.get(&topic)
        .is_some_and(|it| it.contains_key(&partition))
}

/// Those that stay, and the others.
fn split(held: &Held, stays: impl Fn(&TopicId, &i32) -> bool) -> (Held, Held) {
    let (mut staying, mut going) = (Held::new(), Held::new());
    for (topic, partitions) in held {
        for (partition, epoch) in partitions {
            let to = if stays(topic, partition) {
                &mut staying
            } else {
                &mut going
            };
            to.entry(*topic).or_default().insert(*partition, *epoch);
        }
    }
    (staying, going)
}
