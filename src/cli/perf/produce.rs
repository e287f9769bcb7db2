//! One producer's batches to one broker: as many requests under way as it may, answers in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use drave_client::Posted;
use drave_client::raw;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::produce::ProduceRequest;
use tokio::sync::{Semaphore, mpsc};

use crate::cli::perf::load::Acks;
use crate::cli::perf::pace::{Due, Pace};
use crate::cli::perf::payload::{Payload, Sender};
use crate::cli::perf::stage::Lane;
use crate::cli::perf::{Kind, Run};

/// What the leader may wait for its followers, and what is waited for the leader.
const LEADER_PATIENCE: Duration = Duration::from_secs(30);
const ANSWER_PATIENCE: Duration = Duration::from_mins(1);
/// So many latencies are noted of one batch.
const NOTED_MAX: u32 = 32;

#[derive(Debug)]
pub(super) struct Producer {
    run: Run,
    lane: Lane,
    payload: Payload,
    pace: Option<Pace>,
    /// The times of records are written into them.
    is_timed: bool,
    senders: BTreeMap<i32, Sender>,
}

/// A batch that left.
#[derive(Debug)]
struct Sent {
    posted: Posted<ProduceRequest>,
    batch: Batch,
}

#[derive(Clone, Copy, Debug)]
struct Batch {
    due: Due,
    n_records: u32,
    n_bytes: usize,
}

impl Producer {
    pub(super) fn new(run: Run, lane: Lane, kind: Kind, i_lane: u32, n_lanes: u32) -> Self {
        let load = &run.load;
        let n_records = load.records_per_batch(n_lanes);
        let packing = load.compression.packing();
        let payload = Payload::new(load.record_bytes, n_records, packing, run.clock.wall_ms());
        let pace = load
            .rate
            .map(|rate| Pace::new(run.clock.now(), rate, n_records, i_lane, n_lanes));
        Self {
            lane,
            payload,
            pace,
            is_timed: kind == Kind::EndToEnd,
            senders: BTreeMap::new(),
            run,
        }
    }

    /// Until the run is over, or something fails: a measurement of a cluster that refuses is none.
    pub(super) async fn run(mut self) {
        let client = self.lane.client;
        let meter = Arc::clone(&self.run.written);
        if let Err(error) = self.write().await {
            meter.failed(client, &format!("{error:#}"));
        }
    }

    async fn write(&mut self) -> anyhow::Result<()> {
        if self.run.load.idempotence {
            let (id, epoch) = raw::init_producer_id(&self.lane.connection, ANSWER_PATIENCE).await?;
            let sender = Sender {
                id,
                epoch,
                sequence: 0,
            };
            let partitions = self.lane.partitions.iter();
            self.senders = partitions.map(|it| (*it, sender)).collect();
        }
        let in_flight = usize::from(self.run.load.in_flight);
        let window = Semaphore::new(in_flight);
        let (sent, answers) = mpsc::channel(in_flight);
        let (pace, senders) = (self.pace.take(), std::mem::take(&mut self.senders));
        let (sending, collecting) = tokio::join!(
            self.send(pace, senders, sent, &window),
            self.collect(answers, &window)
        );
        // Why the answers ended says more than that nothing could be sent any more.
        collecting.and(sending)
    }

    async fn send(
        &self,
        mut pace: Option<Pace>,
        mut senders: BTreeMap<i32, Sender>,
        sent: mpsc::Sender<Sent>,
        window: &Semaphore,
    ) -> anyhow::Result<()> {
        let clock = &self.run.clock;
        for partition in self.lane.partitions.iter().cycle() {
            let due = pace.as_mut().map(Pace::next);
            if let Some(due) = due {
                clock.sleep_until(due.at.min(self.run.ends_at)).await;
            }
            let Ok(permit) = window.acquire().await else {
                break;
            };
            let now = clock.now();
            let due = due.unwrap_or(Due::at(now));
            if self.run.is_over(now) || self.run.is_over(due.at) {
                break;
            }
            let records = self.records(senders.get_mut(partition), due);
            let batch = Batch {
                due,
                n_records: self.payload.n_records(),
                n_bytes: records.len(),
            };
            let target = self.lane.target(*partition);
            let acks = self.run.load.acks;
            let request = raw::produce_request(&target, acks.number(), LEADER_PATIENCE, records);
            if acks == Acks::None {
                self.lane.connection.post_unanswered(&request).await?;
                self.count(batch, clock.now());
                continue;
            }
            let posted = self.lane.connection.post(&request).await?;
            permit.forget();
            if sent.send(Sent { posted, batch }).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    fn records(&self, sender: Option<&mut Sender>, due: Due) -> bytes::Bytes {
        let n = self.payload.n_records();
        let since = |at: Instant| {
            let nanos = at.saturating_duration_since(self.run.started).as_nanos();
            u64::try_from(nanos).unwrap_or(u64::MAX)
        };
        let times: Option<Vec<u64>> = self
            .is_timed
            .then(|| (0..n).map(|i| since(due.record_at(i, n))).collect());
        let wall_ms = self.run.clock.wall_ms();
        self.payload.batch(sender, times.as_deref(), wall_ms)
    }

    async fn collect(
        &self,
        mut answers: mpsc::Receiver<Sent>,
        window: &Semaphore,
    ) -> anyhow::Result<()> {
        let outcome = async {
            while let Some(Sent { posted, batch }) = answers.recv().await {
                let connection = &self.lane.connection;
                let response = connection.answer(posted, ANSWER_PATIENCE).await?;
                let code = raw::produced(&response).code;
                if code != ErrorCode::None {
                    bail!("{} refused a batch: {code:?}", connection.address());
                }
                window.add_permits(1);
                self.count(batch, self.run.clock.now());
            }
            Ok(())
        };
        let outcome = outcome.await;
        window.close();
        outcome
    }

    fn count(&self, batch: Batch, acked_at: Instant) {
        if batch.due.at < self.run.counted_from {
            return;
        }
        let n = batch.n_records;
        let each = n.div_ceil(NOTED_MAX);
        self.run.written.count(self.lane.client, |tally| {
            tally.n_requests += 1;
            tally.n_records += u64::from(n);
            tally.n_bytes += u64::try_from(batch.n_bytes).unwrap_or(0);
            tally.span = acked_at - self.run.counted_from;
            let step = usize::try_from(each).unwrap_or(1);
            for i in (0..n).step_by(step) {
                let came = batch.due.record_at(i, n);
                let standing_for = each.min(n - i);
                tally.delay(
                    acked_at.saturating_duration_since(came),
                    standing_for.into(),
                );
            }
        });
    }
}
