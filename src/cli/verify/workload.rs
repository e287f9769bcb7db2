//! The clients: producers of every promise, consumers, and who looks on; and how it comes to rest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use drave_client::admin::NewTopic;
use drave_client::raw::Isolation;
use drave_client::{Admin, Leaders};
use tokio::sync::{OnceCell, watch};

use crate::cli::verify::history::History;
use crate::cli::verify::last_reading;
use crate::cli::verify::reader::Reader;
use crate::cli::verify::watcher::Watcher;
use crate::cli::verify::writer::{Phase, Writer};
use crate::clock::Clock;
use crate::oracle::event::{Acks, Event, Lane, Promise};
use crate::oracle::verdict::Kind;
use crate::tasks::Tasks;

const PATIENCE: Duration = Duration::from_secs(1);
const POLL_EVERY: Duration = Duration::from_millis(50);
const FINISH_WITHIN: Duration = Duration::from_secs(20);
/// Batches each writer brings to their end before the cluster counts as going on.
const PROGRESS: u64 = 3;

/// Who writes: a promise of each kind, and two of the one that is promised most.
const PRODUCERS: [Promise; 5] = [
    Promise {
        acks: Acks::All,
        idempotent: true,
    },
    Promise {
        acks: Acks::All,
        idempotent: true,
    },
    Promise {
        acks: Acks::All,
        idempotent: false,
    },
    Promise {
        acks: Acks::Leader,
        idempotent: false,
    },
    Promise {
        acks: Acks::None,
        idempotent: false,
    },
];
const LOSING: &[Promise] = &[Promise {
    acks: Acks::All,
    idempotent: false,
}];
const READERS: [Isolation; 2] = [Isolation::ReadUncommitted, Isolation::ReadCommitted];

/// How much is written, and where.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) bootstrap: String,
    pub(super) topic: String,
    pub(super) n_partitions: i32,
    /// Records a second, all writers together.
    pub(super) rate: u32,
    pub(super) n_records: u32,
    pub(super) record_bytes: usize,
    /// Acked records may go: only who is promised nothing beyond acks can write on, and nobody reads along.
    pub(super) may_lose: bool,
}

impl Plan {
    fn producers(&self) -> &'static [Promise] {
        if self.may_lose { LOSING } else { &PRODUCERS }
    }
}

/// The clients at work.
#[derive(Debug)]
pub(super) struct Workload {
    plan: Plan,
    history: Arc<History>,
    clock: Clock,
    phase: watch::Sender<Phase>,
    stop_reading: watch::Sender<bool>,
    n_done: BTreeMap<Lane, Arc<AtomicU64>>,
    writers: Tasks,
    readers: Tasks,
    positions: Vec<(u32, i32, Arc<AtomicI64>)>,
}

pub(super) async fn create_topic(
    plan: &Plan,
    replicas: i16,
    min_in_sync: i16,
) -> anyhow::Result<()> {
    let admin = Admin::connect(&plan.bootstrap).await;
    let admin = admin.with_context(|| format!("no broker of {} can be asked", plan.bootstrap))?;
    let new = NewTopic {
        name: plan.topic.clone(),
        n_partitions: Some(plan.n_partitions),
        replication_factor: Some(replicas),
        configs: vec![("min.insync.replicas".to_owned(), min_in_sync.to_string())],
    };
    for (name, outcome) in admin.create_topics(&[new], false).await? {
        outcome.with_context(|| format!("cannot create {name}"))?;
    }
    Ok(())
}

impl Workload {
    pub(super) fn start(plan: &Plan, history: &Arc<History>, clock: &Clock) -> Self {
        let (phase, _) = watch::channel(Phase::Write);
        let (stop_reading, _) = watch::channel(false);
        let mut workload = Self {
            plan: plan.clone(),
            history: Arc::clone(history),
            clock: clock.clone(),
            phase,
            stop_reading,
            n_done: BTreeMap::new(),
            writers: Tasks::new(),
            readers: Tasks::new(),
            positions: Vec::new(),
        };
        for (promise, producer) in workload.plan.producers().iter().zip(0..) {
            workload.start_producer(producer, *promise);
        }
        if plan.may_lose {
            return workload;
        }
        for (isolation, reader) in READERS.iter().zip(0..) {
            workload.start_reader(reader, *isolation);
        }
        workload.start_watchers();
        workload
    }

    fn start_producer(&mut self, producer: u32, promise: Promise) {
        self.history.saw(&Event::Producer { producer, promise });
        let leaders = self.leaders("drave-verify-producer");
        let identity = Arc::new(OnceCell::new());
        for partition in 0..self.plan.n_partitions {
            let lane = Lane {
                producer,
                partition,
            };
            let n_done = Arc::new(AtomicU64::new(0));
            self.n_done.insert(lane, Arc::clone(&n_done));
            let writer = Writer {
                lane,
                promise,
                identity: Arc::clone(&identity),
                leaders: Arc::clone(&leaders),
                history: Arc::clone(&self.history),
                clock: self.clock.clone(),
                pace: self.pace(),
                n_records: self.plan.n_records,
                record_bytes: self.plan.record_bytes,
                phase: self.phase.subscribe(),
                n_done,
            };
            self.writers.spawn("verify writer", writer.run());
        }
    }

