//! Deleting records: everything below an offset, on every replica.
//!
//! Invariants: only what is committed is deleted, and only where the topic's policy deletes at all. A deletion
//! is answered once the log start is in the checkpoint of every replica that lives or may be elected, this one
//! first: neither a crash nor another leader brings the records back. Nothing can be read below it from the moment it is asked for.

use std::sync::Arc;
use std::time::Instant;

use drave_log::planted::{Fault, is_planted};
use drave_protocol::ids::{NodeId, Offset, TopicIdPartition};
use drave_raft::image::MetadataImage;

use crate::cluster::lease::BrokerLease;

use super::checkpoints;
use super::entered::Entered;
use super::error::{DeletionError, NotLeading};
use super::partition::{Partition, Role, State};
use super::purgatory::{Change, WaitFor};
use super::replicas::Replicas;

/// What is to go from one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    pub partition: TopicIdPartition,
    pub before: DeleteBefore,
}

/// The first offset that stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteBefore {
    HighWatermark,
    Offset(Offset),
}

/// A deletion on its way: what is asked of every replica, or what came of it.
enum Progress {
    Waiting {
        partition: Arc<Partition>,
        log_start_offset: Offset,
    },
    Done(Result<Offset, DeletionError>),
}

impl Replicas {
    /// Deletes, and answers with the low watermark of each partition: no replica that lives, or may lead, has
    /// anything below.
    ///
    /// Cancellation: what was deleted here stays so; the followers hear of it all the same.
    pub async fn delete_records(
        &self,
        deletions: &[Deletion],
        deadline: Instant,
    ) -> Vec<Result<Offset, DeletionError>> {
        let mut all: Vec<Progress> = deletions.iter().map(|it| self.delete_here(*it)).collect();
        let waiting: Vec<Arc<Partition>> = all.iter().filter_map(Progress::partition).collect();
        if !waiting.is_empty() {
            checkpoints::note_log_starts(self, waiting.clone()).await;
            let entered = Entered::new(&waiting, WaitFor::FollowerLetGo);
            self.wait_for_followers(&mut all, &entered, deadline).await;
        }
        let live = self.metadata().image();
        all.into_iter().map(|it| it.result(&live)).collect()
    }

    fn delete_here(&self, deletion: Deletion) -> Progress {
        let id = deletion.partition;
        let Some(partition) = self.partition(id) else {
            return Progress::Done(Err(DeletionError::UnknownPartition(id)));
        };
        let (lease, now) = (self.lease(), self.clock().now());
        match partition.delete_under(lease, deletion.before, now) {
            Ok(log_start_offset) => Progress::Waiting {
                partition,
                log_start_offset,
            },
            Err(error) => Progress::Done(Err(error)),
        }
    }

    async fn wait_for_followers(&self, all: &mut [Progress], entered: &Entered, deadline: Instant) {
        let mut metadata = self.metadata().clone();
        loop {
            let image = metadata.image();
            for it in all.iter_mut() {
                it.look(&image);
            }
            if all.iter().all(|it| matches!(it, Progress::Done(_))) {
                return;
            }
            tokio::select! {
                () = entered.woken() => {}
                // A replica that is no longer alive, nor may lead, is not waited for.
                alive = metadata.changed() => if !alive { return },
                () = self.clock().sleep_until(deadline) => return,
            }
        }
    }
}

impl Progress {
    fn partition(&self) -> Option<Arc<Partition>> {
        match self {
            Self::Waiting { partition, .. } => Some(Arc::clone(partition)),
            Self::Done(_) => None,
        }
    }

    fn look(&mut self, image: &MetadataImage) {
        let Self::Waiting {
            partition,
            log_start_offset,
        } = self
        else {
            return;
        };
        match partition.low_watermark(image) {
            Ok(low_watermark) if low_watermark >= *log_start_offset => {
                *self = Self::Done(Ok(low_watermark));
            }
            Ok(_) if !partition.has_noted(*log_start_offset) => {
                let name = partition.name().clone();
                *self = Self::Done(Err(DeletionError::NotNoted(name)));
            }
            Ok(_) => {}
            Err(error) => *self = Self::Done(Err(error.into())),
        }
    }

