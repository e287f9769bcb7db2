//! From one generation to the next: who is waited for, and how long.

use super::join::Joined;
use super::members::{ClassicGroup, State};
use crate::coordinator::decision::{Decision, TimerKind};
use crate::coordinator::error::GroupError;
use crate::coordinator::group::context::Context;

impl ClassicGroup {
    /// Everybody has to join again.
    pub(super) fn prepare_rebalance(&mut self, cx: &Context, out: &mut Decision<()>) {
        let error = GroupError::RebalanceInProgress(self.group_id.clone());
        for member in self.members.values_mut() {
            if self.state == State::CompletingRebalance {
                member.assignment.clear();
            }
            let waiting = member.syncing.take();
            out.answers
                .extend(waiting.map(|it| it.with(Err(error.clone()))));
        }
        self.pending_sync.clear();
        self.cancel_timer(TimerKind::Sync, out);
        self.is_initial = self.state == State::Empty;
        self.enter(State::PreparingRebalance, cx);
        if self.is_initial {
            self.begin_initial_delay(cx, out);
        } else {
            let at = cx.now + self.rebalance_timeout();
            self.set_timer(TimerKind::Join, at, out);
            self.complete_join_if_all_came(cx, out);
        }
    }

    /// The first members of a group often come together: who is first waits a little for the others.
    fn begin_initial_delay(&mut self, cx: &Context, out: &mut Decision<()>) {
        let delay = cx.config.group_initial_rebalance_delay;
        self.initial_delay_left = Some(self.rebalance_timeout().saturating_sub(delay));
        self.has_new_member = false;
        self.set_timer(TimerKind::InitialDelay, cx.now + delay, out);
    }

    pub(super) fn initial_delay_over(&mut self, cx: &Context, out: &mut Decision<()>) {
        let left = self.initial_delay_left.unwrap_or_default();
        if self.state != State::PreparingRebalance || !self.is_initial {
            return;
        }
        if self.has_new_member && !left.is_zero() {
            self.has_new_member = false;
            let delay = cx.config.group_initial_rebalance_delay.min(left);
            self.initial_delay_left = Some(left.saturating_sub(delay));
            self.set_timer(TimerKind::InitialDelay, cx.now + delay, out);
            return;
        }
        self.complete_join(cx, out);
    }

    pub(super) fn complete_join_if_all_came(&mut self, cx: &Context, out: &mut Decision<()>) {
        let all_came = self.pending_members.is_empty() && self.n_joining() == self.members.len();
        if self.state == State::PreparingRebalance && !self.is_initial && all_came {
            self.complete_join(cx, out);
        }
    }

    /// The join is over: who did not come is out, unless it is an instance that may come back.
    pub(super) fn complete_join(&mut self, cx: &Context, out: &mut Decision<()>) {
        self.cancel_timer(TimerKind::Join, out);
        self.cancel_timer(TimerKind::InitialDelay, out);
        let absent = self.members.iter();
        let absent = absent.filter(|(_, it)| it.joining.is_none() && it.instance_id.is_none());
        let absent: Vec<String> = absent.map(|(id, _)| id.clone()).collect();
        for id in absent {
            let error = self.unknown(&id);
            self.take_out(&id, &error, out);
        }
        self.is_initial = false;
        self.initial_delay_left = None;
        if self.members.is_empty() {
            self.become_empty(cx, out);
        } else if self.elect_leader() {
            self.begin_generation(cx, out);
        } else {
            // Only instances are left, none of which came: they have their sessions to do so.
            let at = cx.now + self.rebalance_timeout();
            self.set_timer(TimerKind::Join, at, out);
        }
    }

    /// Whether there is somebody to assign.
    fn elect_leader(&mut self) -> bool {
        let came = |id: &String| self.members.get(id).is_some_and(|it| it.joining.is_some());
        if !self.leader.as_ref().is_some_and(came) {
            let first = self.members.iter().find(|(_, it)| it.joining.is_some());
            let Some((id, _)) = first else { return false };
            self.leader = Some(id.clone());
        }
        true
    }

    fn become_empty(&mut self, cx: &Context, out: &mut Decision<()>) {
        self.generation += 1;
        self.protocol_name = None;
        self.leader = None;
        self.subscribed = self.topics_of_members();
        self.enter(State::Empty, cx);
        out.records.push(self.record());
    }

    fn begin_generation(&mut self, cx: &Context, out: &mut Decision<()>) {
        self.generation += 1;
        self.protocol_name = self.select_protocol();
        self.subscribed = self.topics_of_members();
        self.enter(State::CompletingRebalance, cx);
        self.pending_sync = self.members.keys().cloned().collect();
        let answers: Vec<Joined> = self.members.keys().map(|id| self.answer_to(id)).collect();
        for (member, joined) in self.members.values_mut().zip(answers) {
            member.is_new = false;
            let waiting = member.joining.take();
            out.answers.extend(waiting.map(|it| it.with(Ok(joined))));
        }
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            self.heard_of(&id, cx.now, out);
        }
        let at = cx.now + self.rebalance_timeout();
        self.set_timer(TimerKind::Sync, at, out);
    }

    /// Who joined and did not ask for its assignment is given up.
    pub(super) fn sync_is_over(&mut self, cx: &Context, out: &mut Decision<()>) {
        let is_waiting = matches!(self.state, State::CompletingRebalance | State::Stable);
        if !is_waiting || self.pending_sync.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.pending_sync) {
            let error = self.unknown(&id);
            self.take_out(&id, &error, out);
        }
        self.prepare_rebalance(cx, out);
    }

    /// A deadline of this group or of one of its members.
    pub fn expire(&mut self, member: &str, kind: TimerKind, cx: &Context) -> Decision<()> {
        let mut out = Decision::default();
        match kind {
            TimerKind::Session => self.session_over(member, cx, &mut out),
            TimerKind::Join if self.state == State::PreparingRebalance => {
                self.complete_join(cx, &mut out);
            }
            TimerKind::InitialDelay => self.initial_delay_over(cx, &mut out),
            TimerKind::Sync => self.sync_is_over(cx, &mut out),
            TimerKind::Downgraded if self.state == State::Stable => {
                self.prepare_rebalance(cx, &mut out);
            }
            // Not of classic groups.
            TimerKind::Join | TimerKind::Rebalance | TimerKind::Downgraded => {}
        }
        out
    }

    fn session_over(&mut self, id: &str, cx: &Context, out: &mut Decision<()>) {
        if self.pending_members.remove(id) {
            self.complete_join_if_all_came(cx, out);
            return;
        }
        let waits = self
            .members
            .get(id)
            .is_some_and(|it| !it.is_new && (it.joining.is_some() || it.syncing.is_some()));
        // One that waits for an answer cannot send heartbeats; its session begins with the answer.
        if !waits {
            self.remove(id, cx, out);
        }
    }

    /// The member is gone; the others share what it had.
    pub(super) fn remove(&mut self, id: &str, cx: &Context, out: &mut Decision<()>) {
        let error = self.unknown(id);
        if self.take_out(id, &error, out).is_none() {
            return;
        }
        match self.state {
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(cx, out),
            State::PreparingRebalance => self.complete_join_if_all_came(cx, out),
            State::Empty => {}
        }
    }
}
