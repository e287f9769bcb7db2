//! What a member says and hears: all of KIP-848 in one request.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::draft::{Draft, Surroundings};
use super::group::{ConsumerGroup, ResolvedRegex};
use super::member::{
    Current, Held, JOINING, LEFT, LEFT_FOR_A_WHILE, Member, MemberState, not_empty,
};
use super::reconcile::Step;
use super::{regex, topics};
use crate::coordinator::decision::{Decision, TimerKind};
use crate::coordinator::error::GroupError;
use crate::coordinator::group::assignor::{Assignor, Partitions};

/// Topics that came or went are looked for in regular expressions this often.
const REGEX_REFRESH_MS: i64 = 10_000;

/// What is `None` is as it was said before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heartbeat {
    pub group_id: String,
    /// Drawn by whoever asks, where the member has none.
    pub member_id: String,
    pub member_epoch: i32,
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: Option<i32>,
    pub subscribed_names: Option<BTreeSet<String>>,
    /// An empty one takes it back.
    pub subscribed_regex: Option<String>,
    pub assignor: Option<String>,
    pub owned: Option<Partitions>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    pub member_id: String,
    pub member_epoch: i32,
    pub heartbeat_interval: Duration,
    /// What the member may read now; `None`: as it was told before.
    pub assignment: Option<Held>,
}

impl Heartbeat {
    pub fn joins(&self) -> bool {
        self.member_epoch == JOINING
    }

    /// Whether the member says all it has to say: it does not know what was understood before.
    fn is_full(&self) -> bool {
        let has_subscription = self.subscribed_names.is_some() || self.subscribed_regex.is_some();
        self.rebalance_timeout_ms.is_some() && has_subscription && self.owned.is_some()
    }

    /// What can be told without knowing the group.
    pub fn check(&self, known: &[Assignor]) -> Result<(), GroupError> {
        let refused = |reason: &str| Err(GroupError::InvalidRequest(reason.to_owned()));
        let is_empty = |text: &Option<String>| text.as_deref() == Some("");
        match self.member_epoch {
            _ if self.group_id.is_empty() => return refused("GroupId can't be empty."),
            _ if self.member_id.is_empty() => return refused("MemberId can't be empty."),
            _ if is_empty(&self.instance_id) => return refused("InstanceId can't be empty."),
            _ if is_empty(&self.rack_id) => return refused("RackId can't be empty."),
            JOINING => self.check_join()?,
            LEFT_FOR_A_WHILE if self.instance_id.is_none() => {
                return refused("InstanceId can't be null.");
            }
            ..LEFT_FOR_A_WHILE => return refused("MemberEpoch is invalid."),
            _ => {}
        }
        let Some(asked) = &self.assignor else {
            return Ok(());
        };
        let is_known = known.iter().any(|it| it.name() == asked);
        is_known
            .then_some(())
            .ok_or_else(|| GroupError::UnsupportedAssignor {
                asked: asked.clone(),
                known: known
                    .iter()
                    .map(|it| it.name())
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }

    fn check_join(&self) -> Result<(), GroupError> {
        let refused = |reason: &str| Err(GroupError::InvalidRequest(reason.to_owned()));
        if self.rebalance_timeout_ms.is_none() {
            return refused("RebalanceTimeoutMs must be provided in first request.");
        }
        if self.owned.as_ref().is_none_or(|it| !it.is_empty()) {
            return refused("TopicPartitions must be empty when (re-)joining.");
        }
        if self.subscribed_names.is_none() && self.subscribed_regex.is_none() {
            return refused(
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
            );
        }
        Ok(())
    }
}

/// How a subscription changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    Subscription,
}

impl ConsumerGroup {
    pub fn heartbeat(
        &self,
        said: &Heartbeat,
        around: Surroundings<'_>,
    ) -> Result<Decision<Heard>, GroupError> {
        said.check(&around.settings.assignors)?;
        match said.member_epoch {
            LEFT | LEFT_FOR_A_WHILE => return self.leave(said, around),
            _ => {}
        }
        let mut draft = Draft::of(self, around);
        let before = draft.admit(said)?;
        let member = said.update(&before);
        let change = draft.take_in(&before, &member)?;
        draft.follow_topics(change);
        draft.assign();
        let current = draft.reconcile(&member.member_id, change, said.owned.as_ref())?;
        draft.set_timer(
            &member.member_id,
            TimerKind::Session,
            around.settings.session_timeout,
        );

        let is_news = current.assigned != before.current.assigned;
        let tells = said.member_epoch == JOINING || said.is_full() || is_news;
        Ok(draft.decide(Heard {
            member_id: member.member_id,
            member_epoch: current.epoch,
            heartbeat_interval: around.settings.heartbeat_interval,
            assignment: tells.then_some(current.assigned),
        }))
    }

    pub(super) fn check_size(&self, member_id: &str, max: usize) -> Result<(), GroupError> {
        if self.n_members() >= max && self.member(member_id).is_none() {
            let group = self.group_id.clone();
            return Err(GroupError::GroupFull { group, max });
        }
        Ok(())
    }

