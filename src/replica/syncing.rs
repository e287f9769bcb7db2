//! One partition's bytes on their way to the disk: when they are to go, and what is true once they are there.
//!
//! Invariants: a log with bytes in the page cache only is marked to be synced, now or for later, unless its
//! policy leaves it to the system; nothing in a log directory that failed is acked any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use drave_log::planted::{Fault, is_planted};
use drave_log::{LogError, SyncRequest, Synced};
use drave_protocol::ids::Offset;

use crate::config::{FlushMode, TopicConfig};

use super::leader::Event;
use super::partition::{Partition, Role, State};
use super::purgatory::Change;

/// So much of a log goes to disk before its time. What piles up in the page cache the kernel writes when it must,
/// and holds back for a quarter of a second whoever appends meanwhile.
const UNSYNCED_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// So long a leader's log may wait for the disk while nobody waits for its high watermark: acked with `acks=1`, read
/// by nobody yet. A sync for each few requests costs more than the requests.
const UNAWAITED_MAX: Duration = Duration::from_millis(5);

/// When appended bytes count as held by a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Once on disk (`log.flush.mode=commit`).
    Disk,
    /// Once in the page cache (`log.flush.mode=async`, Kafka's behaviour); they go to disk later.
    PageCache(Lazily),
}

/// How much may be in the page cache only, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lazily {
    pub n_records: u64,
    pub after: Duration,
}

impl Durability {
    pub(super) fn of(topic: &TopicConfig) -> Self {
        match topic.flush_mode {
            FlushMode::Commit => Self::Disk,
            FlushMode::Async => Self::PageCache(Lazily {
                n_records: topic.flush_messages,
                after: topic.flush_after,
            }),
        }
    }

    /// How long bytes may be in the page cache only.
    fn patience(self) -> Duration {
        match self {
            Self::Disk => UNAWAITED_MAX,
            Self::PageCache(lazily) => lazily.after,
        }
    }
}

impl Partition {
    /// Marks the log to be synced, now or when its policy says, if there is anything to sync.
    pub(super) fn note_dirty(self: &Arc<Self>, state: &mut State, now: Instant) {
        if state.failure.is_some() || state.log.recovery_point() == state.log.log_end_offset() {
            return;
        }
        if state.is_sync_due(now) && !state.may_wait_on(now) {
            self.home().unsynced.mark(self);
        } else if state.sync_by.is_none()
            // A time beyond all times: the system writes when it likes.
            && let Some(due) = now.checked_add(state.policy.durability.patience())
        {
            state.sync_by = Some(due);
            self.home().unsynced.mark_for(due, self);
        }
    }

    /// As above, for one whose log has grown. Returns whether its bytes count only once on disk.
    pub(super) fn note_appended(self: &Arc<Self>, now: Instant) -> bool {
        let mut state = self.lock();
        self.note_dirty(&mut state, now);
        state.policy.durability == Durability::Disk
    }

    /// When the policy changed, what was marked by the one before no longer stands.
    pub(super) fn unmark(&self, state: &mut State) {
        if let Some(due) = state.sync_by.take() {
            self.home().unsynced.unmark(due, self);
        }
    }

    /// What must go to disk now; run it off the lock, then hand it to `synced`.
    pub(super) fn prepare_sync(&self, now: Instant) -> Option<SyncRequest> {
        let mut state = self.lock();
        if state.failure.is_some() || self.home().failure().is_some() || !state.is_sync_due(now) {
            return None;
        }
        // What is appended from here on has its own time.
        self.unmark(&mut state);
        state.log.prepare_sync()
    }

    pub(super) fn synced(self: &Arc<Self>, outcome: Result<Synced, LogError>, now: Instant) {
        let mut state = self.lock();
        match outcome {
            Ok(synced) => {
                if self.goes_with_its_directory(&mut state) {
                    return;
                }
                state.log.synced(synced);
                let upto = state.counted_end();
                self.step(&mut state, Event::Durable { upto }, now);
                // A truncation meanwhile leaves the request behind it saying nothing.
                self.note_dirty(&mut state, now);
                state.watchers.tell(Change::Durable);
                let is_held = state.counted_end() == state.log.log_end_offset();
                if is_held && std::mem::take(&mut state.is_awaited_by_fetcher) {
                    self.signals.can_be_fetched(self.id());
                }
            }
            Err(error) => self.fail(&mut state, &error),
        }
    }

    /// Whether nothing of the log is in the page cache only.
    pub(super) fn is_durable(&self) -> bool {
        let state = self.lock();
        state.failure.is_none() && state.log.recovery_point() == state.log.log_end_offset()
    }

    pub(super) fn log_end_offset(&self) -> Offset {
        self.lock().log.log_end_offset()
    }

    /// Whether nothing below `end` waits for the disk any more.
    pub(super) fn is_settled_below(&self, end: Offset) -> bool {
        let state = self.lock();
        let end = end.min(state.log.log_end_offset());
        state.failure.is_some() || state.log.recovery_point() >= end
    }
}

impl State {
    fn is_sync_due(&self, now: Instant) -> bool {
        let Durability::PageCache(lazily) = self.policy.durability else {
            return true;
        };
        let n_unsynced = self.log.log_end_offset() - self.log.recovery_point();
        u64::try_from(n_unsynced).is_ok_and(|it| it >= lazily.n_records)
            || self
                .sync_by
                .is_some_and(|it| it <= now || self.log.unsynced_bytes() >= UNSYNCED_BYTES_MAX)
            || !self.log.is_sealed_part_durable()
    }

    /// Whether what is due, for it counts only on disk, can wait for more, and for its time.
    fn may_wait_on(&self, now: Instant) -> bool {
        self.policy.durability == Durability::Disk
            && matches!(self.role, Role::Leader(_))
            && self.sync_by.is_none_or(|it| it > now)
            && self.tickets.is_empty()
            && !self.watchers.want_high_watermark()
    }

    /// How far this replica's own log counts toward the high watermark.
    pub(super) fn counted_end(&self) -> Offset {
        match self.policy.durability {
            Durability::Disk if !is_planted(Fault::UnsyncedCounts) => self.log.recovery_point(),
            Durability::Disk | Durability::PageCache(_) => self.log.log_end_offset(),
        }
    }
}
