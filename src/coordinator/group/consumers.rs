//! Consumer groups among the groups of a shard.

use drave_protocol::schema::group_records::ClassicProtocol;
use drave_raft::record::ConfigResource;

use super::assignor::Assignor;
use super::classic::{CONSUMER, ClassicGroup, Join, Joined, Presence, Sync, Synced, duration_ms};
use super::consumer::{
    ClassicIdentity, ClassicJoin, ConsumerGroup, DescribedConsumerGroup, Heard, Heartbeat,
    Settings, Surroundings,
};
use super::context::Context;
use super::shard::{Group, GroupShard};
use crate::config::{GroupConfig, MigrationPolicy};
use crate::coordinator::decision::{Decision, Waiter};
use crate::coordinator::error::GroupError;
use crate::coordinator::records::GroupRecord;

/// The name of the protocol in `group.coordinator.rebalance.protocols`.
const PROTOCOL: &str = "consumer";

impl GroupShard {
    pub fn consumer_heartbeat(
        &mut self,
        said: &Heartbeat,
        cx: &Context,
    ) -> Result<Decision<Heard>, GroupError> {
        let protocols = &cx.config.group_coordinator_rebalance_protocols;
        if !protocols.iter().any(|it| it == PROTOCOL) {
            return Err(GroupError::UnsupportedProtocol(PROTOCOL.to_owned()));
        }
        let settings = settings(cx, &said.group_id);
        said.check(&settings.assignors)?;
        let around = around(cx, &settings);
        match self.groups.get_mut(&said.group_id) {
            Some(Group::Consumer(group)) => group.heartbeat(said, around),
            Some(Group::Classic(group)) if said.joins() && !group.is_idle() => {
                upgrade(group, said, around)
            }
            // Nobody is in it: what keeps it are its offsets, and they stay.
            found if said.joins() => {
                let before = found.map(|it| it.tombstones()).unwrap_or_default();
                let group = ConsumerGroup::new(&said.group_id);
                let mut decision = group.heartbeat(said, around)?;
                decision.records.splice(0..0, before);
                Ok(decision)
            }
            Some(Group::Classic(_)) => Err(not_of_consumers(&said.group_id)),
            None => Err(GroupError::UnknownGroup(said.group_id.clone())),
        }
    }

    pub fn describe_consumers(
        &self,
        group_id: &str,
        cx: &Context,
    ) -> Result<DescribedConsumerGroup, GroupError> {
        match self.group(group_id)? {
            Group::Consumer(group) => Ok(group.describe(&settings(cx, group_id))),
            Group::Classic(_) => Err(not_of_consumers(group_id)),
        }
    }

    /// Takes in a record of a consumer group; what ends something that is not there says nothing.
    pub(super) fn replay_consumers(&mut self, record: &GroupRecord, wall_ms: i64) {
        let id = record.group_id();
        let is_consumer = matches!(self.groups.get(id), Some(Group::Consumer(_)));
        if let GroupRecord::ConsumerGroupMetadata(_, None) = record {
            if is_consumer {
                self.groups.remove(id);
                self.keep_for_offsets(id, wall_ms);
            }
            return;
        }
        if !is_consumer {
            if record.is_tombstone() {
                return;
            }
            let group = Group::Consumer(ConsumerGroup::new(id));
            self.groups.insert(id.to_owned(), group);
        }
        if let Some(Group::Consumer(group)) = self.groups.get_mut(id) {
            group.replay(record);
        }
    }

    fn keep_for_offsets(&mut self, group_id: &str, wall_ms: i64) {
        if self.offsets.of_group(group_id).is_some() {
            self.begin_group(group_id, wall_ms);
        }
    }
}

/// The first member of the new protocol takes the others along.
fn upgrade(
    classic: &mut ClassicGroup,
    said: &Heartbeat,
    around: Surroundings<'_>,
) -> Result<Decision<Heard>, GroupError> {
    if !classic.is_of_consumers() {
        return Err(not_of_consumers(&said.group_id));
    }
    let (generation, migrants) = (classic.generation(), classic.migrants());
    let upgraded = ConsumerGroup::upgrade(&said.group_id, generation, &migrants, around)?;
    let mut decision = upgraded.group.heartbeat(said, around)?;
    let before = std::iter::once(classic.tombstone()).chain(upgraded.records);
    decision.records.splice(0..0, before);
    decision.timers.splice(0..0, upgraded.timers);
    decision.answers.extend(classic.dismiss());
    Ok(decision)
}

