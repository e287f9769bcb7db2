//! One consumer of some partitions of one broker: a fetch at a time, as Kafka's clients do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use drave_client::raw::{self, Isolation};
use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::Offset;
use drave_protocol::record::batch::{self, BatchHeader};
use drave_protocol::record::record;
use drave_protocol::schema::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData,
};

use crate::cli::perf::meter::Tally;
use crate::cli::perf::payload;
use crate::cli::perf::stage::Lane;
use crate::cli::perf::{Kind, Run};

/// As Kafka's consumers have them.
const WAIT: Duration = Duration::from_millis(500);
const FETCH_BYTES_MAX: i32 = 52_428_800;
const ANSWER_PATIENCE: Duration = Duration::from_mins(1);
/// How long after the last record was due one may wait for it.
const LATE_MAX: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct Reader {
    run: Run,
    lane: Lane,
    kind: Kind,
    positions: BTreeMap<i32, i64>,
    /// Where a consume ends.
    ends: BTreeMap<i32, i64>,
}

impl Reader {
    /// One who reads what is there starts at offset 0; one who reads along, at the end.
    pub(super) async fn open(
        run: Run,
        lane: Lane,
        kind: Kind,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let mut ends = BTreeMap::new();
        for partition in &lane.partitions {
            let target = lane.target(*partition);
            let isolation = Isolation::ReadUncommitted;
            let end = raw::latest_offset(&lane.connection, &target, isolation, patience).await?;
            ends.insert(*partition, end.0);
        }
        let positions = match kind {
            Kind::Consume => ends.keys().map(|it| (*it, 0)).collect(),
            Kind::Produce | Kind::EndToEnd | Kind::Mixed => ends.clone(),
        };
        Ok(Self {
            run,
            lane,
            kind,
            positions,
            ends,
        })
    }

    pub(super) async fn run(mut self) {
        let meter = Arc::clone(&self.run.read);
        if let Err(error) = self.read().await {
            meter.failed(self.lane.client, &format!("{error:#}"));
        }
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        loop {
            let asked_at = self.run.clock.now();
            let request = self.request();
            let response = self.lane.connection.fetch(request, ANSWER_PATIENCE).await?;
            let n_bytes = self.take(response, asked_at)?;
            if self.is_done(n_bytes)? {
                return Ok(());
            }
        }
    }

    fn is_done(&self, n_bytes: usize) -> anyhow::Result<bool> {
        let now = self.run.clock.now();
        if self.kind == Kind::Consume {
            let mut places = self.positions.iter();
            let at_end = places.all(|(it, at)| self.ends.get(it).is_none_or(|end| at >= end));
            return Ok(at_end || self.run.is_over(now));
        }
        if now > self.run.ends_at + LATE_MAX {
            bail!("records still came {LATE_MAX:?} after the last was due");
        }
        Ok(self.run.is_over(now) && n_bytes == 0)
    }

    fn request(&self) -> FetchRequest {
        let partition = |(partition, position): (&i32, &i64)| FetchPartition {
            partition: *partition,
            fetch_offset: *position,
            last_fetched_epoch: -1,
            partition_max_bytes: self.run.load.fetch_bytes,
            ..FetchPartition::default()
        };
        FetchRequest {
            max_wait_ms: i32::try_from(WAIT.as_millis()).unwrap_or(i32::MAX),
            min_bytes: 1,
            max_bytes: FETCH_BYTES_MAX.max(self.run.load.fetch_bytes),
            topics: vec![FetchTopic {
                topic: self.lane.topic.clone(),
                topic_id: self.lane.topic_id,
                partitions: self.positions.iter().map(partition).collect(),
            }],
            ..FetchRequest::default()
        }
    }

    fn take(&mut self, response: FetchResponse, asked_at: Instant) -> anyhow::Result<usize> {
        let code = ErrorCode::from_number(response.error_code);
        if code.is_error() {
            bail!(
                "{} refused a fetch: {code:?}",
                self.lane.connection.address()
            );
        }
        let now = self.run.clock.now();
        let mut all = Taken::default();
        let topics = response.responses.into_iter();
        for data in topics.flat_map(|it| it.partitions) {
            self.take_partition(data, now, &mut all)?;
        }
        let is_consume = self.kind == Kind::Consume;
        self.run.read.count(self.lane.client, |tally| {
            tally.n_requests += 1;
            if all.n_records > 0 {
                all.add_to(tally);
                tally.span = now.saturating_duration_since(self.run.counted_from);
            }
            if is_consume && all.n_bytes > 0 {
                tally.delay(now - asked_at, 1);
            }
        });
        Ok(all.n_bytes)
    }

    fn take_partition(
        &mut self,
        data: PartitionData,
        now: Instant,
        all: &mut Taken,
    ) -> anyhow::Result<()> {
        let partition = data.partition_index;
        let code = ErrorCode::from_number(data.error_code);
        let position = self.positions.entry(partition).or_insert(0);
        if code == ErrorCode::OffsetOutOfRange && data.log_start_offset > *position {
            *position = data.log_start_offset;
            return Ok(());
        }
        if code.is_error() {
            bail!("{}-{partition} at {position}: {code:?}", self.lane.topic);
        }
        let records = data.records.unwrap_or_default();
        for found in batch::iter(&records) {
            // An answer may end in a batch cut short; it comes whole with the next.
            let Ok((_, header, bytes)) = found else { break };
            if !self.run.load.skip_crc && !batch::verify_crc(bytes) {
                bail!(
                    "{}-{partition}: batch at {position} is damaged",
                    self.lane.topic
                );
            }
            all.n_bytes += bytes.len();
            if self.kind == Kind::EndToEnd {
                all.timed(bytes, &self.run, now);
            } else if now >= self.run.counted_from {
                all.counted(&header, Offset(*position));
            }
            *position = header.next_offset().0;
        }
        Ok(())
    }
}

/// What one fetch brought.
#[derive(Debug, Default)]
struct Taken {
    n_records: u64,
    n_bytes: usize,
    n_counted_bytes: u64,
    delays: Vec<Duration>,
}

impl Taken {
    fn counted(&mut self, header: &BatchHeader, from: Offset) {
        let n = header.next_offset() - from.max(header.base_offset);
        self.n_records += u64::try_from(n).unwrap_or(0);
        self.n_counted_bytes += u64::try_from(header.total_size()).unwrap_or(0);
    }

    fn timed(&mut self, batch: &[u8], run: &Run, now: Instant) {
        self.n_counted_bytes += u64::try_from(batch.len()).unwrap_or(0);
        let Ok(records) = record::iter(batch) else {
            return;
        };
        for time in records.filter_map(|it| payload::time_in(&it.ok()?)) {
            let came = run.started + Duration::from_nanos(time);
            if came >= run.counted_from {
                self.n_records += 1;
                self.delays.push(now.saturating_duration_since(came));
            }
        }
    }

    fn add_to(&self, tally: &mut Tally) {
        tally.n_records += self.n_records;
        tally.n_bytes += self.n_counted_bytes;
        for delay in &self.delays {
            tally.delay(*delay, 1);
        }
    }
}
