//! One replica of one partition without the loops around it, for simulation: whoever drives it brings
//! time, network and disk, and decides when each of the loops would have had its turn.
//!
//! What it calls is what the loops call; nothing is decided here that is decided elsewhere. A node uses
//! [`Replicas`](super::Replicas).

mod moving;
mod remembering;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use drave_log::fs::FileSystem;
use drave_log::{LogConfig, LogDir, LogError, SyncRequest, Synced};
use drave_protocol::ErrorCode;
use drave_protocol::ids::{
    BrokerEpoch, DirectoryId, LeaderEpoch, NodeId, Offset, TopicIdPartition, TopicPartition,
};
use drave_raft::image::MetadataImage;

use crate::cluster::lease::BrokerLease;
use crate::cluster::rpc::{AlterPartition, AlteredPartition, OfflineReplicas};
use crate::config::{BrokerConfig, TopicConfig};

use super::claims;
use super::deletion::DeleteBefore;
use super::error::{AppendError, DeletionError, FetchError};
use super::fetch::ReadsFrom;
use super::follower::{self, Action, Answer, Placement, Position};
use super::following::FetchedError;
use super::homes::{Home, Homes};
use super::isr_change::{self, Outcome};
use super::leader::Proposal;
use super::log_config::log_config;
use super::offline::{self, Cure, Offline};
use super::opening::{OpenLog, Opening};
use super::partition::{Acks, Appended, FollowerId, Partition, Policy, Telling};
use super::read::{FetchPartition, Fetched, Isolation, ListedOffset, OffsetQuery};
use super::roster::Roster;
use super::signals::Signals;

pub use super::view::View;

/// What all processes of one simulated cluster are told.
#[derive(Clone, Debug)]
pub struct Settings {
    id: TopicIdPartition,
    name: TopicPartition,
    policy: Policy,
    log: LogConfig,
}

impl Settings {
    /// Segments may be smaller than a node's configuration allows.
    pub fn new(
        (id, name): (TopicIdPartition, TopicPartition),
        broker: &BrokerConfig,
        topic: &TopicConfig,
        segment_bytes: u64,
    ) -> Self {
        Self {
            id,
            name,
            policy: Policy::of(topic, broker, id.partition),
            log: LogConfig {
                segment_bytes,
                ..log_config(topic, broker)
            },
        }
    }
}

/// A replica in one process of a broker.
#[derive(Debug)]
pub struct Solo {
    node: NodeId,
    settings: Settings,
    dir: PathBuf,
    homes: Homes,
    signals: Arc<Signals>,
    lease: BrokerLease,
    partition: Option<Arc<Partition>>,
    unopened: Option<Offline>,
    /// Whose sync is under way.
    syncing: Option<Arc<Partition>>,
    n_opened: u64,
    n_begun_anew: u64,
    n_given_up: u64,
    /// Folders out of the way, to be removed when there is time.
    doomed: Vec<PathBuf>,
    was_current: bool,
}

/// What a follower asked its leader, to hold the answer against.
#[derive(Clone, Copy, Debug)]
pub struct Asked(Position);

/// What is left to do before the next fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Fetch,
    /// Note where the log starts now.
    NoteLogStart,
    /// Ask the leader where its log begins and ends.
    AskBounds,
    Rest,
}

/// A proposal on its way to the controller.
#[derive(Debug)]
pub struct Proposed {
    partition: Arc<Partition>,
    proposal: Proposal,
}

/// There are no loops here that would take what partitions signal.
impl Drop for Solo {
    fn drop(&mut self) {
        self.signals.clear();
    }
}

impl Solo {
    /// A process starts on what its disk holds.
    pub fn start(
        (node, directory): (NodeId, DirectoryId),
        fs: &Arc<dyn FileSystem>,
        dir: &Path,
        settings: Settings,
        lease: BrokerLease,
    ) -> Result<Self, LogError> {
        let home = Home::open(LogDir::open(Arc::clone(fs), dir)?, directory, 0)?;
        let mut roster = Roster::open(Arc::clone(fs), dir)?;
        roster.found(&[(directory, dir.to_owned())])?;
        Ok(Self {
            node,
            settings,
            dir: dir.to_owned(),
            homes: Homes::new(vec![home], Vec::new(), roster),
            signals: Arc::default(),
            lease,
            partition: None,
            unopened: None,
            syncing: None,
            n_opened: 0,
            n_begun_anew: 0,
            n_given_up: 0,
            doomed: Vec::new(),
            was_current: false,
        })
    }

    /// The broker epoch of the last run, if it ended cleanly. To be called once, first.
    pub fn take_clean_shutdown(&self) -> Result<Option<BrokerEpoch>, LogError> {
        self.home().dir.take_clean_shutdown()
    }

