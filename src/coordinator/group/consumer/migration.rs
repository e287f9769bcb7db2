//! From one protocol to the other while members come and go: a classic group becomes a consumer group when the
//! first member of the new protocol joins, and is one again when the last has left.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use drave_protocol::schema::group_records::{
    ClassicMember, ClassicMemberMetadata, ClassicProtocol, GroupMetadataValue,
};

use super::draft::{Draft, Surroundings};
use super::group::ConsumerGroup;
use super::member::{Held, Member, MemberState};
use super::wire;
use crate::coordinator::decision::{TimerChange, TimerKind};
use crate::coordinator::error::GroupError;
use crate::coordinator::records::GroupRecord;

/// The type of classic groups that can become consumer groups.
const PROTOCOL_TYPE: &str = "consumer";

/// A member of a classic group on its way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Migrant {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub protocols: Vec<ClassicProtocol>,
    /// What it says by the protocol of its generation.
    pub subscription: Bytes,
    pub assignment: Bytes,
}

/// A group that came from the classic protocol, and the records that make it.
#[derive(Debug)]
pub struct Upgraded {
    pub group: ConsumerGroup,
    pub records: Vec<GroupRecord>,
    pub timers: Vec<TimerChange>,
}

impl ConsumerGroup {
    /// Everybody keeps what it had; the generation becomes the epoch.
    pub fn upgrade(
        group_id: &str,
        generation: i32,
        migrants: &[Migrant],
        around: Surroundings<'_>,
    ) -> Result<Upgraded, GroupError> {
        if !around.settings.upgrades || migrants.len() > around.settings.n_members_max {
            return Err(not_upgraded(group_id, "it may not change its protocol"));
        }
        let members = migrants.iter().map(|it| it.to_member(generation, around));
        let members: Option<Vec<Member>> = members.collect();
        let reason = "its members say what only they understand";
        let members = members.ok_or_else(|| not_upgraded(group_id, reason))?;

        let empty = Self::new(group_id);
        let mut draft = Draft::of(&empty, around);
        for member in &members {
            draft.record_member(member);
        }
        let hash = draft.group().hash_of(around.topics);
        draft.record_epoch(generation, hash);
        for member in &members {
            let target = super::member::each_held(&member.current.assigned);
            draft.record_target(&member.member_id, &target);
        }
        draft.record_assignment_epoch(generation);
        for member in &members {
            draft.record_current(&member.member_id, &member.current);
            let session = member.session_timeout(around.settings);
            draft.set_timer(&member.member_id, TimerKind::Session, session);
        }
        let group = draft.group().clone();
        let decision = draft.decide(());
        Ok(Upgraded {
            group,
            records: decision.records,
            timers: decision.timers,
        })
    }
}

fn not_upgraded(group_id: &str, reason: &str) -> GroupError {
    GroupError::NotOfProtocol {
        group: group_id.to_owned(),
        protocol: format!("consumer, and {reason}"),
    }
}

impl Migrant {
    fn to_member(&self, generation: i32, around: Surroundings<'_>) -> Option<Member> {
        let said = wire::subscription(&self.subscription)?;
        let assigned = wire::with_ids(&wire::assigned(&self.assignment)?, around.topics);
        let mut member = Member::new(&self.member_id);
        member.instance_id.clone_from(&self.instance_id);
        member.rack_id = said.rack;
        member.client_id.clone_from(&self.client_id);
        member.client_host.clone_from(&self.client_host);
        member.subscribed_names = said.topics;
        member.rebalance_timeout_ms = self.rebalance_timeout_ms;
        member.classic = Some(ClassicMemberMetadata {
            session_timeout_ms: self.session_timeout_ms,
            supported_protocols: self.protocols.clone(),
        });
        member.current.epoch = generation;
        member.current.previous_epoch = generation;
        member.current.state = MemberState::Stable;
        let since = |all: BTreeSet<i32>| all.into_iter().map(|it| (it, generation)).collect();
        let held = assigned.into_iter().map(|(topic, all)| (topic, since(all)));
        member.current.assigned = held.collect::<Held>();
        Some(member)
    }
}

impl Draft<'_> {
    /// Turns into a classic group, once all who are left speak its protocol.
    pub(super) fn downgrade_if_all_are_classic(&mut self) {
        let (group, settings) = (self.group(), self.around.settings);
        let n_members = group.n_members();
        let fits = (1..=settings.n_classic_members_max).contains(&n_members);
        if !settings.downgrades || !fits || !group.members().all(Member::is_classic) {
            return;
        }
        let Some(value) = group.to_classic(self.around) else {
            return;
        };
        let key = self.group_key();
        let sessions: Vec<_> = group
            .members()
            .map(|it| (it.member_id.clone(), it.session_timeout(settings)))
            .collect();
        for record in self.group().tombstones() {
            self.add(record);
        }
        self.add(GroupRecord::GroupMetadata(key, Some(value)));
        for (member_id, session) in sessions {
            for kind in [TimerKind::Rebalance, TimerKind::Join, TimerKind::Sync] {
                self.cancel_timer(&member_id, kind);
            }
            self.set_timer(&member_id, TimerKind::Session, session);
        }
        // What those who left had is nobody's: its members assign it among themselves.
        self.set_timer("", TimerKind::Downgraded, Duration::ZERO);
    }
}

impl ConsumerGroup {
    fn to_classic(&self, around: Surroundings<'_>) -> Option<GroupMetadataValue> {
        let first = self.members().next()?;
        let known = |name: &str| {
            let mut all = self.members().filter_map(|it| it.classic.as_ref());
            all.all(|it| it.supported_protocols.iter().any(|p| p.name == name))
        };
        let protocols = &first.classic.as_ref()?.supported_protocols;
        let protocol = protocols.iter().find(|it| known(&it.name))?.name.clone();
        let members = self.members().filter_map(|member| {
            let classic = member.classic.as_ref()?;
            let said = classic
                .supported_protocols
                .iter()
                .find(|it| it.name == protocol)?;
            Some(ClassicMember {
                member_id: member.member_id.clone(),
                group_instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                rebalance_timeout: member.rebalance_timeout_ms,
                session_timeout: classic.session_timeout_ms,
                subscription: said.metadata.clone(),
                assignment: wire::assignment(member, around.topics),
            })
        });
        Some(GroupMetadataValue {
            protocol_type: PROTOCOL_TYPE.to_owned(),
            generation: self.epoch,
            members: members.collect(),
            leader: Some(first.member_id.clone()),
            protocol: Some(protocol),
            current_state_timestamp: around.wall_ms,
        })
    }
}
