//! What members of a generation ask: their assignment, and whether it still stands.

use bytes::Bytes;

use super::members::{ClassicGroup, State};
use crate::coordinator::decision::{Decision, TimerKind, Waiter};
use crate::coordinator::error::GroupError;
use crate::coordinator::group::context::Context;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sync {
    pub member: Presence,
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
    /// From the leader: what each member gets.
    pub assignments: Vec<(String, Bytes)>,
}

/// Who says to be in which generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub generation: i32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
    pub assignment: Bytes,
}

impl ClassicGroup {
    pub fn sync(
        &mut self,
        sync: Sync,
        waiter: Waiter<Synced>,
        cx: &Context,
        out: &mut Decision<()>,
    ) {
        if let Err(error) = self.check_sync(&sync) {
            out.answers.push(waiter.with(Err(error)));
            return;
        }
        let id = sync.member.member_id.clone();
        self.pending_sync.remove(&id);
        if self.pending_sync.is_empty() {
            self.cancel_timer(TimerKind::Sync, out);
        }
        if self.state == State::Stable {
            self.heard_of(&id, cx.now, out);
            out.answers.push(waiter.with(Ok(self.assignment_of(&id))));
            return;
        }
        if let Some(member) = self.members.get_mut(&id)
            && let Some(before) = member.syncing.replace(waiter)
        {
            let error = GroupError::RebalanceInProgress(self.group_id.clone());
            out.answers.push(before.with(Err(error)));
        }
        if self.is_leader(&id) {
            self.take_assignments(sync.assignments, cx, out);
        }
    }

    fn check_sync(&self, sync: &Sync) -> Result<(), GroupError> {
        self.check_presence(&sync.member)?;
        let differs = |theirs: &Option<String>, ours: &Option<String>| {
            theirs.is_some() && theirs.as_deref() != ours.as_deref()
        };
        if differs(&sync.protocol_type, &self.protocol_type)
            || differs(&sync.protocol_name, &self.protocol_name)
        {
            return Err(GroupError::InconsistentProtocol(format!(
                "group '{}' uses {:?} of type {:?}, not {:?} of type {:?}",
                self.group_id,
                self.protocol_name,
                self.protocol_type,
                sync.protocol_name,
                sync.protocol_type
            )));
        }
        match self.state {
            State::Empty => Err(self.unknown(&sync.member.member_id)),
            State::PreparingRebalance => {
                Err(GroupError::RebalanceInProgress(self.group_id.clone()))
            }
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    fn check_presence(&self, presence: &Presence) -> Result<(), GroupError> {
        let id = &presence.member_id;
        self.known(id, presence.instance_id.as_deref())?;
        self.check_generation(id, presence.generation)
    }

    /// The leader has assigned: recorded, and then told to all who ask.
    fn take_assignments(
        &mut self,
        assignments: Vec<(String, Bytes)>,
        cx: &Context,
        out: &mut Decision<()>,
    ) {
        for member in self.members.values_mut() {
            member.assignment.clear();
        }
        for (id, assignment) in assignments {
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = assignment;
            }
        }
        self.enter(State::Stable, cx);
        out.records.push(self.record());
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let synced = self.assignment_of(&id);
            let waiting = self.members.get_mut(&id).and_then(|it| it.syncing.take());
            if let Some(waiting) = waiting {
                self.heard_of(&id, cx.now, out);
                out.answers.push(waiting.with(Ok(synced)));
            }
        }
    }

    fn assignment_of(&self, id: &str) -> Synced {
        let member = self.members.get(id);
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            assignment: member.map(|it| it.assignment.clone()).unwrap_or_default(),
        }
    }

    pub fn heartbeat(
        &self,
        presence: &Presence,
        cx: &Context,
    ) -> Result<Decision<Result<(), GroupError>>, GroupError> {
        let id = &presence.member_id;
        if presence.instance_id.is_none() && self.pending_members.contains(id) {
            return Err(self.unknown(id));
        }
        self.check_presence(presence)?;
        let mut out = Decision::default();
        let answer = match self.state {
            State::Empty => return Err(self.unknown(id)),
            State::PreparingRebalance => {
                Err(GroupError::RebalanceInProgress(self.group_id.clone()))
            }
            State::CompletingRebalance | State::Stable => Ok(()),
        };
        self.heard_of(id, cx.now, &mut out);
        Ok(out.map(|()| answer))
    }

    /// Whether one who says to be this may commit offsets now.
    pub fn may_commit(
        &self,
        presence: &Presence,
        cx: &Context,
    ) -> Result<Decision<()>, GroupError> {
        let is_nobody = presence.generation < 0;
        if is_nobody && self.state == State::Empty {
            return Ok(Decision::default());
        }
        let names_member = presence.generation >= 0
            || !presence.member_id.is_empty()
            || presence.instance_id.is_some();
        if !names_member {
            return Err(self.unknown(&presence.member_id));
        }
        self.check_presence(presence)?;
        if self.state == State::CompletingRebalance {
            // What it read belongs to a generation that is over.
            return Err(GroupError::RebalanceInProgress(self.group_id.clone()));
        }
        let mut out = Decision::default();
        self.heard_of(&presence.member_id, cx.now, &mut out);
        Ok(out)
    }
}