    pub(super) fn known(&self, member_id: &str) -> Result<&Member, GroupError> {
        self.member(member_id)
            .ok_or_else(|| GroupError::UnknownMember {
                group: self.group_id.clone(),
                member: member_id.to_owned(),
            })
    }

    /// The member an instance id stands for, if it is this one.
    pub(super) fn known_instance(
        &self,
        instance_id: &str,
        member_id: &str,
    ) -> Result<&Member, GroupError> {
        let member = self
            .of_instance(instance_id)
            .ok_or_else(|| GroupError::UnknownMember {
                group: self.group_id.clone(),
                member: format!("{member_id} (instance {instance_id})"),
            })?;
        if member.member_id != member_id {
            return Err(GroupError::FencedInstance {
                group: self.group_id.clone(),
                instance: instance_id.to_owned(),
                member: member_id.to_owned(),
            });
        }
        Ok(member)
    }
}

impl Member {
    /// A member that did not hear its new epoch comes with the one before, and with nothing it may not have.
    fn check_epoch(&self, said: &Heartbeat) -> Result<(), GroupError> {
        let (theirs, ours) = (said.member_epoch, self.current.epoch);
        let missed_the_answer = || {
            theirs == self.current.previous_epoch
                && said
                    .owned
                    .as_ref()
                    .is_some_and(|it| topics::is_subset(it, &self.current.assigned))
        };
        if theirs == JOINING || theirs == ours || (theirs < ours && missed_the_answer()) {
            return Ok(());
        }
        Err(GroupError::FencedMemberEpoch {
            member: self.member_id.clone(),
            theirs,
            ours,
        })
    }
}

impl Heartbeat {
    fn update(&self, before: &Member) -> Member {
        let mut member = before.clone();
        let keep = |to: &mut Option<String>, said: &Option<String>| {
            if said.is_some() {
                to.clone_from(said);
            }
        };
        keep(&mut member.instance_id, &self.instance_id);
        keep(&mut member.rack_id, &self.rack_id);
        keep(&mut member.assignor, &self.assignor);
        if let Some(regex) = &self.subscribed_regex {
            member.subscribed_regex = not_empty(Some(regex.clone()));
        }
        if let Some(names) = &self.subscribed_names {
            member.subscribed_names.clone_from(names);
        }
        if let Some(timeout) = self.rebalance_timeout_ms {
            member.rebalance_timeout_ms = timeout;
        }
        member.client_id.clone_from(&self.client_id);
        member.client_host.clone_from(&self.client_host);
        member.classic = None;
        member
    }
}

impl Draft<'_> {
    /// The member as it was before it spoke; a new one where it joins.
    fn admit(&mut self, said: &Heartbeat) -> Result<Member, GroupError> {
        let group = self.group();
        let joins = said.member_epoch == JOINING;
        let Some(instance_id) = &said.instance_id else {
            group.check_size(&said.member_id, self.around.settings.n_members_max)?;
            let known = group.known(&said.member_id);
            let member = match known {
                Err(_) if joins => return Ok(Member::new(&said.member_id)),
                known => known?.clone(),
            };
            member.check_epoch(said)?;
            return Ok(member);
        };
        if !joins {
            let member = group.known_instance(instance_id, &said.member_id)?.clone();
            member.check_epoch(said)?;
            return Ok(member);
        }
        match group.of_instance(instance_id).cloned() {
            Some(holder) if holder.member_id == said.member_id => Ok(holder),
            Some(holder) if holder.is_classic() || holder.current.epoch == LEFT_FOR_A_WHILE => {
                Ok(self.replace(&holder, &said.member_id))
            }
            Some(holder) => Err(GroupError::UnreleasedInstance {
                instance: instance_id.clone(),
                holder: holder.member_id,
            }),
            None => {
                group.check_size(&said.member_id, self.around.settings.n_members_max)?;
                Ok(group
                    .member(&said.member_id)
                    .cloned()
                    .unwrap_or_else(|| Member::new(&said.member_id)))
            }
        }
    }

    /// The one who comes with an instance id takes over what the one before it had.
    pub(super) fn replace(&mut self, holder: &Member, member_id: &str) -> Member {
        let target = self.group().target_of(&holder.member_id);
        let mut member = Member {
            member_id: member_id.to_owned(),
            ..holder.clone()
        };
        member.current.epoch = JOINING;
        member.current.previous_epoch = JOINING;
        self.forget_member(&holder.member_id);
        self.record_member(&member);
        self.record_target(member_id, &target);
        self.record_current(member_id, &member.current);
        member
    }

