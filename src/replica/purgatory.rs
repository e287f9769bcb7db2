//! Requests that wait: produces for the high watermark, fetches for bytes, deletions for followers.
//!
//! Invariants: a ticket is completed exactly once; who watches a partition leaves it in the end, so an idle
//! one keeps no memory of fetches that came and went; a change is marked before anybody is woken by it, so
//! a watcher looks at what changed, never at all it watches.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use drave_protocol::ids::{Offset, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::error::AppendError;

/// The promise of an answer to one `acks=all` append.
#[derive(Debug)]
pub struct CommitTicket {
    partition: TopicPartition,
    last_offset: Offset,
    outcome: oneshot::Receiver<Result<(), AppendError>>,
}

impl CommitTicket {
    /// Waits until the high watermark passed the append, or `deadline`.
    ///
    /// Cancellation: dropping it forgets the wait; the append itself stands.
    pub async fn committed(self, deadline: Instant) -> Result<(), AppendError> {
        let timed_out = AppendError::TimedOut {
            partition: self.partition,
            last_offset: self.last_offset,
        };
        match tokio::time::timeout_at(deadline.into(), self.outcome).await {
            Ok(Ok(outcome)) => outcome,
            // Dropped unanswered only when the partition itself goes away.
            Ok(Err(_)) | Err(_) => Err(timed_out),
        }
    }

    /// The outcome, if there is one yet; for those who do not wait.
    pub fn poll(&mut self) -> Option<Result<(), AppendError>> {
        self.outcome.try_recv().ok()
    }
}

/// Appends of one partition that wait for the high watermark, in offset order.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    waiting: VecDeque<(Offset, oneshot::Sender<Result<(), AppendError>>)>,
}

impl Tickets {
    pub(super) fn issue(
        &mut self,
        partition: &TopicPartition,
        last_offset: Offset,
    ) -> CommitTicket {
        // Those whose callers gave up go first, or a stuck partition would collect them.
        while self
            .waiting
            .front()
            .is_some_and(|(_, sender)| sender.is_closed())
        {
            self.waiting.pop_front();
        }
        let (sender, outcome) = oneshot::channel();
        // A batch that came again waits for the offset it has had all along.
        let place = self.waiting.partition_point(|(it, _)| *it <= last_offset);
        self.waiting.insert(place, (last_offset, sender));
        CommitTicket {
            partition: partition.clone(),
            last_offset,
            outcome,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn complete_below(&mut self, high_watermark: Offset) {
        while let Some((last_offset, sender)) = self.waiting.pop_front() {
            if last_offset >= high_watermark {
                self.waiting.push_front((last_offset, sender));
                return;
            }
            // A caller that gave up at its deadline is no longer listening.
            let _ = sender.send(Ok(()));
        }
    }

    pub(super) fn fail_all(&mut self, error: impl Fn() -> AppendError) {
        for (_, sender) in self.waiting.drain(..) {
            let _ = sender.send(Err(error()));
        }
    }
}

/// What one who waits, or comes again and again, has not looked at since it changed.
///
/// Partitions are known here by the places their watcher gave them.
#[derive(Debug, Default)]
pub struct Watch {
    marked: Mutex<BTreeSet<u32>>,
    woken: Notify,
}

impl Watch {
    /// The places that changed since this was last asked.
    pub fn take_marked(&self) -> BTreeSet<u32> {
        std::mem::take(&mut *self.marked.lock())
    }

    /// Resolves when there is something to look at.
    ///
    /// Cancellation: safe; what was marked stays marked.
    pub async fn woken(&self) {
        self.woken.notified().await;
    }

    /// For a reason that is no partition's.
    pub fn wake(&self) {
        self.woken.notify_one();
    }

    pub(super) fn mark(&self, place: u32) {
        self.marked.lock().insert(place);
    }
}

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitFor {
    /// Followers read up to the LEO.
    Append,
    /// Followers that serve consumers: to these the high watermark is as urgent as a record.
    AppendOrHighWatermark,
    /// Consumers read up to the high watermark.
    HighWatermark,
    /// Records are deleted once every live follower's log starts behind them.
    FollowerLetGo,
    /// Those who say for a follower what it holds.
    Position,
    /// A follower claims what is on its disk.
    Durable,
}

/// What happened to a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Appended,
    HighWatermark,
    /// The log starts later, or is known to after any crash.
    LogStart,
    /// A follower's log starts later.
    FollowerLetGo,
    /// More of the log is on disk.
    Durable,
    /// A follower left the ISR. Who fetches here in a session asks no more for what it has all of, so
    /// without a look of its own it would join again only with the next record.
    LeftIsr,
    /// Another role, or none any more: everyone must look again.
    Role,
}

/// What a change is to one who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// To be looked at now.
    Urgent,
    /// To be told with the next answer.
    Marked,
    None,
}

