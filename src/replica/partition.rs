//! One partition on this broker: its log, its role, and whoever waits on it, behind one lock.
//!
//! Invariants: the lock is never held across an await; writes to the page cache happen under it
//! (inline: cheaper than handing them to anyone), syncs never do; `high_watermark` is at most the
//! log end, in every role; a role change fails what waited on the old role.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use drave_log::planted::{Fault, is_planted};
use drave_log::{LogConfig, NotedOffsets, PartitionLog, validate};
use drave_protocol::ids::{
    BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch, TopicIdPartition, TopicPartition,
};
use drave_raft::image::PartitionRegistration;
use drave_raft::record::LeaderRecovery;
use parking_lot::{Mutex, MutexGuard};
use tracing::{debug, error, info, warn};

use crate::config::{BrokerConfig, TopicConfig};

use crate::tasks;

use super::error::{AppendError, NotLeading};
use super::homes::Home;
use super::leader::{Effect, Event, Leader, Proposal, Reign};
use super::offline::{Cure, Offline};
use super::opening::OpenLog;
use super::purgatory::{Change, CommitTicket, Tickets, Watchers};
use super::signals::Signals;
use super::syncing::Durability;
use super::throttle::Paced;

/// When a produce is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    None,
    Leader,
    All,
}

/// A successful append, first stage.
#[derive(Debug)]
pub struct Appended {
    pub base_offset: Offset,
    /// Set when the topic stamps records with the broker's time.
    pub log_append_time_ms: Option<i64>,
    pub log_start_offset: Offset,
    /// For `acks=all`: the second stage.
    pub ticket: Option<CommitTicket>,
}

/// What a topic's configuration means to one replica.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    pub min_isr: usize,
    pub durability: Durability,
    pub lag_max: Duration,
    pub paced: Paced,
}

impl Policy {
    pub(super) fn of(topic: &TopicConfig, broker: &BrokerConfig, partition: i32) -> Self {
        Self {
            paced: Paced::of(topic, partition, broker.node_id),
            min_isr: usize::try_from(topic.min_insync_replicas).unwrap_or(1),
            durability: Durability::of(topic),
            lag_max: broker.replica_lag_time_max,
        }
    }
}

#[derive(Debug)]
pub struct Partition {
    id: TopicIdPartition,
    name: TopicPartition,
    node: NodeId,
    home: Arc<Home>,
    pub(super) signals: Arc<Signals>,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) log: PartitionLog,
    pub(super) role: Role,
    pub(super) policy: Policy,
    pub(super) follower_high_watermark: Offset,
    /// What the checkpoint says of the log's start: no crash lowers it.
    pub(super) noted_log_start: Offset,
    pub(super) tickets: Tickets,
    pub(super) watchers: Watchers,
    /// It is marked to be synced at that time.
    pub(super) sync_by: Option<Instant>,
    /// It was left out of a fetch, for it is not on disk as far as it goes.
    pub(super) is_awaited_by_fetcher: bool,
    pub(super) failure: Option<Offline>,
    /// Why its log is not compacted any more.
    pub(super) uncleanable: Option<String>,
    /// Whether damage found in this log is to be noted on disk.
    pub(super) has_unnoted_damage: bool,
}

#[derive(Debug)]
pub(super) enum Role {
    /// Opened, not yet told by the image.
    Idle,
    Leader(Leader),
    Follower {
        leader: Option<NodeId>,
        leader_epoch: LeaderEpoch,
    },
}

/// How roles are told of: each as it is taken, or together by who gives them, of whom there are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    Each,
    Together,
}

impl Role {
    fn leader_epoch(&self) -> LeaderEpoch {
        match self {
            Self::Idle => LeaderEpoch::UNKNOWN,
            Self::Leader(leader) => leader.leader_epoch(),
            Self::Follower { leader_epoch, .. } => *leader_epoch,
        }
    }
}

impl Partition {
    pub(super) fn new(
        id: TopicIdPartition,
        name: TopicPartition,
        node: NodeId,
        open: OpenLog,
        (policy, signals): (Policy, Arc<Signals>),
    ) -> Self {
        let OpenLog { home, log, noted } = open;
        let known = noted
            .high_watermark
            .max(log.log_start_offset())
            .min(log.log_end_offset());
        let state = State {
            noted_log_start: noted.log_start_offset,
            log,
            role: Role::Idle,
            policy,
            follower_high_watermark: known,
            tickets: Tickets::default(),
            watchers: Watchers::default(),
            sync_by: None,
            is_awaited_by_fetcher: false,
            failure: None,
            uncleanable: None,
            has_unnoted_damage: false,
        };
        Self {
            id,
            name,
            node,
            home,
            signals,
            state: Mutex::new(state),
        }
    }

