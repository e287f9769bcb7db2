//! Writes one record after the other to one partition with `acks=all`, and remembers when each was acked.
//!
//! Impatient: it measures how long the cluster takes, not how long a client would wait before it asks again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use bytes::Bytes;
use drave_client::Leaders;
use drave_client::raw::{self, Target};
use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::NodeId;
use drave_protocol::record::builder::BatchBuilder;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::cli::verify::payload;
use crate::clock::Clock;
use crate::oracle::Oracle;
use crate::oracle::event::{Acks, Event, Lane, Promise};
use crate::tasks::Tasks;

const PATIENCE: Duration = Duration::from_millis(250);
/// Short, so that it adds little to what is measured.
const PAUSE: Duration = Duration::from_millis(2);
const RECORD_BYTES: usize = 100;

#[derive(Clone, Copy, Debug)]
pub(super) struct Ack {
    pub(super) at: Instant,
    pub(super) leader: NodeId,
}

/// A writer at work.
#[derive(Debug)]
pub(super) struct Prober {
    last: watch::Receiver<(u64, Option<Ack>)>,
    /// The longest time between two acks so far, and which came first.
    longest: Arc<Mutex<Duration>>,
    stop: watch::Sender<bool>,
    tasks: Tasks,
}

struct Probing {
    lane: Lane,
    leaders: Leaders,
    clock: Clock,
    oracle: Arc<Mutex<Oracle>>,
    longest: Arc<Mutex<Duration>>,
}

impl Prober {
    /// What it sends and what is acked goes to `oracle`, under this producer's number.
    pub(super) fn start(
        bootstrap: &str,
        topic: &str,
        lane: Lane,
        oracle: &Arc<Mutex<Oracle>>,
        clock: &Clock,
    ) -> Self {
        let promise = Promise {
            acks: Acks::All,
            idempotent: false,
        };
        oracle.lock().see(&Event::Producer {
            producer: lane.producer,
            promise,
        });
        let (told, last) = watch::channel((0, None));
        let (stop, stopped) = watch::channel(false);
        let longest = Arc::new(Mutex::new(Duration::ZERO));
        let probing = Probing {
            lane,
            leaders: Leaders::new("drave-verify-prober", bootstrap, topic, PATIENCE),
            clock: clock.clone(),
            oracle: Arc::clone(oracle),
            longest: Arc::clone(&longest),
        };
        let tasks = Tasks::new();
        tasks.spawn("verify prober", probing.run(told, stopped));
        Self {
            last,
            longest,
            stop,
            tasks,
        }
    }

    /// Waits for this many more acks.
    pub(super) async fn more(
        &self,
        n: u64,
        deadline: Instant,
        clock: &Clock,
    ) -> anyhow::Result<()> {
        let mut last = self.last.clone();
        let upto = last.borrow().0 + n;
        tokio::select! {
            reached = last.wait_for(|(n, _)| *n >= upto) => reached.map(|_| ()).map_err(Into::into),
            () = clock.sleep_until(deadline) => bail!("only {} of {upto} records were acked in time", self.last.borrow().0),
        }
    }

    /// Waits for an ack of somebody else than this node, after `since`.
    pub(super) async fn ack_of_another(
        &self,
        node: NodeId,
        since: Instant,
        deadline: Instant,
        clock: &Clock,
    ) -> anyhow::Result<Ack> {
        let mut last = self.last.clone();
        let is_it = |(_, ack): &(u64, Option<Ack>)| {
            ack.is_some_and(|it| it.leader != node && it.at > since)
        };
        tokio::select! {
            reached = last.wait_for(is_it) => reached?.1.ok_or_else(|| anyhow::anyhow!("an ack")),
            () = clock.sleep_until(deadline) => bail!("nobody but node {node} acked in time"),
        }
    }

    /// Counts the longest wait anew from here.
    pub(super) fn forget_longest(&self) {
        *self.longest.lock() = Duration::ZERO;
    }

    pub(super) fn longest(&self) -> Duration {
        *self.longest.lock()
    }

    /// Lets the record under way come to its end.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        self.tasks.drain(PATIENCE * 8).await;
    }
}

impl Probing {
    async fn run(self, told: watch::Sender<(u64, Option<Ack>)>, stopped: watch::Receiver<bool>) {
        let mut number = 0;
        let mut before = self.clock.now();
        while !*stopped.borrow() {
            let bytes = self.batch(number);
            self.oracle.lock().see(&Event::Sent {
                lane: self.lane,
                first: number,
                n: 1,
            });
            // One number until it is acked: its outcome may be unknown.
            while !*stopped.borrow() {
                let Some((leader, offset)) = self.attempt(bytes.clone()).await else {
                    self.clock.sleep_until(self.clock.now() + PAUSE).await;
                    continue;
                };
                let at = self.clock.now();
                self.oracle.lock().see(&Event::Acked {
                    lane: self.lane,
                    first: number,
                    n: 1,
                    offset: Some(offset),
                });
                let mut longest = self.longest.lock();
                *longest = (*longest).max(at.saturating_duration_since(before));
                drop(longest);
                before = at;
                number += 1;
                told.send_replace((number, Some(Ack { at, leader })));
                break;
            }
        }
    }

    async fn attempt(&self, bytes: Bytes) -> Option<(NodeId, i64)> {
        let partition = self.lane.partition;
        let (leader, connection) = self.leaders.connect(partition).await.ok()?;
        let target = Target {
            topic: self.leaders.topic().to_owned(),
            topic_id: leader.topic_id,
            partition,
        };
        let request = raw::produce_request(&target, -1, PATIENCE, bytes);
        let answer = connection.send(&request, PATIENCE).await;
        let acked = |it: &raw::Produced| it.code == ErrorCode::None;
        match answer.map(|it| raw::produced(&it)) {
            Ok(produced) if acked(&produced) => Some((leader.node, produced.base_offset.0)),
            Ok(_) | Err(_) => {
                self.leaders.distrust(partition, &leader);
                None
            }
        }
    }

    fn batch(&self, number: u64) -> Bytes {
        let value = payload::value(self.lane.producer, number, RECORD_BYTES);
        let batch = BatchBuilder::new().value(self.clock.wall_ms(), value);
        batch.build().freeze()
    }
}
