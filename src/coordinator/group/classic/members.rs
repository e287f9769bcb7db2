//! A classic group as it stands, and as it is recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use drave_protocol::schema::group_records::{ClassicMember, GroupKey, GroupMetadataValue};

use super::join::{Joined, JoinedMember};
use super::sync::Synced;
use super::{CONSUMER, Protocol, duration_ms, from_ms, subscription};
use crate::coordinator::decision::{Decision, TimerChange, TimerKey, TimerKind, Waiter};
use crate::coordinator::error::GroupError;
use crate::coordinator::group::context::Context;
use crate::coordinator::records::GroupRecord;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Nobody is in it; it may have offsets.
    Empty,
    /// Members are joining.
    PreparingRebalance,
    /// Members of the new generation wait for what the leader assigns.
    CompletingRebalance,
    Stable,
}

impl State {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

#[derive(Debug)]
pub struct ClassicGroup {
    pub(super) group_id: String,
    pub(super) state: State,
    /// Wall time, because it is recorded.
    pub(super) state_since_ms: i64,
    pub(super) generation: i32,
    /// None until somebody joined: a group of offsets only.
    pub(super) protocol_type: Option<String>,
    pub(super) protocol_name: Option<String>,
    pub(super) leader: Option<String>,
    pub(super) members: BTreeMap<String, Member>,
    /// By instance id.
    pub(super) static_members: BTreeMap<String, String>,
    /// Ids that were given out and not come back with (KIP-394).
    pub(super) pending_members: BTreeSet<String>,
    /// Members of this generation that did not ask for their assignment yet.
    pub(super) pending_sync: BTreeSet<String>,
    /// While the first rebalance of an empty group is held back: how much longer it may be.
    pub(super) initial_delay_left: Option<Duration>,
    /// Whether somebody came since that delay began.
    pub(super) has_new_member: bool,
    /// Whether the join that is under way began with an empty group.
    pub(super) is_initial: bool,
    /// What its members read; `None` where nobody can say.
    pub(super) subscribed: Option<BTreeSet<String>>,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    pub(super) protocols: Vec<Protocol>,
    pub(super) assignment: Bytes,
    /// Joined for the first time, and not answered yet: it may not send heartbeats before.
    pub(super) is_new: bool,
    pub(super) joining: Option<Waiter<Joined>>,
    pub(super) syncing: Option<Waiter<Synced>>,
}

/// A member, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub metadata: Bytes,
    pub assignment: Bytes,
}

impl Member {
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|it| it.name == protocol);
        found.map(|it| it.metadata.clone()).unwrap_or_default()
    }

    fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|it| it.name == protocol)
    }
}

impl ClassicGroup {
    pub fn new(group_id: &str, wall_ms: i64) -> Self {
        Self {
            group_id: group_id.to_owned(),
            state: State::Empty,
            state_since_ms: wall_ms,
            generation: 0,
            protocol_type: None,
            protocol_name: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_members: BTreeSet::new(),
            pending_sync: BTreeSet::new(),
            initial_delay_left: None,
            has_new_member: false,
            is_initial: false,
            subscribed: Some(BTreeSet::new()),
        }
    }

    /// The group as its record says.
    pub fn from_record(group_id: &str, value: &GroupMetadataValue) -> Self {
        let protocol = value.protocol.clone().filter(|it| !it.is_empty());
        let mut group = Self {
            state: if value.members.is_empty() {
                State::Empty
            } else {
                State::Stable
            },
            generation: value.generation,
            protocol_type: Some(value.protocol_type.clone()).filter(|it| !it.is_empty()),
            leader: value.leader.clone().filter(|it| !it.is_empty()),
            ..Self::new(group_id, value.current_state_timestamp)
        };
        for recorded in &value.members {
            if let Some(instance) = &recorded.group_instance_id {
                let holder = recorded.member_id.clone();
                group.static_members.insert(instance.clone(), holder);
            }
            let member = Member {
                instance_id: recorded.group_instance_id.clone(),
                client_id: recorded.client_id.clone(),
                client_host: recorded.client_host.clone(),
                session_timeout: from_ms(recorded.session_timeout),
                rebalance_timeout: from_ms(if recorded.rebalance_timeout < 0 {
                    recorded.session_timeout
                } else {
                    recorded.rebalance_timeout
                }),
                protocols: vec![Protocol {
                    name: protocol.clone().unwrap_or_default(),
                    metadata: recorded.subscription.clone(),
                }],
                assignment: recorded.assignment.clone(),
                is_new: false,
                joining: None,
                syncing: None,
            };
            group.members.insert(recorded.member_id.clone(), member);
        }
        group.protocol_name = protocol;
        group.subscribed = group.topics_of_members();
        group
    }