    pub fn id(&self) -> TopicIdPartition {
        self.id
    }

    pub fn name(&self) -> &TopicPartition {
        &self.name
    }

    pub(super) fn leader_epoch(&self) -> LeaderEpoch {
        self.state.lock().role.leader_epoch()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    // ---- roles -------------------------------------------------------------------------------

    /// Takes the role the image gives this broker. Older and repeated news changes nothing.
    pub(super) fn take_role(
        self: &Arc<Self>,
        now: Instant,
        registration: &PartitionRegistration,
        telling: Telling,
    ) {
        let mut state = self.state.lock();
        if registration.leader_epoch < state.role.leader_epoch() {
            return;
        }
        let same_epoch = registration.leader_epoch == state.role.leader_epoch();
        if registration.leader == Some(self.node) {
            if same_epoch && matches!(state.role, Role::Leader(_)) {
                self.step(&mut state, isr_committed(registration), now);
            } else {
                self.become_leader(&mut state, registration, now, telling);
            }
        } else {
            self.become_follower(&mut state, registration, telling);
        }
    }

    fn become_leader(
        self: &Arc<Self>,
        state: &mut State,
        to: &PartitionRegistration,
        now: Instant,
        telling: Telling,
    ) {
        if let Err(error) = state.log.start_leader_epoch(to.leader_epoch) {
            self.fail(state, &error);
            return;
        }
        let high_watermark = state.high_watermark();
        let log_end_offset = state.log.log_end_offset();
        let mut leader = Leader::new(
            Reign {
                node: self.node,
                leader_epoch: to.leader_epoch,
                partition_epoch: to.partition_epoch,
                replicas: to.replicas.clone(),
                replication_factor: to.replication_factor(),
                isr: to.isr.clone(),
                recovery: to.recovery,
                min_isr: state.policy.min_isr,
                log_end_offset,
                counted_end: state.counted_end(),
                high_watermark,
                lag_max: state.policy.lag_max,
            },
            now,
        );
        // A lone replica commits what it holds at once; nobody's fetch will move it.
        let mut effects = Vec::new();
        leader.begin(&mut effects);
        leader.step(Event::Appended { log_end_offset }, now, &mut effects);
        state.role = Role::Leader(leader);
        state.watchers.tell(Change::Role);
        self.run_effects(state, effects);
        self.note_dirty(state, now);
        if to.recovery == LeaderRecovery::Recovering {
            warn!(
                partition = %self.name,
                leader_epoch = %to.leader_epoch,
                %log_end_offset,
                "leads uncleanly: acked records from its log end on are lost"
            );
        }
        let leader_epoch = to.leader_epoch;
        if telling == Telling::Each {
            info!(partition = %self.name, %leader_epoch, %log_end_offset, %high_watermark, "became leader");
        } else {
            debug!(partition = %self.name, %leader_epoch, %log_end_offset, %high_watermark, "became leader");
        }
    }

    fn become_follower(&self, state: &mut State, to: &PartitionRegistration, telling: Telling) {
        let is_news =
            to.leader_epoch > state.role.leader_epoch() || matches!(state.role, Role::Leader(_));
        state.follower_high_watermark = state.high_watermark();
        state.role = Role::Follower {
            leader: to.leader,
            leader_epoch: to.leader_epoch,
        };
        if is_news && is_planted(Fault::TruncateToHighWatermark) {
            drop(state.log.truncate_to(state.follower_high_watermark));
        }
        if is_news {
            state.tickets.fail_all(|| {
                AppendError::NotLeading(NotLeading::Elsewhere {
                    partition: self.name.clone(),
                    leader: to.leader,
                    leader_epoch: to.leader_epoch,
                })
            });
            state.watchers.tell(Change::Role);
            let (leader, leader_epoch) = (to.leader, to.leader_epoch);
            let log_end_offset = state.log.log_end_offset();
            if telling == Telling::Each {
                info!(partition = %self.name, ?leader, %leader_epoch, %log_end_offset, "became follower");
            } else {
                debug!(partition = %self.name, ?leader, %leader_epoch, %log_end_offset, "became follower");
            }
        }
    }

    pub(super) fn set_policy(self: &Arc<Self>, now: Instant, policy: Policy, log: LogConfig) {
        let mut state = self.state.lock();
        self.unmark(&mut state);
        state.policy = policy;
        state.log.set_config(log);
        self.note_dirty(&mut state, now);
        if matches!(state.role, Role::Leader(_)) {
            let min_isr = policy.min_isr;
            self.step(&mut state, Event::MinIsrChanged { min_isr }, now);
        }
    }

    /// The topic is gone, or this broker no longer holds a replica: everyone waiting is told. Returns the
    /// folder that is to be removed.
    pub(super) fn retire(&self) -> Option<PathBuf> {
        let mut state = self.state.lock();
        state
            .tickets
            .fail_all(|| AppendError::UnknownPartition(self.id));
        state.watchers.tell(Change::Role);
        state.role = Role::Idle;
        state.failure.get_or_insert_with(|| Offline {
            reason: "deleted".to_owned(),
            cure: Cure::None,
        });
        let doomed = state.log.doom();
        doomed
            .inspect_err(|error| {
                error!(partition = %self.name, %error, "a deleted partition's files could not be removed");
            })
            .ok()
    }

    // ---- the leader's side -------------------------------------------------------------------

    /// Stage one of a produce: validates, stamps and writes, in arrival order.
    pub(super) fn append(
        self: &Arc<Self>,
        records: BytesMut,
        acks: Acks,
        only_in: Option<LeaderEpoch>,
        (now, wall_ms): (Instant, i64),
    ) -> Result<Appended, AppendError> {
        let mut state = self.state.lock();
        // Others of its directory may have failed, and this one not been told yet.
        self.goes_with_its_directory(&mut state);
        self.appending(&state, acks, only_in)?;
        if self.home.space.is_full() {
            return Err(self.rejected(&mut state, drave_log::AppendError::Full));
        }
        let config = state.log.config();
        let validated = if validate::takes_long(&records, config) {
            let config = config.clone();
            // Nobody else waits for this partition meanwhile, nor for this thread.
            MutexGuard::unlocked(&mut state, || {
                tasks::in_place(|| validate::validate(records, &config, wall_ms))
            })
        } else {
            validate::validate(records, config, wall_ms)
        };
        let validated = validated.map_err(|source| self.rejected(&mut state, source))?;
        let leader_epoch = self.appending(&state, acks, only_in)?;
        let outcome = state.log.append_validated(validated, leader_epoch, wall_ms);
        let written = outcome.map_err(|source| self.rejected(&mut state, source))?;
        if written.is_duplicate {
            return Ok(self.duplicate(&mut state, &written, acks));
        }
        let waits = acks == Acks::All && !is_planted(Fault::AckBeforeReplication);
        let ticket = waits.then(|| state.tickets.issue(&self.name, written.last_offset));
        let log_end_offset = state.log.log_end_offset();
        self.step(&mut state, Event::Appended { log_end_offset }, now);
        self.note_dirty(&mut state, now);
        if state.policy.durability != Durability::Disk {
            let upto = log_end_offset;
            self.step(&mut state, Event::Durable { upto }, now);
        }
        state.watchers.tell(Change::Appended);
        Ok(Appended {
            base_offset: written.base_offset,
            log_append_time_ms: written.log_append_time_ms,
            log_start_offset: state.log.log_start_offset(),
            ticket,
        })
    }

    /// The epoch to append in, if we lead in the one that is meant, and enough are in sync.
    pub(super) fn appending(
        &self,
        state: &State,
        acks: Acks,
        only_in: Option<LeaderEpoch>,
    ) -> Result<LeaderEpoch, AppendError> {
        let leader = state.leading(&self.name)?;
        if only_in.is_some_and(|it| it != leader.leader_epoch()) {
            return Err(AppendError::NotLeading(NotLeading::Elsewhere {
                partition: self.name.clone(),
                leader: Some(self.node),
                leader_epoch: leader.leader_epoch(),
            }));
        }
        if acks == Acks::All && !leader.has_min_isr() {
            return Err(AppendError::NotEnoughReplicas {
                partition: self.name.clone(),
                in_sync: leader.isr().len(),
                required: leader.min_isr(),
            });
        }
        Ok(leader.leader_epoch())
    }

    /// Nothing was appended: the answer waits for the batch that was, until that is committed.
    fn duplicate(&self, state: &mut State, original: &drave_log::Appended, acks: Acks) -> Appended {
        let is_committed = original.last_offset < state.high_watermark();
        let waits = acks == Acks::All && !is_committed;
        Appended {
            base_offset: original.base_offset,
            log_append_time_ms: original.log_append_time_ms,
            log_start_offset: state.log.log_start_offset(),
            ticket: waits.then(|| state.tickets.issue(&self.name, original.last_offset)),
        }
    }

    fn rejected(&self, state: &mut State, source: drave_log::AppendError) -> AppendError {
        if let drave_log::AppendError::Storage(error) = &source {
            self.fail(state, error);
        } else if matches!(source, drave_log::AppendError::Full) {
            self.home.found_full();
        }
        AppendError::Rejected {
            partition: self.name.clone(),
            source,
        }
    }

    /// Runs one event through the leader, if we lead, and carries out what follows.
    pub(super) fn step(self: &Arc<Self>, state: &mut State, event: Event, now: Instant) {
        let Role::Leader(leader) = &mut state.role else {
            return;
        };
        let mut effects = Vec::new();
        leader.step(event, now, &mut effects);
        self.run_effects(state, effects);
    }

    fn run_effects(self: &Arc<Self>, state: &mut State, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::AdvanceHighWatermark { to } => {
                    state.log.high_watermark_moved(to);
                    state.tickets.complete_below(to);
                    state.watchers.tell(Change::HighWatermark);
                }
                Effect::FollowerLetGo => state.watchers.tell(Change::FollowerLetGo),
                Effect::LeftIsr => state.watchers.tell(Change::LeftIsr),
                Effect::ProposeIsr(proposal) => self.signals.propose(self, proposal),
                Effect::FellBelowMinIsr { in_sync, required } => {
                    state
                        .tickets
                        .fail_all(|| AppendError::NotEnoughReplicasAfterAppend {
                            partition: self.name.clone(),
                            in_sync,
                            required,
                        });
                }
            }
        }
    }

    pub(super) fn tick(self: &Arc<Self>, now: Instant) {
        let mut state = self.state.lock();
        self.step(&mut state, Event::Tick, now);
    }

    /// The controller's word on a proposal; a new state also comes through the image.
    pub(super) fn isr_decided(
        self: &Arc<Self>,
        now: Instant,
        registration: &PartitionRegistration,
    ) {
        let mut state = self.state.lock();
        if registration.leader_epoch == state.role.leader_epoch() {
            self.step(&mut state, isr_committed(registration), now);
        }
    }

    /// Whether `proposal` is still what this leader waits for.
    pub(super) fn still_proposes(&self, proposal: &Proposal) -> bool {
        let state = self.state.lock();
        matches!(&state.role, Role::Leader(leader)
            if leader.leader_epoch() == proposal.leader_epoch
                && leader.partition_epoch() == proposal.partition_epoch)
    }

    pub(super) fn isr_refused(self: &Arc<Self>, now: Instant, partition_epoch: PartitionEpoch) {
        let mut state = self.state.lock();
        self.step(&mut state, Event::ProposalRefused { partition_epoch }, now);
    }

    // ---- its place on disk --------------------------------------------------------------------

    pub(super) fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// Writes down who led when what is on disk was written, where that is still to be done. Blocks.
    pub(super) fn write_down_epochs(&self) {
        let mut state = self.state.lock();
        if state.failure.is_none() {
            // What is left over costs the next start a longer scan.
            state.log.recovery_point_to_note();
        }
    }

    pub(super) fn has_unwritten_epochs(&self) -> bool {
        self.state.lock().log.has_unwritten_epochs()
    }

    /// What a restart begins with.
    pub(super) fn offsets_to_note(&self) -> NotedOffsets {
        let mut state = self.state.lock();
        NotedOffsets {
            recovery_point: state.log.recovery_point_to_note(),
            log_start_offset: state.log.log_start_offset(),
            high_watermark: state.high_watermark(),
            first_dirty_offset: if state.log.config().cleanup.compact {
                state.log.first_dirty_offset()
            } else {
                Offset::ZERO
            },
        }
    }
}

