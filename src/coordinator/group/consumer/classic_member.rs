//! Members that speak the classic protocol in a consumer group: while clients are upgraded one by one.
//!
//! They join where others say what they have, sync to hear what they may have, and are told to join again
//! when there is something for them to give up or to take.

use bytes::Bytes;
use drave_protocol::schema::group_records::{ClassicMemberMetadata, ClassicProtocol};

use super::draft::{Draft, Surroundings};
use super::group::ConsumerGroup;
use super::member::{Member, MemberState};
use super::wire;
use crate::coordinator::decision::{Decision, TimerKind};
use crate::coordinator::error::GroupError;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassicJoin {
    /// Drawn by whoever asks, where the member has none.
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub protocols: Vec<ClassicProtocol>,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicJoined {
    pub member_id: String,
    pub generation: i32,
    pub protocol_name: String,
}

/// Who a classic member says it is.
#[derive(Clone, Copy, Debug)]
pub struct ClassicIdentity<'a> {
    pub member_id: &'a str,
    pub instance_id: Option<&'a str>,
    pub generation: i32,
}

impl ConsumerGroup {
    pub fn join_classic(
        &self,
        join: &ClassicJoin,
        around: Surroundings<'_>,
    ) -> Result<Decision<ClassicJoined>, GroupError> {
        let protocol = self.check_protocols(join)?;
        let said = wire::subscription(&protocol.metadata).ok_or_else(|| {
            GroupError::InconsistentProtocol(format!(
                "what member '{}' says to '{}' is no subscription of a consumer",
                join.member_id, protocol.name
            ))
        })?;
        let mut draft = Draft::of(self, around);
        let before = draft.admit_classic(join)?;
        let mut member = before.clone();
        member.instance_id.clone_from(&join.instance_id);
        member.rack_id = said.rack.or(member.rack_id);
        member.client_id.clone_from(&join.client_id);
        member.client_host.clone_from(&join.client_host);
        member.subscribed_names = said.topics;
        member.subscribed_regex = None;
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        member.classic = Some(ClassicMemberMetadata {
            session_timeout_ms: join.session_timeout_ms,
            supported_protocols: join.protocols.clone(),
        });
        let change = draft.take_in(&before, &member)?;
        draft.follow_topics(change);
        draft.assign();
        let owned = wire::with_ids(&said.owned, around.topics);
        let current = draft.reconcile(&member.member_id, change, Some(&owned))?;

        self.seen
            .asked_to_join
            .lock()
            .remove(member.member_id.as_str());
        draft.cancel_timer(&member.member_id, TimerKind::Join);
        let session = member.session_timeout(around.settings);
        draft.set_timer(&member.member_id, TimerKind::Session, session);
        draft.set_timer(
            &member.member_id,
            TimerKind::Sync,
            member.rebalance_timeout(),
        );
        Ok(draft.decide(ClassicJoined {
            member_id: member.member_id,
            generation: current.epoch,
            protocol_name: protocol.name.clone(),
        }))
    }