    fn home(&self) -> &Arc<Home> {
        self.homes.present().first().expect("it has one directory")
    }

    // ---- the image ---------------------------------------------------------------------------

    /// What the pass from image to roles does.
    pub fn follow(&mut self, image: &MetadataImage, now: Instant) {
        let is_current = claims::is_current(self.lease.broker_epoch(), image);
        let Some(registration) = image.partition(self.settings.id) else {
            return;
        };
        let is_first_current = is_current && !self.was_current;
        self.was_current |= is_current;
        if !registration.replicas.contains(&self.node) {
            if claims::is_taken_away(self.node, is_current, registration) {
                self.give_up(is_first_current);
            }
            return;
        }
        if self.partition.is_none() && self.may_open() {
            self.open(is_current);
        }
        if let Some(partition) = &self.partition
            && claims::may_take_role(self.node, is_current, registration)
        {
            partition.take_role(now, registration, Telling::Each);
        }
        let is_known_offline = image.is_offline(self.node, self.settings.id);
        if is_current && is_known_offline && self.cure() == Some(Cure::Refetch) {
            let leader = claims::may_begin_anew(self.node, registration);
            if leader.is_some() {
                self.begin_anew();
                if let Some(partition) = &self.partition {
                    partition.take_role(now, registration, Telling::Each);
                }
            }
        }
    }

    fn may_open(&self) -> bool {
        self.unopened
            .as_ref()
            .is_none_or(|it| it.cure == Cure::Retry)
    }

    fn open(&mut self, is_current: bool) {
        let opening = Opening::new(&self.homes, is_current);
        let log = self.settings.log.clone();
        match opening.open(self.settings.id, &self.settings.name, log) {
            Ok(Some(open)) => self.insert(open),
            Ok(None) => {}
            Err(error) => self.could_not_open(error.to_string(), error.cure()),
        }
    }

    fn begin_anew(&mut self) {
        if let Some(failed) = self.partition.take() {
            failed.step_aside();
        }
        let opening = Opening::new(&self.homes, true);
        let log = self.settings.log.clone();
        // Where it cannot be opened the old one may be gone all the same.
        self.n_begun_anew += 1;
        match opening.begin_anew(self.settings.id, &self.settings.name, log) {
            Ok(open) => self.insert(open),
            Err(error) => self.could_not_open(error.to_string(), error.cure()),
        }
    }

    fn could_not_open(&mut self, reason: String, cure: Cure) {
        self.unopened = Some(Offline { reason, cure });
    }

    fn insert(&mut self, open: OpenLog) {
        let placed = (self.settings.id, open.home.directory());
        if let Err(error) = self.homes.roster.lock().place(&[placed]) {
            self.home().fail(&error.to_string());
        }
        self.unopened = None;
        self.n_opened += 1;
        self.partition = Some(Arc::new(Partition::new(
            self.settings.id,
            self.settings.name.clone(),
            self.node,
            open,
            (self.settings.policy, Arc::clone(&self.signals)),
        )));
    }

    /// Tries again what may be tried again.
    pub fn retry(&mut self, image: &MetadataImage, now: Instant) {
        if self.cure() != Some(Cure::Retry) {
            return;
        }
        if let Some(failed) = self.partition.take() {
            failed.step_aside();
        }
        self.open(claims::is_current(self.lease.broker_epoch(), image));
        self.follow(image, now);
    }

    fn offline(&self) -> Option<Offline> {
        match &self.partition {
            Some(partition) => partition.offline(),
            None => self.unopened.clone(),
        }
    }

    fn cure(&self) -> Option<Cure> {
        self.offline().map(|it| it.cure)
    }

    /// Takes along what lies in a directory that failed, and notes damage on disk. Returns why the
    /// process must end, if it must.
    pub fn settle(&self) -> Option<String> {
        let home = self.home();
        let partition = self.partition.as_ref();
        if let (Some(reason), Some(partition)) = (home.failure(), partition) {
            partition.take_offline(reason, Cure::None);
        }
        if let Some(reason) = partition.and_then(|it| it.take_unnoted_damage())
            && home.failure().is_none()
        {
            // Not noted, it is found again when it is read again.
            let _ = home.dir.mark_corrupt(&self.settings.name, &reason);
        }
        self.homes.fatal(&self.dir)
    }

    /// What the controller is to be told of this broker's replicas, if the image does not show it.
    pub fn offline_report(&self, image: &MetadataImage) -> Option<OfflineReplicas> {
        let offline = self.offline().map(|_| self.settings.id);
        let offline: BTreeSet<TopicIdPartition> = offline.into_iter().collect();
        offline::difference((self.node, self.lease.broker_epoch()), image, &offline)
    }

    // ---- leading -----------------------------------------------------------------------------