impl State {
    pub(super) fn high_watermark(&self) -> Offset {
        match &self.role {
            Role::Leader(leader) => leader.high_watermark(),
            Role::Follower { .. } | Role::Idle => self.follower_high_watermark,
        }
    }

    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_ref().map(|it| it.reason.as_str())
    }

    /// Who leads here, if we do and the log is well.
    pub(super) fn leading(&self, partition: &TopicPartition) -> Result<&Leader, NotLeading> {
        if let Some(reason) = self.failure() {
            return Err(NotLeading::Offline {
                partition: partition.clone(),
                reason: reason.to_owned(),
            });
        }
        let (leader, leader_epoch) = match &self.role {
            Role::Leader(leader) => return Ok(leader),
            Role::Follower {
                leader,
                leader_epoch,
            } => (*leader, *leader_epoch),
            Role::Idle => (None, LeaderEpoch::UNKNOWN),
        };
        Err(NotLeading::Elsewhere {
            partition: partition.clone(),
            leader,
            leader_epoch,
        })
    }
}

fn isr_committed(registration: &PartitionRegistration) -> Event {
    Event::IsrCommitted {
        partition_epoch: registration.partition_epoch,
        isr: registration.isr.clone(),
        replicas: registration.replicas.clone(),
        replication_factor: registration.replication_factor(),
    }
}

/// A follower by its registration, as it says in its fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerId {
    pub node: NodeId,
    pub broker_epoch: BrokerEpoch,
}