    /// The first protocol of a member that all classic members know, so that the group can go back to them.
    fn check_protocols<'a>(
        &self,
        join: &'a ClassicJoin,
    ) -> Result<&'a ClassicProtocol, GroupError> {
        let others = self.members().filter(|it| it.member_id != join.member_id);
        let others: Vec<_> = others.filter_map(|it| it.classic.as_ref()).collect();
        let knows = |it: &&ClassicMemberMetadata, name: &str| {
            it.supported_protocols
                .iter()
                .any(|known| known.name == name)
        };
        let mut protocols = join.protocols.iter();
        let shared = protocols.find(|it| others.iter().all(|other| knows(other, &it.name)));
        shared.ok_or_else(|| {
            GroupError::InconsistentProtocol(format!(
                "no protocol of member '{}' is known to all classic members of group '{}'",
                join.member_id, self.group_id
            ))
        })
    }

    pub fn sync_classic(
        &self,
        who: ClassicIdentity<'_>,
        around: Surroundings<'_>,
    ) -> Result<Decision<Bytes>, GroupError> {
        let member = self.classic_member(who)?;
        let gives_up = member.current.state == MemberState::UnrevokedPartitions;
        if self.epoch > member.current.epoch && !gives_up {
            return Err(GroupError::RebalanceInProgress(self.group_id.clone()));
        }
        let mut draft = Draft::of(self, around);
        draft.cancel_timer(who.member_id, TimerKind::Sync);
        let session = member.session_timeout(around.settings);
        draft.set_timer(who.member_id, TimerKind::Session, session);
        Ok(draft.decide(wire::assignment(member, around.topics)))
    }

    /// The inner refusal goes with a session that goes on: the member is to join again.
    pub fn heartbeat_classic(
        &self,
        who: ClassicIdentity<'_>,
        around: Surroundings<'_>,
    ) -> Result<Decision<Result<(), GroupError>>, GroupError> {
        let member = self.classic_member(who)?;
        let mut draft = Draft::of(self, around);
        let session = member.session_timeout(around.settings);
        draft.set_timer(who.member_id, TimerKind::Session, session);
        if !self.must_join_again(member) {
            return Ok(draft.decide(Ok(())));
        }
        let is_first = self
            .seen
            .asked_to_join
            .lock()
            .insert(who.member_id.to_owned());
        if is_first {
            draft.set_timer(who.member_id, TimerKind::Join, member.rebalance_timeout());
        }
        let again = GroupError::RebalanceInProgress(self.group_id.clone());
        Ok(draft.decide(Err(again)))
    }

    /// There is a newer epoch, something to give up, or something to take that is free by now.
    fn must_join_again(&self, member: &Member) -> bool {
        let waits = || {
            let target = self.target_of(&member.member_id);
            let mut target = target
                .iter()
                .flat_map(|(id, all)| all.iter().map(|it| (*id, *it)));
            target.any(|it| {
                self.owners
                    .get(&it)
                    .is_some_and(|by| **by != *member.member_id)
            })
        };
        match member.current.state {
            _ if member.current.epoch < self.epoch => true,
            MemberState::UnrevokedPartitions => true,
            MemberState::UnreleasedPartitions => !waits(),
            MemberState::Stable | MemberState::Unknown => false,
        }
    }

    fn classic_member(&self, who: ClassicIdentity<'_>) -> Result<&Member, GroupError> {
        let member = match who.instance_id {
            Some(instance) => self.known_instance(instance, who.member_id)?,
            None => self.known(who.member_id)?,
        };
        let (theirs, ours) = (who.generation, member.current.epoch);
        let unknown = || GroupError::UnknownMember {
            group: self.group_id.clone(),
            member: who.member_id.to_owned(),
        };
        match member.is_classic() {
            false => Err(unknown()),
            true if theirs == ours => Ok(member),
            true => Err(GroupError::IllegalGeneration {
                group: self.group_id.clone(),
                member: who.member_id.to_owned(),
                theirs,
                ours,
            }),
        }
    }

    /// One outcome for each who leaves.
    pub fn leave_classic(
        &self,
        leavers: &[(String, Option<String>)],
        around: Surroundings<'_>,
    ) -> Decision<Vec<Result<(), GroupError>>> {
        let mut gone = Vec::new();
        let mut outcomes = Vec::with_capacity(leavers.len());
        for (member_id, instance_id) in leavers {
            // By the instance alone an operator takes out whoever has it.
            let found = match instance_id {
                Some(instance) if member_id.is_empty() => {
                    self.of_instance(instance)
                        .ok_or_else(|| GroupError::UnknownMember {
                            group: self.group_id.clone(),
                            member: instance.clone(),
                        })
                }
                Some(instance) => self.known_instance(instance, member_id),
                None => self.known(member_id),
            };
            outcomes.push(found.map(|it| gone.push(it.member_id.clone())));
        }
        let mut draft = Draft::of(self, around);
        if !gone.is_empty() {
            draft.remove(&gone);
        }
        draft.decide(outcomes)
    }
}

impl Draft<'_> {
    fn admit_classic(&mut self, join: &ClassicJoin) -> Result<Member, GroupError> {
        let group = self.group();
        let known = group.member(&join.member_id).cloned();
        let holder = join
            .instance_id
            .as_ref()
            .and_then(|it| group.of_instance(it))
            .cloned();
        match (known, holder) {
            (Some(member), Some(holder)) if holder.member_id != member.member_id => {
                group.known_instance(
                    join.instance_id.as_deref().unwrap_or_default(),
                    &join.member_id,
                )?;
                Ok(member)
            }
            (Some(member), _) => Ok(member),
            (None, Some(holder)) => Ok(self.replace(&holder, &join.member_id)),
            (None, None) => {
                group.check_size(&join.member_id, self.around.settings.n_members_max)?;
                Ok(Member::new(&join.member_id))
            }
        }
    }
}