    pub fn append(
        &self,
        records: BytesMut,
        acks: Acks,
        now: (Instant, i64),
    ) -> Result<Appended, AppendError> {
        match &self.partition {
            Some(partition) => partition.append_under(&self.lease, records, acks, now),
            None => Err(AppendError::UnknownPartition(self.settings.id)),
        }
    }

    fn known(&self) -> Result<&Arc<Partition>, FetchError> {
        let partition = self.partition.as_ref();
        partition.ok_or(FetchError::UnknownPartition(self.settings.id))
    }

    pub fn read_as_consumer(&self, fetch: &FetchPartition) -> Result<Fetched, FetchError> {
        self.known()?
            .read_as_consumer(fetch, Isolation::ReadUncommitted, ReadsFrom::Leader)
    }

    pub fn read_as_follower(
        &self,
        fetch: &FetchPartition,
        follower: FollowerId,
        image: &MetadataImage,
        now: Instant,
    ) -> Result<Fetched, FetchError> {
        let partition = self.known()?;
        if !follower.is_registered(image) {
            return Err(FetchError::NotAReplica {
                partition: partition.name().clone(),
                follower: follower.node,
            });
        }
        let is_eligible = follower.is_eligible(image);
        partition.read_as_follower(fetch, (follower, is_eligible), now)
    }

    /// Where a new consumer would begin.
    pub fn latest(&self) -> Result<Option<ListedOffset>, FetchError> {
        self.known()?
            .list_offset(OffsetQuery::Latest, Isolation::ReadUncommitted, None)
    }

    /// The log start and LEO of the leader of `leader_epoch`.
    pub fn bounds(&self, leader_epoch: LeaderEpoch) -> Option<(Offset, Offset)> {
        let (partition, epoch) = (self.partition.as_ref()?, Some(leader_epoch));
        let isolation = Isolation::ReadUncommitted;
        let start = partition.list_offset(OffsetQuery::Earliest, isolation, epoch);
        let (_, end) = partition.epoch_end_offset(epoch, leader_epoch).ok()??;
        Some((start.ok()??.offset, end))
    }

    pub fn tick(&self, now: Instant) {
        if let Some(partition) = &self.partition {
            partition.tick(now);
        }
    }

    /// What waits to be proposed, as the controller is asked it.
    pub fn proposals(&self) -> Option<(Proposed, AlterPartition)> {
        let broker_epoch = self.lease.broker_epoch()?;
        let proposals = self.signals.drain_proposals();
        if proposals.is_empty() {
            return None;
        }
        let request = isr_change::to_request(self.node, broker_epoch, &proposals);
        let (partition, proposal) = proposals.into_iter().next()?;
        let proposed = Proposed {
            partition,
            proposal,
        };
        Some((proposed, request))
    }

    /// The controller's answer. Returns what is to be proposed again a little later.
    pub fn decided(
        &self,
        proposed: Proposed,
        answers: &[AlteredPartition],
        now: Instant,
    ) -> Option<Proposed> {
        let outcome = isr_change::tell(&proposed.partition, &proposed.proposal, answers, now);
        (outcome == Outcome::Open).then_some(proposed)
    }

    pub fn propose_again(&self, proposed: Proposed) {
        let Proposed {
            partition,
            proposal,
        } = proposed;
        if partition.still_proposes(&proposal) {
            self.signals.propose(&partition, proposal);
        }
    }

    /// The first half of a deletion: what is below is not read here any more. A crash brings it back until
    /// [`Self::note_log_start`]. Returns where the log is to start everywhere.
    pub fn delete_before(
        &self,
        before: DeleteBefore,
        now: Instant,
    ) -> Result<Offset, DeletionError> {
        match &self.partition {
            Some(partition) => partition.delete_under(&self.lease, before, now),
            None => Err(DeletionError::UnknownPartition(self.settings.id)),
        }
    }

    /// No replica that lives or may lead has anything below; unknown where we do not lead.
    pub fn low_watermark(&self, image: &MetadataImage) -> Option<Offset> {
        self.partition.as_ref()?.low_watermark(image).ok()
    }

    // ---- following ---------------------------------------------------------------------------

    /// The next fetch from `leader`, if there is anything to fetch there.
    pub fn ask(&self, leader: NodeId) -> Option<(Asked, FetchPartition)> {
        let position = self.partition.as_ref()?.position(leader)?;
        let fetch = FetchPartition {
            partition: self.settings.id,
            current_leader_epoch: Some(position.leader_epoch),
            fetch_offset: position.fetch_offset,
            last_fetched_epoch: position.last_fetched_epoch,
            log_start_offset: Some(position.log_start_offset),
            max_bytes: usize::MAX,
        };
        Some((Asked(position), fetch))
    }

