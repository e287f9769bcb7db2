//! A loop, as those see it who ask: a bounded queue, and whether it has loaded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use drave_protocol::ids::{LeaderEpoch, TopicIdPartition};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::coordinator::decision::{Awaited, Decision, Waiter};
use crate::coordinator::error::GroupError;
use crate::coordinator::group::GroupShard;
use crate::coordinator::group::context::Context;

/// Requests that wait for one loop; far more than come in the time of a disk's stall.
pub(super) const WAITING_MAX: usize = 16 * 1024;

/// A question, together with the way its answer goes.
pub(in crate::coordinator) type Ask = Box<dyn FnOnce(Desk<'_>) -> Decision<()> + Send>;

/// Where a question is decided, or why it cannot be now.
pub(in crate::coordinator) type Desk<'a> = Result<(&'a mut GroupShard, &'a Context), GroupError>;

#[derive(Clone, Debug)]
pub(in crate::coordinator) struct Slot {
    /// With the topic's id: one that was deleted and created again is another.
    pub(in crate::coordinator) led: (TopicIdPartition, LeaderEpoch),
    pub(in crate::coordinator) gauges: Arc<Gauges>,
    asks: mpsc::Sender<Ask>,
}

/// What a loop shows of itself.
#[derive(Debug, Default)]
pub(in crate::coordinator) struct Gauges {
    is_loaded: AtomicBool,
    pub(in crate::coordinator) n_groups: AtomicUsize,
    pub(in crate::coordinator) n_members: AtomicUsize,
    pub(in crate::coordinator) n_offsets: AtomicUsize,
}

impl Gauges {
    pub(super) fn set_loaded(&self, is_loaded: bool) {
        self.is_loaded.store(is_loaded, Ordering::Release);
    }

    pub(in crate::coordinator) fn is_loaded(&self) -> bool {
        self.is_loaded.load(Ordering::Acquire)
    }

    pub(super) fn show(&self, shard: &GroupShard) {
        self.n_groups.store(shard.n_groups(), Ordering::Relaxed);
        self.n_members.store(shard.n_members(), Ordering::Relaxed);
        self.n_offsets.store(shard.n_offsets(), Ordering::Relaxed);
    }
}

impl Slot {
    pub(in crate::coordinator) fn new(
        led: (TopicIdPartition, LeaderEpoch),
    ) -> (Self, mpsc::Receiver<Ask>) {
        let (asks, receiver) = mpsc::channel(WAITING_MAX);
        let slot = Self {
            led,
            gauges: Arc::default(),
            asks,
        };
        (slot, receiver)
    }

    /// Whether its loop gave up.
    pub(in crate::coordinator) fn has_ended(&self) -> bool {
        self.asks.is_closed()
    }

    /// Puts a question whose answer is one value.
    pub(in crate::coordinator) fn ask<R: Send + 'static>(
        &self,
        decide: impl FnOnce(&mut GroupShard, &Context) -> Result<Decision<R>, GroupError>
        + Send
        + 'static,
    ) -> Awaited<R> {
        self.put(|shard, cx, waiter| answered(decide(shard, cx), waiter))
    }

    /// Puts a question whose answer may come with another's.
    pub(in crate::coordinator) fn put<R: Send + 'static>(
        &self,
        decide: impl FnOnce(&mut GroupShard, &Context, Waiter<R>) -> Decision<()> + Send + 'static,
    ) -> Awaited<R> {
        if !self.gauges.is_loaded() {
            return Awaited::refused(GroupError::Loading);
        }
        let (waiter, awaited) = Waiter::new();
        let ask: Ask = Box::new(move |desk| match desk {
            Ok((shard, cx)) => decide(shard, cx, waiter),
            Err(error) => Decision {
                answers: vec![waiter.with(Err(error))],
                ..Decision::default()
            },
        });
        match self.asks.try_send(ask) {
            Ok(()) => awaited,
            Err(TrySendError::Closed(_)) => Awaited::refused(GroupError::NotCoordinator),
            Err(TrySendError::Full(_)) => Awaited::refused(GroupError::NotAvailable(format!(
                "{WAITING_MAX} requests wait already"
            ))),
        }
    }
}

fn answered<R: Send + 'static>(
    decided: Result<Decision<R>, GroupError>,
    waiter: Waiter<R>,
) -> Decision<()> {
    match decided {
        Ok(decision) => {
            let Decision {
                records,
                response,
                timers,
                mut answers,
            } = decision;
            answers.push(waiter.with(Ok(response)));
            Decision {
                records,
                response: (),
                timers,
                answers,
            }
        }
        Err(error) => Decision {
            answers: vec![waiter.with(Err(error))],
            ..Decision::default()
        },
    }
}
