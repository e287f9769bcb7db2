//! Members that go: by themselves, or because nobody heard of them.

use super::draft::{Draft, Surroundings};
use super::group::ConsumerGroup;
use super::heartbeat::{Heard, Heartbeat};
use super::member::{Held, LEFT_FOR_A_WHILE};
use crate::coordinator::decision::{Decision, TimerChange, TimerKey, TimerKind};
use crate::coordinator::error::GroupError;
use crate::coordinator::records::GroupRecord;

impl ConsumerGroup {
    pub(super) fn leave(
        &self,
        said: &Heartbeat,
        around: Surroundings<'_>,
    ) -> Result<Decision<Heard>, GroupError> {
        let member = match &said.instance_id {
            Some(instance_id) => self.known_instance(instance_id, &said.member_id)?,
            None => self.known(&said.member_id)?,
        };
        let mut draft = Draft::of(self, around);
        if said.member_epoch == LEFT_FOR_A_WHILE {
            // Its session goes on: who does not come back by then is gone.
            let mut current = member.current.clone();
            current.epoch = LEFT_FOR_A_WHILE;
            current.pending_revocation = Held::new();
            draft.record_current(&member.member_id, &current);
            draft.cancel_timer(&member.member_id, TimerKind::Rebalance);
        } else {
            draft.remove(std::slice::from_ref(&member.member_id));
        }
        Ok(draft.decide(Heard {
            member_id: said.member_id.clone(),
            member_epoch: said.member_epoch,
            heartbeat_interval: around.settings.heartbeat_interval,
            assignment: None,
        }))
    }

    /// A deadline passed. One that no longer matters changes nothing.
    pub fn expire(
        &self,
        member_id: &str,
        kind: TimerKind,
        around: Surroundings<'_>,
    ) -> Decision<()> {
        let mut draft = Draft::of(self, around);
        let is_overdue = self.member(member_id).is_some_and(|member| match kind {
            TimerKind::Session | TimerKind::Join | TimerKind::Sync => true,
            TimerKind::Rebalance => !member.current.pending_revocation.is_empty(),
            TimerKind::InitialDelay | TimerKind::Downgraded => false,
        });
        if is_overdue {
            tracing::info!(group = %self.group_id, member = member_id, reason = ?kind, "member given up");
            draft.remove(&[member_id.to_owned()]);
        }
        draft.decide(())
    }

    /// The deadlines of a group that was just loaded: everybody gets a whole session.
    pub fn begin_sessions(&self, around: Surroundings<'_>) -> Vec<TimerChange> {
        let each = self.members().flat_map(|member| {
            let set = |kind, after| TimerChange::Set {
                key: TimerKey::of_member(&self.group_id, &member.member_id, kind),
                at: around.now + after,
            };
            let session = set(TimerKind::Session, member.session_timeout(around.settings));
            let revokes = !member.is_classic() && !member.current.pending_revocation.is_empty();
            let rebalance = revokes.then(|| set(TimerKind::Rebalance, member.rebalance_timeout()));
            std::iter::once(session).chain(rebalance)
        });
        each.collect()
    }

    /// What ends the group: what a member has goes before the member does.
    pub fn tombstones(&self) -> Vec<GroupRecord> {
        let members = self.members.keys().flat_map(|it| self.tombstones_of(it));
        let mut records: Vec<_> = members.collect();
        let key = self.key();
        records.push(GroupRecord::ConsumerGroupTargetAssignmentMetadata(
            key, None,
        ));
        if self.has_partition_metadata {
            let key = self.key();
            records.push(GroupRecord::ConsumerGroupPartitionMetadata(key, None));
        }
        let regexes = self.regexes.keys().map(|it| self.key_of_regex(it));
        records.extend(regexes.map(|it| GroupRecord::ConsumerGroupRegularExpression(it, None)));
        records.push(GroupRecord::ConsumerGroupMetadata(self.key(), None));
        records
    }

    pub(super) fn tombstones_of(&self, member_id: &str) -> [GroupRecord; 3] {
        let key = || self.key_of_member(member_id);
        [
            GroupRecord::ConsumerGroupCurrentMemberAssignment(key(), None),
            GroupRecord::ConsumerGroupTargetAssignmentMember(key(), None),
            GroupRecord::ConsumerGroupMemberMetadata(key(), None),
        ]
    }
}

impl Draft<'_> {
    /// What they had is free at once; the others are assigned anew with the next heartbeat.
    pub(super) fn remove(&mut self, members: &[String]) {
        let regexes = members.iter().filter_map(|it| self.group().member(it));
        let regexes: Vec<_> = regexes
            .filter_map(|it| it.subscribed_regex.clone())
            .collect();
        for member in members {
            self.forget_member(member);
        }
        for regex in regexes {
            self.forget_unread_regex(Some(&regex));
        }
        self.raise_epoch();
        self.downgrade_if_all_are_classic();
    }
}