impl WaitFor {
    fn news_of(self, change: Change) -> News {
        match (self, change) {
            (_, Change::Role)
            | (Self::Append | Self::AppendOrHighWatermark, Change::Appended | Change::LogStart)
            | (Self::AppendOrHighWatermark | Self::HighWatermark, Change::HighWatermark)
            | (Self::FollowerLetGo, Change::FollowerLetGo)
            | (Self::Durable, Change::Durable) => News::Urgent,
            (Self::Append, Change::HighWatermark | Change::LeftIsr)
            | (Self::AppendOrHighWatermark, Change::LeftIsr)
            | (Self::HighWatermark | Self::Position, Change::LogStart) => News::Marked,
            (
                Self::Append | Self::AppendOrHighWatermark,
                Change::FollowerLetGo | Change::Durable,
            )
            | (
                Self::HighWatermark,
                Change::Appended | Change::FollowerLetGo | Change::Durable | Change::LeftIsr,
            )
            | (
                Self::FollowerLetGo,
                Change::Appended
                | Change::HighWatermark
                | Change::LogStart
                | Change::Durable
                | Change::LeftIsr,
            )
            | (
                Self::Position,
                Change::Appended
                | Change::HighWatermark
                | Change::FollowerLetGo
                | Change::Durable
                | Change::LeftIsr,
            )
            | (
                Self::Durable,
                Change::Appended
                | Change::HighWatermark
                | Change::LogStart
                | Change::FollowerLetGo
                | Change::LeftIsr,
            ) => News::None,
        }
    }
}

/// Who watches one partition.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    watching: Vec<(WaitFor, u32, Arc<Watch>)>,
}

impl Watchers {
    pub(super) fn enter(&mut self, what: WaitFor, (watch, place): (&Arc<Watch>, u32)) {
        self.watching.push((what, place, Arc::clone(watch)));
    }

    pub(super) fn leave(&mut self, watch: &Arc<Watch>, place: u32) {
        let is_it =
            |(_, at, it): &(WaitFor, u32, Arc<Watch>)| *at == place && Arc::ptr_eq(it, watch);
        if let Some(found) = self.watching.iter().position(is_it) {
            self.watching.swap_remove(found);
        }
    }

    /// Whether the high watermark is urgent to any of them.
    pub(super) fn want_high_watermark(&self) -> bool {
        self.watching
            .iter()
            .any(|(what, _, _)| what.news_of(Change::HighWatermark) == News::Urgent)
    }

    pub(super) fn tell(&self, change: Change) {
        for (what, place, watch) in &self.watching {
            match what.news_of(change) {
                News::Urgent => {
                    watch.mark(*place);
                    watch.wake();
                }
                News::Marked => watch.mark(*place),
                News::None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked_by(what: WaitFor, change: Change) -> (bool, bool) {
        let (watch, mut watchers) = (Arc::new(Watch::default()), Watchers::default());
        watchers.enter(what, (&watch, 7));
        watchers.tell(change);
        let mut woken = std::pin::pin!(watch.woken());
        let is_woken = is_over(woken.as_mut());
        (watch.take_marked().contains(&7), is_woken)
    }

    /// Whether a wait is over at once.
    fn is_over(wait: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        wait.poll(&mut context).is_ready()
    }

    #[test]
    fn a_follower_is_woken_by_records_and_told_of_the_high_watermark_in_passing() {
        assert_eq!(marked_by(WaitFor::Append, Change::Appended), (true, true));
        let quiet = marked_by(WaitFor::Append, Change::HighWatermark);
        assert_eq!(quiet, (true, false));
        let serves = marked_by(WaitFor::AppendOrHighWatermark, Change::HighWatermark);
        assert_eq!(serves, (true, true));
    }

    #[test]
    fn who_left_the_isr_is_looked_at_with_its_next_request() {
        for what in [WaitFor::Append, WaitFor::AppendOrHighWatermark] {
            assert_eq!(marked_by(what, Change::LeftIsr), (true, false));
        }
        let consumer = marked_by(WaitFor::HighWatermark, Change::LeftIsr);
        assert_eq!(consumer, (false, false));
    }

    #[test]
    fn a_consumer_is_not_woken_by_what_it_may_not_read() {
        let appended = marked_by(WaitFor::HighWatermark, Change::Appended);
        assert_eq!(appended, (false, false));
        let committed = marked_by(WaitFor::HighWatermark, Change::HighWatermark);
        assert_eq!(committed, (true, true));
    }

    #[test]
    fn who_left_is_told_nothing_and_who_stays_is() {
        let (watch, mut watchers) = (Arc::new(Watch::default()), Watchers::default());
        for place in [1, 2, 3] {
            watchers.enter(WaitFor::Append, (&watch, place));
        }
        watchers.leave(&watch, 2);
        watchers.leave(&watch, 9);
        watchers.tell(Change::Appended);
        assert_eq!(watch.take_marked(), BTreeSet::from([1, 3]));
        assert_eq!(watch.take_marked(), BTreeSet::new());
    }
}
