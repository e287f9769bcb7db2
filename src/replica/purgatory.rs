//! Requests that wait: produces for the high watermark, fetches for bytes, deletions for followers.
//!
//! Invariants: a ticket is completed exactly once; a waiter leaves every partition it was entered
//! in, so an idle partition keeps no memory of fetches that came and went.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use drave_protocol::ids::{Offset, TopicPartition};
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

/// One long-polling fetch, or one deletion; entered in each of its partitions, woken once by whichever
/// moves first.
#[derive(Debug, Default)]
pub(super) struct Waiter {
    woken: Notify,
}

impl Waiter {
    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }
}

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitFor {
    /// Followers read up to the LEO.
    Append,
    /// Consumers read up to the high watermark.
    HighWatermark,
    /// Records are deleted once every live follower's log starts behind them.
    LogStart,
    /// A follower claims what is on its disk.
    Durable,
}

#[derive(Debug, Default)]
pub(super) struct Waiters {
    waiting: Vec<(WaitFor, Arc<Waiter>)>,
}

impl Waiters {
    pub(super) fn enter(&mut self, what: WaitFor, waiter: &Arc<Waiter>) {
        self.waiting.push((what, Arc::clone(waiter)));
    }

    pub(super) fn leave(&mut self, waiter: &Arc<Waiter>) {
        self.waiting.retain(|(_, it)| !Arc::ptr_eq(it, waiter));
    }

    pub(super) fn wake(&mut self, what: WaitFor) {
        for (waits_for, waiter) in &self.waiting {
            if *waits_for == what {
                waiter.woken.notify_one();
            }
        }
    }

    /// The role changed: everyone must look again.
    pub(super) fn wake_all(&mut self) {
        for (_, waiter) in &self.waiting {
            waiter.woken.notify_one();
        }
    }
}