    /// Records what the member says of itself, if it is news.
    pub(super) fn take_in(
        &mut self,
        before: &Member,
        member: &Member,
    ) -> Result<Change, GroupError> {
        let group = self.group();
        let is_new = group.member(&member.member_id).is_none();
        let new_regex = member.subscribed_regex.as_deref();
        let has_new_regex = member.subscribed_regex != before.subscribed_regex || is_new;
        let resolved = match new_regex {
            Some(pattern) if !group.regexes.contains_key(pattern) => {
                Some((pattern, self.resolve(pattern)?))
            }
            _ => None,
        };
        if is_new || member != before {
            self.record_member(member);
        }
        if let Some((pattern, resolved)) = resolved {
            self.record_regex(pattern, &resolved);
        }
        let gone = before.subscribed_regex.as_deref().filter(|_| has_new_regex);
        self.forget_unread_regex(gone);
        let has_new_names = is_new || member.subscribed_names != before.subscribed_names;
        Ok(if has_new_names || has_new_regex {
            Change::Subscription
        } else {
            Change::None
        })
    }

    pub(super) fn forget_unread_regex(&mut self, pattern: Option<&str>) {
        if let Some(pattern) = pattern
            && self.group().regexes.contains_key(pattern)
            && self.group().n_subscribed_to(pattern) == 0
        {
            self.forget_regex(pattern);
        }
    }

    fn resolve(&self, pattern: &str) -> Result<ResolvedRegex, GroupError> {
        Ok(ResolvedRegex {
            topics: regex::resolve(pattern, self.around.topics)?,
            version: self.around.topics.version(),
            resolved_at_ms: self.around.wall_ms,
        })
    }

    /// Raises the group's epoch when the subscription changed, or the topics it stands for did.
    pub(super) fn follow_topics(&mut self, change: Change) {
        let version = self.around.topics.version();
        let has_new_names = self.refresh_regexes();
        let must = change == Change::Subscription || has_new_names || self.group().epoch == 0;
        let is_due = self.group().seen.topics.swap(version, Ordering::Relaxed) != version;
        if must
            || (is_due && self.group().hash_of(self.around.topics) != self.group().metadata_hash)
        {
            self.forget_partition_metadata();
            self.raise_epoch();
        }
    }

    /// Whether one of them stands for other topics now.
    fn refresh_regexes(&mut self) -> bool {
        let (version, wall_ms) = (self.around.topics.version(), self.around.wall_ms);
        let seen = &self.group().seen;
        let is_due = seen.regexes.load(Ordering::Relaxed) != version
            && seen.regexes_at_ms.load(Ordering::Relaxed) <= wall_ms - REGEX_REFRESH_MS;
        if self.group().regexes.is_empty() || !is_due {
            return false;
        }
        self.group().seen.regexes.store(version, Ordering::Relaxed);
        self.group()
            .seen
            .regexes_at_ms
            .store(wall_ms, Ordering::Relaxed);
        let all = self.group().regexes.iter();
        let all: Vec<_> = all
            .map(|(regex, it)| (regex.clone(), Arc::clone(it)))
            .collect();
        let mut has_new_names = false;
        for (pattern, before) in all {
            // Kafka may have resolved what the engine here does not know: its topics stay.
            let Ok(resolved) = self.resolve(&pattern) else {
                continue;
            };
            if resolved.topics != before.topics {
                self.record_regex(&pattern, &resolved);
                has_new_names = true;
            }
        }
        has_new_names
    }

    /// One step of the member towards its target.
    pub(super) fn reconcile(
        &mut self,
        member_id: &str,
        change: Change,
        owned: Option<&Partitions>,
    ) -> Result<Current, GroupError> {
        let group = self.group();
        let member = group.known(member_id)?;
        let has_subscription_changed = change == Change::Subscription;
        if !has_subscription_changed && member.is_reconciled_to(group.assignment_epoch) {
            return Ok(member.current.clone());
        }
        let target = group.target_of(member_id);
        let step = Step {
            member,
            target_epoch: group.assignment_epoch,
            target: &target,
            topics: &topics::ids(group.names_of(member), self.around.topics),
            has_subscription_changed,
            owned,
        };
        let held_by_another = |topic, partition| {
            let holder = group.owners.get(&(topic, partition));
            holder.is_some_and(|it| **it != *member_id)
        };
        let next = step
            .next(held_by_another)
            .ok_or_else(|| GroupError::FencedMemberEpoch {
                member: member_id.to_owned(),
                theirs: member.current.epoch,
                ours: group.assignment_epoch,
            })?;
        if next != member.current {
            let (is_classic, timeout) = (member.is_classic(), member.rebalance_timeout());
            self.record_current(member_id, &next);
            if !is_classic {
                self.watch_revocation(member_id, next.state, timeout);
            }
        }
        Ok(next)
    }

    fn watch_revocation(&mut self, member_id: &str, state: MemberState, timeout: Duration) {
        match state {
            MemberState::UnrevokedPartitions => {
                self.set_timer(member_id, TimerKind::Rebalance, timeout);
            }
            MemberState::Stable | MemberState::UnreleasedPartitions | MemberState::Unknown => {
                self.cancel_timer(member_id, TimerKind::Rebalance);
            }
        }
    }
}