    /// What a fetch loop does with an answer: its bounds and the bytes it sent, or its error.
    pub fn take(
        &self,
        asked: &Asked,
        answer: Result<(&Fetched, Bytes), ErrorCode>,
        (now, wall_ms): (Instant, i64),
    ) -> Then {
        let Some(partition) = &self.partition else {
            return Then::Rest;
        };
        let position = &asked.0;
        match follower::decide(on_the_wire(answer)) {
            Action::Append { records, leader } => {
                match partition.append_fetched(position, &records, leader, wall_ms) {
                    Ok(taken) => {
                        if taken.has_more_to_sync {
                            // The next fetch waits until it is on disk, where that counts.
                            partition.note_appended(now);
                        }
                        if taken.has_more_to_note {
                            Then::NoteLogStart
                        } else {
                            Then::Fetch
                        }
                    }
                    Err(_) => Then::Rest,
                }
            }
            Action::Truncate {
                diverging,
                leader_start,
            } => moved(&partition.truncate_diverging(position, diverging, leader_start)),
            Action::AskBounds => Then::AskBounds,
            Action::AwaitMetadata | Action::BackOff { .. } => Then::Rest,
        }
    }

    /// The leader's bounds, after an answer that said `AskBounds`.
    pub fn place(&self, asked: &Asked, bounds: Option<(Offset, Offset)>) -> Then {
        let (Some(partition), Some(bounds)) = (&self.partition, bounds) else {
            return Then::Rest;
        };
        let position = &asked.0;
        moved(
            &match follower::place_in_bounds(position.fetch_offset, bounds) {
                Placement::TruncateTo(end) => partition.truncate_to_leader_end(position, end),
                Placement::RestartAt(start) => partition.restart_at(position, start),
                Placement::Stay => Ok(()),
            },
        )
    }

    // ---- the disk ----------------------------------------------------------------------------

    /// What the group commit syncs next, if anything waits; between it and `synced` anything may happen.
    pub fn begin_sync(&mut self, now: Instant) -> Option<SyncRequest> {
        let unsynced = &self.home().unsynced;
        unsynced.mark_due(now);
        let first = unsynced.begin();
        self.sync_from(first, now)
    }

    fn sync_from(&mut self, mut at: Option<Arc<Partition>>, now: Instant) -> Option<SyncRequest> {
        while let Some(partition) = at {
            if let Some(request) = partition.prepare_sync(now) {
                self.syncing = Some(partition);
                return Some(request);
            }
            at = self.home().unsynced.go_on(&partition);
        }
        None
    }

    /// Takes note of a sync. Returns what is to be synced next.
    pub fn synced(
        &mut self,
        outcome: Result<Synced, LogError>,
        now: Instant,
    ) -> Option<SyncRequest> {
        // It may be held here no longer, or another log by now.
        let done = self.syncing.take()?;
        done.synced(outcome, now);
        let next = self.home().unsynced.go_on(&done);
        self.sync_from(next, now)
    }

    // ---- looking on --------------------------------------------------------------------------

    /// Why it is offline, if it is.
    pub fn trouble(&self) -> Option<String> {
        self.offline().map(|it| it.reason)
    }

    /// How often this process opened a log, and how often it began one anew, or tried.
    pub fn n_opened(&self) -> (u64, u64) {
        (self.n_opened, self.n_begun_anew)
    }

    pub fn view(&self) -> Option<View> {
        Some(self.partition.as_ref()?.view())
    }

    /// The records from `from`, or the log's start, to its end, committed or not; none of a log that cannot be read.
    pub fn records_from(&self, from: Offset) -> Bytes {
        let partition = self.partition.as_ref();
        partition.map_or_else(Bytes::new, |it| it.records_from(from))
    }

    /// Leader epochs, each with the offset it started at.
    pub fn leader_epochs(&self) -> Vec<(LeaderEpoch, Offset)> {
        let partition = self.partition.as_ref();
        partition.map_or_else(Vec::new, |it| it.leader_epochs())
    }
}

/// An answer as it arrives, without the bytes of its frame.
fn on_the_wire(answer: Result<(&Fetched, Bytes), ErrorCode>) -> Answer {
    match answer {
        Ok((fetched, records)) => Answer {
            error: ErrorCode::None,
            high_watermark: fetched.high_watermark,
            log_start_offset: fetched.log_start_offset,
            diverging: fetched.diverging,
            records,
        },
        Err(error) => Answer {
            error,
            high_watermark: Offset(-1),
            log_start_offset: Offset(-1),
            diverging: None,
            records: Bytes::new(),
        },
    }
}

fn moved(outcome: &Result<(), FetchedError>) -> Then {
    match outcome {
        Ok(()) => Then::Fetch,
        Err(_) => Then::Rest,
    }
}
