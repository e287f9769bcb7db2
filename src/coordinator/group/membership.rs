//! What members of classic groups ask of the shard their group is in.

use super::classic::{Join, Joined, Leaver, Presence, Sync, Synced};
use super::consumers::{answer_to, around, identity, join_classic, settings, sync_classic};
use super::context::Context;
use super::shard::{Group, GroupShard};
use crate::coordinator::decision::{Decision, Waiter};
use crate::coordinator::error::GroupError;

impl GroupShard {
    pub fn join(&mut self, join: &Join, waiter: Waiter<Joined>, cx: &Context) -> Decision<()> {
        let mut out = Decision::default();
        if let Err(error) = self.check_join(join, cx) {
            out.answers.push(waiter.with(Err(error)));
            return out;
        }
        if let Some(Group::Consumer(group)) = self.groups.get(&join.group_id) {
            if group.n_members() > 0 {
                return answer_to(waiter, join_classic(group, join, cx));
            }
            out.records = group.tombstones();
            self.groups.remove(&join.group_id);
        }
        if let Group::Classic(group) = self.begin_group(&join.group_id, cx.wall_ms) {
            group.join(join, waiter, cx, &mut out);
        }
        out
    }

    fn check_join(&self, join: &Join, cx: &Context) -> Result<(), GroupError> {
        join.check(cx)?;
        if !join.member_id.is_empty() && !self.groups.contains_key(&join.group_id) {
            return Err(unknown_member(&join.group_id, &join.member_id));
        }
        Ok(())
    }

    pub fn sync(
        &mut self,
        group_id: &str,
        sync: Sync,
        waiter: Waiter<Synced>,
        cx: &Context,
    ) -> Decision<()> {
        let mut out = Decision::default();
        match self.groups.get_mut(group_id) {
            Some(Group::Classic(group)) => group.sync(sync, waiter, cx, &mut out),
            Some(Group::Consumer(group)) => {
                return answer_to(waiter, sync_classic(group, &sync, cx));
            }
            None => {
                let error = unknown_member(group_id, &sync.member.member_id);
                out.answers.push(waiter.with(Err(error)));
            }
        }
        out
    }

    /// The inner refusal goes with a session that goes on: the member is to join again.
    pub fn heartbeat(
        &self,
        group_id: &str,
        presence: &Presence,
        cx: &Context,
    ) -> Result<Decision<Result<(), GroupError>>, GroupError> {
        match self.groups.get(group_id) {
            Some(Group::Classic(group)) => group.heartbeat(presence, cx),
            Some(Group::Consumer(group)) => {
                group.heartbeat_classic(identity(presence), around(cx, &settings(cx, group_id)))
            }
            None => Err(unknown_member(group_id, &presence.member_id)),
        }
    }

    /// One outcome for each who leaves.
    pub fn leave(
        &mut self,
        group_id: &str,
        leavers: &[Leaver],
        cx: &Context,
    ) -> Result<Decision<Vec<Result<(), GroupError>>>, GroupError> {
        let group = match self.groups.get_mut(group_id) {
            Some(Group::Classic(group)) => group,
            Some(Group::Consumer(group)) => {
                let leavers = leavers.iter();
                let leavers: Vec<_> = leavers
                    .map(|it| (it.member_id.clone(), it.instance_id.clone()))
                    .collect();
                return Ok(group.leave_classic(&leavers, around(cx, &settings(cx, group_id))));
            }
            None => return Err(unknown_member(group_id, "")),
        };
        let mut out = Decision::default();
        let outcomes = leavers.iter();
        let outcomes = outcomes.map(|it| group.leave(it, cx, &mut out));
        let outcomes = outcomes.collect();
        Ok(out.map(|()| outcomes))
    }
}

pub(super) fn unknown_member(group_id: &str, member_id: &str) -> GroupError {
    GroupError::UnknownMember {
        group: group_id.to_owned(),
        member: member_id.to_owned(),
    }
}
