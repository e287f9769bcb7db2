//! One producer's batches to one broker: as many requests under way as it may, answers in order.

use std::collections::{BTreeMap, VecDeque};
use std::future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use drave_client::Posted;
use drave_client::raw;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::produce::{ProduceRequest, ProduceResponse};

use crate::cli::perf::alarm::Alarm;
use crate::cli::perf::load::Acks;
use crate::cli::perf::pace::{Due, Pace};
use crate::cli::perf::payload::{Payload, Sender};
use crate::cli::perf::stage::Lane;
use crate::cli::perf::{Kind, Run};

/// What the leader may wait for its followers.
const LEADER_PATIENCE: Duration = Duration::from_secs(30);
/// What is waited for an answer once the run is over: less than the run waits for its clients.
const ANSWER_PATIENCE: Duration = Duration::from_secs(20);
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
        // One timer for all: one for each answer costs a small request more than its bytes do.
        let patience = self.run.ends_at + ANSWER_PATIENCE;
        let mut under_way = VecDeque::new();
        tokio::select! {
            biased;
            written = self.write_all(&mut under_way) => return written,
            () = self.run.clock.sleep_until(patience) => {}
        }
        bail!(
            "{} answered nothing to {} request(s) within {ANSWER_PATIENCE:?} after the end",
            self.lane.connection.address(),
            under_way.len()
        )
    }

    /// Until the run is over and what was sent is answered.
    async fn write_all(&self, under_way: &mut VecDeque<Sent>) -> anyhow::Result<()> {
        let in_flight = usize::from(self.run.load.in_flight);
        let (mut pace, mut senders) = (self.pace.clone(), self.senders.clone());
        // Flat out nobody waits: no timer for each of many connections.
        let alarm = pace.as_ref().map(|_| Alarm::new(self.run.clock.clone()));
        let alarm = alarm.transpose().context("cannot have a timer")?;
        let mut requests = self.requests();
        let mut i_next = 0;
        let mut next = pace.as_mut().map(Pace::next);
        let mut is_over = false;
        while !is_over || !under_way.is_empty() {
            tokio::select! {
                // Answers first: how long they took is measured when they are taken.
                biased;
                answer = self.oldest(under_way) => {
                    let response = answer?;
                    let code = raw::produced(&response).code;
                    if code != ErrorCode::None {
                        bail!("{} refused a batch: {code:?}", self.lane.connection.address());
                    }
                    if let Some(answered) = under_way.pop_front() {
                        self.count(answered.batch, self.run.clock.now());
                    }
                }
                rung = self.due(next, alarm.as_ref()), if !is_over && under_way.len() < in_flight => {
                    rung.context("cannot wait for what is due")?;
                    let now = self.run.clock.now();
                    let due = next.unwrap_or(Due::at(now));
                    is_over = self.run.is_over(now) || self.run.is_over(due.at);
                    let Some((partition, request)) = requests.get_mut(i_next).filter(|_| !is_over) else {
                        continue;
                    };
                    let records = self.records(senders.get_mut(partition), due);
                    under_way.extend(self.post(request, records, due).await?);
                    next = pace.as_mut().map(Pace::next);
                    i_next = (i_next + 1) % requests.len();
                }
            }
        }
        Ok(())
    }

    /// One for each partition; only their records change.
    fn requests(&self) -> Vec<(i32, ProduceRequest)> {
        let acks = self.run.load.acks.number();
        let request = |partition: &i32| {
            let target = self.lane.target(*partition);
            let request = raw::produce_request(&target, acks, LEADER_PATIENCE, Bytes::new());
            (*partition, request)
        };
        self.lane.partitions.iter().map(request).collect()
    }

    /// Flat out, that is now.
    async fn due(&self, next: Option<Due>, alarm: Option<&Alarm>) -> io::Result<()> {
        match next.zip(alarm) {
            Some((due, alarm)) => alarm.wait_until(due.at.min(self.run.ends_at)).await,
            None => Ok(()),
        }
    }

    /// The answer to the oldest request; never while none is under way.
    ///
    /// Cancellation: safe, who waits for it stays in the queue.
    async fn oldest(&self, under_way: &mut VecDeque<Sent>) -> anyhow::Result<ProduceResponse> {
        match under_way.front_mut() {
            Some(oldest) => Ok(self.lane.connection.answered(&mut oldest.posted).await?),
            None => future::pending().await,
        }
    }

    async fn post(
        &self,
        request: &mut ProduceRequest,
        records: Bytes,
        due: Due,
    ) -> anyhow::Result<Option<Sent>> {
        let batch = Batch {
            due,
            n_records: self.payload.n_records(),
            n_bytes: records.len(),
        };
        raw::set_records(request, records);
        let connection = &self.lane.connection;
        if self.run.load.acks == Acks::None {
            connection.post_unanswered(request).await?;
            self.count(batch, self.run.clock.now());
            return Ok(None);
        }
        let posted = connection.post(request).await?;
        Ok(Some(Sent { posted, batch }))
    }

    fn records(&self, sender: Option<&mut Sender>, due: Due) -> Bytes {
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