    /// At the end, whatever came of it.
    fn result(self, image: &MetadataImage) -> Result<Offset, DeletionError> {
        match self {
            Self::Done(result) => result,
            Self::Waiting {
                partition,
                log_start_offset,
            } => Err(DeletionError::TimedOut {
                low_watermark: partition.low_watermark(image)?,
                partition: partition.name().clone(),
                requested: log_start_offset,
            }),
        }
    }
}

impl Partition {
    /// As `delete_before`, where this broker may still believe that it leads.
    pub(super) fn delete_under(
        self: &Arc<Self>,
        lease: &BrokerLease,
        before: DeleteBefore,
        now: Instant,
    ) -> Result<Offset, DeletionError> {
        if !lease.is_held(now) {
            return Err(DeletionError::LeaseLost(self.name().clone()));
        }
        self.delete_before(before)
    }

    /// From now on nothing below is read here. Returns where the log is to start on every replica.
    fn delete_before(self: &Arc<Self>, before: DeleteBefore) -> Result<Offset, DeletionError> {
        let mut state = self.lock();
        state.leading(self.name())?;
        if !state.log.config().cleanup.delete {
            return Err(DeletionError::Policy(self.name().clone()));
        }
        let high_watermark = state.high_watermark();
        let requested = match before {
            DeleteBefore::HighWatermark => high_watermark,
            DeleteBefore::Offset(offset) => offset,
        };
        if !(Offset::ZERO..=high_watermark).contains(&requested) {
            return Err(DeletionError::OffsetOutOfRange {
                partition: self.name().clone(),
                requested,
                high_watermark,
            });
        }
        // Followers that wait for records hear of it now.
        self.raise_log_start(&mut state, requested)?;
        Ok(requested)
    }

    /// Whether it rose.
    pub(super) fn raise_log_start(
        self: &Arc<Self>,
        state: &mut State,
        to: Offset,
    ) -> Result<bool, NotLeading> {
        if to <= state.log.log_start_offset() {
            return Ok(false);
        }
        if let Err(error) = state.log.raise_log_start_offset(to) {
            self.fail(state, &error);
            return Err(NotLeading::Offline {
                partition: self.name().clone(),
                reason: error.to_string(),
            });
        }
        state.watchers.tell(Change::LogStart);
        self.signals.let_go(self);
        Ok(true)
    }

    /// The checkpoint says now that the log starts there.
    pub(super) fn log_start_noted(&self, noted: Offset) {
        let mut state = self.lock();
        let before = std::mem::replace(&mut state.noted_log_start, noted);
        if before != noted {
            state.watchers.tell(Change::LogStart);
        }
    }

    /// No replica that lives or may be elected has anything below it, crash or no crash; -1 while one of them has
    /// not said. Kafka waits for the live ones only; one of the ELR that is dead today may lead tomorrow (KIP-966).
    pub(super) fn low_watermark(&self, image: &MetadataImage) -> Result<Offset, NotLeading> {
        let state = self.lock();
        let leader = state.leading(self.name())?;
        let is_live = |node: NodeId| image.brokers.get(&node).is_some_and(|it| !it.fenced);
        let agreed = image.partition(self.id());
        let may_lead = |node: NodeId| {
            let is_agreed =
                agreed.is_some_and(|it| it.isr.contains(&node) || it.elr.contains(&node));
            is_agreed || leader.maximal_isr().any(|it| *it == node)
        };
        let followers = leader.followers().iter();
        let followers = followers.filter(|(node, _)| is_live(**node) || may_lead(**node));
        let starts = followers.map(|(_, it)| it.log_start_offset.unwrap_or(Offset(-1)));
        Ok(starts.fold(state.durable_log_start(), Offset::min))
    }

    fn has_noted(&self, log_start_offset: Offset) -> bool {
        self.lock().durable_log_start() >= log_start_offset
    }
}

impl State {
    /// Whether a follower is to hear at once where our log starts.
    pub(super) fn is_news(&mut self, follower: NodeId) -> bool {
        let log_start_offset = self.log.log_start_offset();
        match &mut self.role {
            Role::Leader(leader) => leader.is_news(follower, log_start_offset),
            Role::Follower { .. } | Role::Idle => false,
        }
    }

    /// Below it this replica has nothing, and will not after a crash.
    pub(super) fn durable_log_start(&self) -> Offset {
        if is_planted(Fault::UnnotedStartClaimed) {
            return self.log.log_start_offset();
        }
        let noted = self.noted_log_start.max(self.log.first_segment_offset());
        noted.min(self.log.log_start_offset())
    }
}
