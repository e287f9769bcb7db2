//! Joining: new members, members that come back, and instances that come back as another member.

use std::time::Duration;

use bytes::Bytes;

use super::members::{ClassicGroup, Member, State};
use super::{Protocol, duration_ms};
use crate::coordinator::decision::{Decision, TimerChange, Waiter};
use crate::coordinator::error::GroupError;
use crate::coordinator::group::context::Context;

/// How long a new member may take for its first join, whatever session it asked for: it sends no heartbeats yet.
const FIRST_JOIN: Duration = Duration::from_mins(5);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    pub group_id: String,
    /// Empty of one who has no id yet.
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub protocol_type: String,
    pub protocols: Vec<Protocol>,
    pub session_timeout: Duration,
    pub rebalance_timeout: Duration,
    pub abilities: JoinAbilities,
}

/// What the version of a request lets its sender do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JoinAbilities {
    /// It comes again with the id it was given (KIP-394).
    pub comes_again: bool,
    /// As a leader it can be told that there is nothing to assign (KIP-814).
    pub skips_assignment: bool,
}

/// The answer to one member once all have joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    pub member_id: String,
    pub generation: i32,
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
    pub leader: String,
    pub skip_assignment: bool,
    /// All of them, for the leader.
    pub members: Vec<JoinedMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub metadata: Bytes,
}

/// What becomes of a join.
enum Step {
    Answer(Joined),
    /// It waits for the others.
    Wait,
}

impl Join {
    /// What can be refused without knowing the group.
    pub fn check(&self, cx: &Context) -> Result<(), GroupError> {
        if self.group_id.is_empty() {
            return Err(GroupError::InvalidGroupId(self.group_id.clone()));
        }
        let (min, max) = (
            cx.config.group_min_session_timeout,
            cx.config.group_max_session_timeout,
        );
        if (min..=max).contains(&self.session_timeout) {
            return Ok(());
        }
        let ms = |it: Duration| i64::try_from(it.as_millis()).unwrap_or(i64::MAX);
        Err(GroupError::InvalidSessionTimeout {
            asked: duration_ms(self.session_timeout),
            min: ms(min),
            max: ms(max),
        })
    }
}

impl ClassicGroup {
    pub fn join(
        &mut self,
        join: &Join,
        waiter: Waiter<Joined>,
        cx: &Context,
        out: &mut Decision<()>,
    ) {
        match self.admit(join, cx, out) {
            Err(error) => out.answers.push(waiter.with(Err(error))),
            Ok((_, Step::Answer(joined))) => out.answers.push(waiter.with(Ok(joined))),
            Ok((id, Step::Wait)) => self.wait_for_others(&id, waiter, cx, out),
        }
    }

    fn wait_for_others(
        &mut self,
        id: &str,
        waiter: Waiter<Joined>,
        cx: &Context,
        out: &mut Decision<()>,
    ) {
        if let Some(member) = self.members.get_mut(id)
            && let Some(before) = member.joining.replace(waiter)
        {
            // The same member again: whoever sent the first has given up on it.
            let error = GroupError::RebalanceInProgress(self.group_id.clone());
            out.answers.push(before.with(Err(error)));
        }
        if self.state == State::PreparingRebalance {
            self.complete_join_if_all_came(cx, out);
        } else {
            self.prepare_rebalance(cx, out);
        }
    }

    /// Under which id the member takes part, and whether it waits.
    fn admit(
        &mut self,
        join: &Join,
        cx: &Context,
        out: &mut Decision<()>,
    ) -> Result<(String, Step), GroupError> {
        self.check_room(join, cx, out)?;
        if !self.supports(&join.protocol_type, &join.protocols) {
            return Err(GroupError::InconsistentProtocol(format!(
                "group '{}' is of type {:?}, and no protocol of {:?} is known to all its members",
                self.group_id,
                self.protocol_type().unwrap_or(&join.protocol_type),
                join.protocols.iter().map(|it| &it.name).collect::<Vec<_>>()
            )));
        }
        match (join.member_id.is_empty(), &join.instance_id) {
            (true, None) => self.admit_new(join, cx, out),
            (true, Some(instance)) => Ok(self.admit_instance(join, instance, cx, out)),
            (false, instance) => {
                if instance.is_none() && self.pending_members.contains(&join.member_id) {
                    self.add(&join.member_id, join, cx, out);
                    return Ok((join.member_id.clone(), Step::Wait));
                }
                self.known(&join.member_id, instance.as_deref())?;
                let step = self.admit_known(join, cx, out);
                Ok((join.member_id.clone(), step))
            }
        }
    }

    /// A group that is full takes only those who belong to it, as many as there is room for.
    fn check_room(
        &mut self,
        join: &Join,
        cx: &Context,
        out: &mut Decision<()>,
    ) -> Result<(), GroupError> {
        let max = cx.config.group_max_size;
        let member = self.members.get(&join.member_id);
        let has_room = match self.state {
            State::Empty => true,
            State::PreparingRebalance => {
                member.is_some_and(|it| it.joining.is_some()) || self.n_joining() < max
            }
            State::CompletingRebalance | State::Stable => {
                member.is_some() || self.members.len() < max
            }
        };
        if has_room {
            return Ok(());
        }
        let error = GroupError::GroupFull {
            group: self.group_id.clone(),
            max,
        };
        self.take_out(&join.member_id, &error, out);
        Err(error)
    }