    /// The record of the group as it stands.
    pub fn record(&self) -> GroupRecord {
        let protocol = self.protocol_name.clone().unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| ClassicMember {
            member_id: id.clone(),
            group_instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout: duration_ms(member.rebalance_timeout),
            session_timeout: duration_ms(member.session_timeout),
            subscription: member.metadata(&protocol),
            assignment: member.assignment.clone(),
        });
        let value = GroupMetadataValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol_name.clone(),
            leader: self.leader.clone(),
            current_state_timestamp: self.state_since_ms,
            members: members.collect(),
        };
        GroupRecord::GroupMetadata(self.key(), Some(value))
    }

    pub fn tombstone(&self) -> GroupRecord {
        GroupRecord::GroupMetadata(self.key(), None)
    }

    fn key(&self) -> GroupKey {
        GroupKey {
            group_id: self.group_id.clone(),
        }
    }

    /// Each member is given its session anew when another broker takes over.
    pub fn begin_sessions(&self, now: Instant) -> Vec<TimerChange> {
        let sessions = self.members.iter();
        let begin = |(id, member): (&String, &Member)| TimerChange::Set {
            key: self.timer_of(id),
            at: now + member.session_timeout,
        };
        sessions.map(begin).collect()
    }

    pub fn state(&self) -> State {
        self.state
    }

    pub fn state_since_ms(&self) -> i64 {
        self.state_since_ms
    }

    pub fn generation(&self) -> i32 {
        self.generation
    }

    pub fn n_members(&self) -> usize {
        self.members.len()
    }

    pub fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    pub fn protocol_name(&self) -> Option<&str> {
        self.protocol_name.as_deref()
    }

    /// Whether nothing keeps it but its offsets.
    pub fn is_idle(&self) -> bool {
        self.state == State::Empty && self.pending_members.is_empty()
    }

    /// Whether it reads the topic, as far as anybody can say: where nobody can, it may.
    pub fn may_read(&self, topic: &str) -> bool {
        self.state != State::Empty && self.subscribed.as_ref().is_none_or(|it| it.contains(topic))
    }

    pub fn is_of_consumers(&self) -> bool {
        self.protocol_type() == Some(CONSUMER)
    }

    pub fn describe(&self) -> Vec<DescribedMember> {
        let is_stable = self.state == State::Stable;
        let protocol = self.protocol_name.as_deref().unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| DescribedMember {
            member_id: id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: if is_stable {
                member.metadata(protocol)
            } else {
                Bytes::new()
            },
            assignment: if is_stable {
                member.assignment.clone()
            } else {
                Bytes::new()
            },
        });
        members.collect()
    }

    // ---- for the other files of this folder ----------------------------------------------------

    pub(super) fn enter(&mut self, state: State, cx: &Context) {
        self.state = state;
        self.state_since_ms = cx.wall_ms;
    }

    pub(super) fn timer_of(&self, member: &str) -> TimerKey {
        TimerKey::of_member(&self.group_id, member, TimerKind::Session)
    }

    pub(super) fn timer(&self, kind: TimerKind) -> TimerKey {
        TimerKey::of_group(&self.group_id, kind)
    }

    pub(super) fn set_timer(&self, kind: TimerKind, at: Instant, out: &mut Decision<()>) {
        let key = self.timer(kind);
        out.timers.push(TimerChange::Set { key, at });
    }

    pub(super) fn cancel_timer(&self, kind: TimerKind, out: &mut Decision<()>) {
        let key = self.timer(kind);
        out.timers.push(TimerChange::Cancel { key });
    }

    /// The member was heard of: its session begins again.
    pub(super) fn heard_of(&self, id: &str, now: Instant, out: &mut Decision<()>) {
        if let Some(member) = self.members.get(id) {
            let (key, at) = (self.timer_of(id), now + member.session_timeout);
            out.timers.push(TimerChange::Set { key, at });
        }
    }

    /// The member a request comes from, if it is one.
    pub(super) fn known(&self, id: &str, instance: Option<&str>) -> Result<&Member, GroupError> {
        if let Some(instance) = instance {
            match self.static_members.get(instance) {
                None => return Err(self.unknown(id)),
                Some(holder) if holder != id => {
                    return Err(GroupError::FencedInstance {
                        group: self.group_id.clone(),
                        instance: instance.to_owned(),
                        member: id.to_owned(),
                    });
                }
                Some(_) => {}
            }
        }
        self.members.get(id).ok_or_else(|| self.unknown(id))
    }

    pub(super) fn unknown(&self, id: &str) -> GroupError {
        GroupError::UnknownMember {
            group: self.group_id.clone(),
            member: id.to_owned(),
        }
    }

    pub(super) fn check_generation(&self, id: &str, theirs: i32) -> Result<(), GroupError> {
        if theirs == self.generation {
            return Ok(());
        }
        Err(GroupError::IllegalGeneration {
            group: self.group_id.clone(),
            member: id.to_owned(),
            theirs,
            ours: self.generation,
        })
    }

    pub(super) fn rebalance_timeout(&self) -> Duration {
        let timeouts = self.members.values().map(|it| it.rebalance_timeout);
        timeouts.max().unwrap_or_default()
    }

    /// Whether somebody with these could be in one generation with all the others.
    pub(super) fn supports(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.state == State::Empty || self.members.is_empty() {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let is_shared = |name: &str| self.members.values().all(|it| it.supports(name));
        self.protocol_type() == Some(protocol_type)
            && protocols.iter().any(|it| is_shared(&it.name))
    }

    /// What most members prefer among what all of them know.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let first = self.members.values().next()?;
        let is_shared = |name: &str| self.members.values().all(|it| it.supports(name));
        let shared = first.protocols.iter().map(|it| it.name.as_str());
        let candidates: Vec<&str> = shared.filter(|it| is_shared(it)).collect();
        let vote = |member: &Member| {
            let wanted = member.protocols.iter().map(|it| it.name.clone());
            wanted
                .into_iter()
                .find(|it| candidates.contains(&it.as_str()))
        };
        let mut votes: BTreeMap<String, usize> = BTreeMap::new();
        for wanted in self.members.values().filter_map(vote) {
            *votes.entry(wanted).or_default() += 1;
        }
        let best = votes
            .into_iter()
            .max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0)));
        best.map(|(name, _)| name)
    }

    pub(super) fn topics_of_members(&self) -> Option<BTreeSet<String>> {
        if self.protocol_type.is_none() || self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        if !self.is_of_consumers() {
            return None;
        }
        let protocol = self.protocol_name.as_deref()?;
        let mut all = BTreeSet::new();
        for member in self.members.values() {
            all.append(&mut subscription::topics(&member.metadata(protocol))?);
        }
        Some(all)
    }

    /// Everybody with what they say to the leader, who assigns.
    pub(super) fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol_name.as_deref().unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| JoinedMember {
            member_id: id.clone(),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(protocol),
        });
        members.collect()
    }

    pub(super) fn is_leader(&self, id: &str) -> bool {
        self.leader.as_deref() == Some(id)
    }

    /// Takes the member out; who waits as it is told why.
    pub(super) fn take_out(
        &mut self,
        id: &str,
        why: &GroupError,
        out: &mut Decision<()>,
    ) -> Option<Member> {
        let mut member = self.members.remove(id)?;
        if let Some(instance) = &member.instance_id
            && self.static_members.get(instance).is_some_and(|it| it == id)
        {
            self.static_members.remove(instance);
        }
        self.pending_sync.remove(id);
        let joining = member.joining.take().map(|it| it.with(Err(why.clone())));
        let syncing = member.syncing.take().map(|it| it.with(Err(why.clone())));
        out.answers.extend(joining.into_iter().chain(syncing));
        let key = self.timer_of(id);
        out.timers.push(TimerChange::Cancel { key });
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }
}