/// A member of the classic protocol joins a group of the other.
pub(super) fn join_classic(
    group: &ConsumerGroup,
    join: &Join,
    cx: &Context,
) -> Result<Decision<Joined>, GroupError> {
    let settings = settings(cx, &join.group_id);
    if join.protocol_type != CONSUMER || !(settings.upgrades || settings.downgrades) {
        return Err(GroupError::InconsistentProtocol(format!(
            "group '{}' is of protocol consumer, member '{}' of type '{}'",
            join.group_id, join.member_id, join.protocol_type
        )));
    }
    let mut member_id = join.member_id.clone();
    if member_id.is_empty() {
        let prefix = join.instance_id.as_ref().unwrap_or(&join.client_id);
        member_id = format!("{prefix}-{}", cx.random.uuid());
        if join.instance_id.is_none() && join.abilities.comes_again {
            return Err(GroupError::MemberIdRequired(member_id));
        }
    }
    let protocols = join.protocols.iter().map(|it| ClassicProtocol {
        name: it.name.clone(),
        metadata: it.metadata.clone(),
    });
    let join = ClassicJoin {
        member_id,
        instance_id: join.instance_id.clone(),
        client_id: join.client_id.clone(),
        client_host: join.client_host.clone(),
        protocols: protocols.collect(),
        session_timeout_ms: duration_ms(join.session_timeout),
        rebalance_timeout_ms: duration_ms(join.rebalance_timeout),
    };
    let decision = group.join_classic(&join, around(cx, &settings))?;
    Ok(decision.map(|joined| Joined {
        member_id: joined.member_id,
        generation: joined.generation,
        protocol_type: Some(CONSUMER.to_owned()),
        protocol_name: Some(joined.protocol_name),
        ..Joined::default()
    }))
}

pub(super) fn sync_classic(
    group: &ConsumerGroup,
    sync: &Sync,
    cx: &Context,
) -> Result<Decision<Synced>, GroupError> {
    let settings = settings(cx, group.group_id());
    let decision = group.sync_classic(identity(&sync.member), around(cx, &settings))?;
    Ok(decision.map(|assignment| Synced {
        protocol_type: sync.protocol_type.clone(),
        protocol_name: sync.protocol_name.clone(),
        assignment,
    }))
}

pub(super) fn identity(presence: &Presence) -> ClassicIdentity<'_> {
    ClassicIdentity {
        member_id: &presence.member_id,
        instance_id: presence.instance_id.as_deref(),
        generation: presence.generation,
    }
}

/// A decision whose answer goes to one who waits for it.
pub(super) fn answer_to<T: Send + 'static>(
    waiter: Waiter<T>,
    decided: Result<Decision<T>, GroupError>,
) -> Decision<()> {
    let mut out = Decision::default();
    let answer = decided.map(|it| {
        out.records = it.records;
        out.timers = it.timers;
        out.answers = it.answers;
        it.response
    });
    out.answers.push(waiter.with(answer));
    out
}

fn not_of_consumers(group_id: &str) -> GroupError {
    GroupError::NotOfProtocol {
        group: group_id.to_owned(),
        protocol: PROTOCOL.to_owned(),
    }
}

/// What is in force for the group, as was agreed up to now.
pub(super) fn settings(cx: &Context, group_id: &str) -> Settings {
    let config = &cx.config;
    let agreed = ConfigResource::Group(group_id.to_owned());
    let overrides = cx.view.entries(&agreed);
    // Every heartbeat comes by here, and mostly nothing was agreed for its group alone.
    let of_group = (!overrides.is_empty()).then(|| GroupConfig::effective(config, &overrides));
    let (session_timeout, heartbeat_interval) = of_group.map_or(
        (
            config.group_consumer_session_timeout,
            config.group_consumer_heartbeat_interval,
        ),
        |it| (it.session_timeout, it.heartbeat_interval),
    );
    let assignors = config.group_consumer_assignors.iter();
    Settings {
        session_timeout,
        heartbeat_interval,
        n_members_max: config.group_consumer_max_size,
        assignors: assignors.filter_map(|it| Assignor::named(it)).collect(),
        upgrades: matches!(
            config.group_consumer_migration_policy,
            MigrationPolicy::Bidirectional | MigrationPolicy::Upgrade
        ),
        downgrades: matches!(
            config.group_consumer_migration_policy,
            MigrationPolicy::Bidirectional | MigrationPolicy::Downgrade
        ),
        n_classic_members_max: config.group_max_size,
    }
}

pub(super) fn around<'a>(cx: &'a Context, settings: &'a Settings) -> Surroundings<'a> {
    Surroundings {
        now: cx.now,
        wall_ms: cx.wall_ms,
        topics: &cx.view,
        settings,
    }
}
