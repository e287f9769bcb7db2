//! Ids for idempotent producers, handed out from blocks the controller gave this broker.
//!
//! One block is in use and the next one waits, so that clients seldom wait for the controller. Nothing
//! is kept on disk: what a process did not hand out is lost with it, and ids do not run out.
//!
//! Invariants: an id is handed out once; whatever clients do, one call to the controller is under way
//! at most, and twenty blocks a second; no block is asked for before the first client wants an id.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drave_protocol::ids::{NodeId, ProducerId};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tracing::{debug, warn};

use crate::clock::Clock;
use crate::cluster::controller_link::ControllerLink;
use crate::cluster::lease::BrokerLease;
use crate::cluster::rpc::{AllocateProducerIds, ProducerIdBlock};
use crate::tasks::Tasks;

/// One in use, one waiting.
const BLOCKS: usize = 2;
/// One call to the controller; a failover fits.
const CALL_WITHIN: Duration = Duration::from_secs(5);
/// Between blocks: a crowd of clients may use up ids, but each block is a record of the quorum.
const PACE: Duration = Duration::from_millis(50);
/// Between calls that failed, doubling.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A cheap handle; clones share the blocks.
#[derive(Clone, Debug)]
pub struct ProducerIds {
    shared: Arc<Shared>,
    clock: Clock,
}

#[derive(Debug)]
struct Shared {
    blocks: Mutex<Blocks>,
    /// A block is missing.
    wanted: Notify,
    /// How many blocks came so far.
    n_blocks: watch::Sender<u64>,
}

impl ProducerIds {
    pub fn new(clock: Clock) -> Self {
        let (n_blocks, _) = watch::channel(0);
        Self {
            shared: Arc::new(Shared {
                blocks: Mutex::default(),
                wanted: Notify::new(),
                n_blocks,
            }),
            clock,
        }
    }

    /// An id nobody was given before; `None` when the controller gave no block in time.
    ///
    /// Cancellation: safe, an id is taken only when it is returned.
    pub async fn next(&self, deadline: Instant) -> Option<ProducerId> {
        let mut n_blocks = self.shared.n_blocks.subscribe();
        loop {
            n_blocks.borrow_and_update();
            if let Some(id) = self.take() {
                return Some(id);
            }
            tokio::select! {
                changed = n_blocks.changed() => changed.ok()?,
                () = self.clock.sleep_until(deadline) => return None,
            }
        }
    }

    fn take(&self) -> Option<ProducerId> {
        let id = self.shared.blocks.lock().take();
        if self.lacks_one() {
            self.shared.wanted.notify_one();
        }
        id
    }

    fn lacks_one(&self) -> bool {
        self.shared.blocks.lock().lacks_one()
    }

    fn add(&self, block: ProducerIdBlock) {
        self.shared.blocks.lock().add(block);
        self.shared.n_blocks.send_modify(|it| *it += 1);
    }
}

/// What is left of the blocks, the one in use first.
#[derive(Debug, Default)]
struct Blocks {
    left: VecDeque<ProducerIdBlock>,
    begun: bool,
}

impl Blocks {
    fn take(&mut self) -> Option<ProducerId> {
        self.begun = true;
        let block = self.left.front_mut()?;
        let id = block.first;
        block.first = ProducerId(id.0 + 1);
        if block.first >= block.next {
            self.left.pop_front();
        }
        Some(id)
    }

    fn add(&mut self, block: ProducerIdBlock) {
        if block.first < block.next {
            self.left.push_back(block);
        }
    }

    fn lacks_one(&self) -> bool {
        self.begun && self.left.len() < BLOCKS
    }
}

/// Keeps the blocks filled.
#[derive(Debug)]
pub struct Refill {
    pub node: NodeId,
    pub ids: ProducerIds,
    pub link: ControllerLink,
    pub lease: BrokerLease,
    pub tasks: Tasks,
}

impl Refill {
    /// Until the node stops.
    pub async fn run(self) {
        let tasks = self.tasks.clone();
        tokio::select! {
            () = tasks.stopping() => {}
            () = self.refill_for_ever() => {}
        }
    }

    async fn refill_for_ever(&self) {
        let (shared, clock) = (&self.ids.shared, &self.ids.clock);
        let mut pause = PAUSE_MIN;
        loop {
            if !self.ids.lacks_one() {
                shared.wanted.notified().await;
                continue;
            }
            if let Some(block) = self.allocated().await {
                self.ids.add(block);
                pause = PAUSE_MIN;
                clock.sleep_until(clock.now() + PACE).await;
            } else {
                clock.sleep_until(clock.now() + pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }

    async fn allocated(&self) -> Option<ProducerIdBlock> {
        let request = AllocateProducerIds {
            broker: self.node,
            broker_epoch: self.lease.broker_epoch()?,
        };
        let deadline = self.ids.clock.now() + CALL_WITHIN;
        match self.link.allocate_producer_ids(request, deadline).await {
            Ok(Ok(block)) => Some(block),
            Ok(Err(refusal)) => {
                warn!(%refusal, "no producer ids");
                None
            }
            Err(error) => {
                debug!(%error, "no producer ids yet");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(first: i64, next: i64) -> ProducerIdBlock {
        ProducerIdBlock {
            first: ProducerId(first),
            next: ProducerId(next),
        }
    }

    #[test]
    fn ids_come_once_and_in_order_over_the_end_of_a_block() {
        let mut blocks = Blocks::default();
        blocks.add(block(0, 2));
        blocks.add(block(7000, 7001));
        let ids: Vec<_> = (0..4).map(|_| blocks.take().map(|it| it.0)).collect();
        assert_eq!(ids, [Some(0), Some(1), Some(7000), None]);
    }

    #[test]
    fn a_block_is_wanted_from_the_first_id_on_and_never_more_than_two() {
        let mut blocks = Blocks::default();
        assert!(!blocks.lacks_one(), "nobody wanted an id yet");
        assert_eq!(blocks.take(), None);
        assert!(blocks.lacks_one());
        blocks.add(block(0, 2));
        assert!(blocks.lacks_one(), "the next one is fetched ahead");
        blocks.add(block(2, 4));
        assert!(!blocks.lacks_one());
        blocks.take();
        assert!(!blocks.lacks_one(), "half a block is a block");
        blocks.take();
        assert!(blocks.lacks_one());
    }

    #[tokio::test]
    async fn who_waits_gets_an_id_when_the_block_comes_or_none_at_the_deadline() {
        let clock = Clock::system();
        let ids = ProducerIds::new(clock.clone());
        let deadline = clock.now() + Duration::from_millis(5);
        assert_eq!(ids.next(deadline).await, None);
        let deadline = clock.now() + Duration::from_millis(50);
        let (early, late, ()) = tokio::join!(ids.next(deadline), ids.next(deadline), async {
            tokio::task::yield_now().await;
            ids.add(block(4, 5));
        });
        assert_eq!([early, late], [Some(ProducerId(4)), None]);
    }
}