    fn admit_new(
        &mut self,
        join: &Join,
        cx: &Context,
        out: &mut Decision<()>,
    ) -> Result<(String, Step), GroupError> {
        let id = new_id(&join.client_id, cx);
        if join.abilities.comes_again {
            // An id nobody comes back with is forgotten like a member that is silent.
            let at = cx.now + join.session_timeout;
            let key = self.timer_of(&id);
            self.pending_members.insert(id.clone());
            out.timers.push(TimerChange::Set { key, at });
            return Err(GroupError::MemberIdRequired(id));
        }
        self.add(&id, join, cx, out);
        Ok((id, Step::Wait))
    }

    /// An instance needs no second round: nobody else has its name.
    fn admit_instance(
        &mut self,
        join: &Join,
        instance: &str,
        cx: &Context,
        out: &mut Decision<()>,
    ) -> (String, Step) {
        let id = new_id(instance, cx);
        let Some(before) = self.static_members.get(instance).cloned() else {
            self.add(&id, join, cx, out);
            return (id, Step::Wait);
        };
        let leader_before = self.leader.clone();
        self.replace(&before, &id, instance, out);
        self.update(&id, join);
        self.heard_of(&id, cx.now, out);
        if self.state == State::Stable && self.select_protocol() == self.protocol_name {
            // Nobody else need know: the instance takes up what it had.
            out.records.push(self.record());
            let mut joined = self.answer_to(&id);
            if join.abilities.skips_assignment {
                joined.skip_assignment = self.is_leader(&id);
            } else {
                // It would assign anew as the leader; under the name before it is not one.
                joined.leader = leader_before.unwrap_or_default();
                joined.members = Vec::new();
            }
            return (id, Step::Answer(joined));
        }
        (id, Step::Wait)
    }

    fn admit_known(&mut self, join: &Join, cx: &Context, out: &mut Decision<()>) -> Step {
        let id = join.member_id.as_str();
        let is_as_before = self
            .members
            .get(id)
            .is_some_and(|it| it.protocols == join.protocols);
        let takes_what_is = match self.state {
            // The answer was lost on its way.
            State::CompletingRebalance => is_as_before,
            // A leader that joins again wants a rebalance: the topics it watches changed.
            State::Stable => is_as_before && !self.is_leader(id),
            State::PreparingRebalance | State::Empty => false,
        };
        if takes_what_is {
            self.heard_of(id, cx.now, out);
            return Step::Answer(self.answer_to(id));
        }
        self.update(id, join);
        Step::Wait
    }

    fn add(&mut self, id: &str, join: &Join, cx: &Context, out: &mut Decision<()>) {
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        let member = Member {
            instance_id: join.instance_id.clone(),
            client_id: join.client_id.clone(),
            client_host: join.client_host.clone(),
            session_timeout: join.session_timeout,
            rebalance_timeout: join.rebalance_timeout,
            protocols: join.protocols.clone(),
            assignment: Bytes::new(),
            is_new: true,
            joining: None,
            syncing: None,
        };
        if let Some(instance) = &join.instance_id {
            self.static_members.insert(instance.clone(), id.to_owned());
        }
        self.pending_members.remove(id);
        self.members.insert(id.to_owned(), member);
        self.leader.get_or_insert_with(|| id.to_owned());
        self.has_new_member |= self.is_initial;
        let (key, at) = (self.timer_of(id), cx.now + FIRST_JOIN);
        out.timers.push(TimerChange::Set { key, at });
    }

    /// The instance is another member from now on; who still waits under the old id is fenced.
    fn replace(&mut self, before: &str, id: &str, instance: &str, out: &mut Decision<()>) {
        let was_leader = self.is_leader(before);
        let was_awaited = self.pending_sync.contains(before);
        let fenced = GroupError::FencedInstance {
            group: self.group_id.clone(),
            instance: instance.to_owned(),
            member: before.to_owned(),
        };
        let Some(member) = self.take_out(before, &fenced, out) else {
            return;
        };
        self.members.insert(id.to_owned(), member);
        self.static_members
            .insert(instance.to_owned(), id.to_owned());
        if was_leader {
            self.leader = Some(id.to_owned());
        }
        if was_awaited {
            self.pending_sync.insert(id.to_owned());
        }
    }

    fn update(&mut self, id: &str, join: &Join) {
        if let Some(member) = self.members.get_mut(id) {
            member.protocols.clone_from(&join.protocols);
            member.session_timeout = join.session_timeout;
            member.rebalance_timeout = join.rebalance_timeout;
            member.client_id.clone_from(&join.client_id);
            member.client_host.clone_from(&join.client_host);
        }
    }

    pub(super) fn n_joining(&self) -> usize {
        self.members
            .values()
            .filter(|it| it.joining.is_some())
            .count()
    }

    /// What a member is told of the generation as it stands.
    pub(super) fn answer_to(&self, id: &str) -> Joined {
        Joined {
            member_id: id.to_owned(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            members: if self.is_leader(id) {
                self.joined_members()
            } else {
                Vec::new()
            },
        }
    }
}

fn new_id(prefix: &str, cx: &Context) -> String {
    format!("{prefix}-{}", cx.random.uuid())
}