    /// How often each lane writes a batch.
    fn pace(&self) -> Duration {
        let producers = self.plan.producers().iter();
        let n_lanes = producers
            .map(|_| f64::from(self.plan.n_partitions))
            .sum::<f64>();
        let batches_a_second = f64::from(self.plan.rate.max(1)) / f64::from(self.plan.n_records);
        Duration::from_secs_f64(n_lanes / batches_a_second)
    }

    fn start_reader(&mut self, number: u32, isolation: Isolation) {
        let leaders = self.leaders("drave-verify-consumer");
        for partition in 0..self.plan.n_partitions {
            let position = Arc::new(AtomicI64::new(0));
            self.positions
                .push((number, partition, Arc::clone(&position)));
            let reader = Reader {
                number,
                partition,
                isolation,
                leaders: Arc::clone(&leaders),
                history: Arc::clone(&self.history),
                clock: self.clock.clone(),
                stop: self.stop_reading.subscribe(),
                position,
            };
            self.readers.spawn("verify reader", reader.run());
        }
    }

    fn start_watchers(&self) {
        let brokers: Vec<String> = self.plan.bootstrap.split(',').map(str::to_owned).collect();
        let watcher = || Watcher {
            topic: self.plan.topic.clone(),
            brokers: brokers.clone(),
            n_partitions: self.plan.n_partitions,
            history: Arc::clone(&self.history),
            clock: self.clock.clone(),
            stop: self.stop_reading.subscribe(),
        };
        for broker in &brokers {
            let watching = watcher().watch_leaders(broker.clone());
            self.readers.spawn("verify watcher", watching);
        }
        self.readers.spawn("verify watcher", watcher().watch_ends());
    }

    fn leaders(&self, client_id: &str) -> Arc<Leaders> {
        let Plan {
            bootstrap, topic, ..
        } = &self.plan;
        Arc::new(Leaders::new(client_id, bootstrap, topic, PATIENCE))
    }

    /// Waits until every writer goes on, then lets them finish. What does not go on is told.
    pub(super) async fn come_to_rest(&self, deadline: Instant) {
        let before = self.n_done();
        let goes_on =
            |lane: &Lane, now: u64| now >= before.get(lane).copied().unwrap_or_default() + PROGRESS;
        let is_going_on = || self.n_done().iter().all(|(lane, now)| goes_on(lane, *now));
        if !self.wait(deadline, is_going_on).await {
            for (lane, now) in self.n_done() {
                if !goes_on(&lane, now) {
                    let what = format!("{lane} does not go on although all faults are gone");
                    self.history.found(Kind::NotHealed, 1, what);
                }
            }
        }
        self.phase.send_replace(Phase::Finish);
        // However long that took: who waits for an answer gets one, or asks again, within this.
        let left = deadline
            .saturating_duration_since(self.clock.now())
            .max(FINISH_WITHIN);
        // A writer's own handle on its count goes with it.
        let n_at_work = || {
            let counts = self.n_done.values();
            counts.filter(|it| Arc::strong_count(it) > 1).count()
        };
        let wait = self.wait(self.clock.now() + left, || n_at_work() == 0);
        if !wait.await {
            let n = n_at_work();
            let what = format!("{n} writers wait for an answer although all faults are gone");
            self.history.found(Kind::NotHealed, 1, what);
        }
        self.phase.send_replace(Phase::Stop);
        self.writers.drain(PATIENCE).await;
    }

    /// Reads every partition from its start to its end, once more, and lets the readers come there too.
    /// Returns where each partition ends.
    pub(super) async fn read_to_the_end(&self, deadline: Instant) -> BTreeMap<i32, i64> {
        let Plan {
            bootstrap,
            topic,
            n_partitions,
            ..
        } = &self.plan;
        let tell = |event| self.history.saw(&event);
        let last_reading::Read { ends, unread } =
            last_reading::read_all(bootstrap, topic, *n_partitions, deadline, &self.clock, tell)
                .await;
        for why in unread {
            self.history.found(Kind::NotHealed, 1, why);
        }
        let are_there = || {
            let mut positions = self.positions.iter();
            positions
                .all(|(_, partition, at)| Some(&at.load(Ordering::Relaxed)) >= ends.get(partition))
        };
        // A reader that does not come to the end is told by the oracle.
        self.wait(deadline, are_there).await;
        self.stop_reading.send_replace(true);
        self.readers.drain(PATIENCE).await;
        ends
    }

    /// Ends it without waiting for anything.
    pub(super) async fn stop(&self) {
        self.phase.send_replace(Phase::Stop);
        self.stop_reading.send_replace(true);
        self.writers.drain(PATIENCE).await;
        self.readers.drain(PATIENCE).await;
    }

    fn n_done(&self) -> BTreeMap<Lane, u64> {
        let lanes = self.n_done.iter();
        lanes
            .map(|(lane, n)| (*lane, n.load(Ordering::Relaxed)))
            .collect()
    }

    /// Whether it came true in time.
    async fn wait(&self, deadline: Instant, is_so: impl Fn() -> bool) -> bool {
        while !is_so() {
            if self.clock.now() >= deadline {
                return false;
            }
            self.clock.sleep_until(self.clock.now() + POLL_EVERY).await;
        }
        true
    }
}
