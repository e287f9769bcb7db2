//! One producer at work in one partition, by the rules of a real one.
//!
//! Invariants: batches leave in order; a batch leaves again only while its outcome is unknown or refused,
//! with the same records and the same sequence; after a failure nothing leaves until every answer under
//! way is in; a producer that is not idempotent has one batch under way. So what is found twice is a
//! retry whose first try went through, and what is found in another order is the cluster's doing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use drave_client::raw::{self, Target};
use drave_client::{ClientError, Connection, Leader, Leaders};
use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{Offset, ProducerId};
use drave_protocol::record::builder::BatchBuilder;
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinSet;

use crate::cli::verify::history::History;
use crate::cli::verify::payload;
use crate::clock::Clock;
use crate::oracle::event::{Acks, Event, Lane, Promise};

/// As many batches as a broker remembers of a producer: a retry is always among them.
const UNDER_WAY_MAX: u64 = 5;
/// What the leader may wait for its followers, and what is waited for the leader.
const LEADER_PATIENCE: Duration = Duration::from_secs(2);
const ANSWER_PATIENCE: Duration = Duration::from_secs(3);
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(160);

/// What writers are to do; it only ever rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Write,
    /// Bring to its end what is begun, begin nothing.
    Finish,
    Stop,
}

#[derive(Debug)]
pub(super) struct Writer {
    pub(super) lane: Lane,
    pub(super) promise: Promise,
    /// Shared by the lanes of one producer.
    pub(super) identity: Arc<OnceCell<Identity>>,
    pub(super) leaders: Arc<Leaders>,
    pub(super) history: Arc<History>,
    pub(super) clock: Clock,
    /// A batch is due this often.
    pub(super) pace: Duration,
    pub(super) n_records: u32,
    pub(super) record_bytes: usize,
    pub(super) phase: watch::Receiver<Phase>,
    /// Batches brought to their end, for whoever waits for progress.
    pub(super) n_done: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Batch {
    first: u64,
    bytes: Bytes,
    /// Whether its answer is waited for.
    is_under_way: bool,
    was_sent: bool,
}

/// What an idempotent producer is known by, in all its partitions.
pub(super) type Identity = (ProducerId, i16);

type Answer = (u64, Leader, Result<raw::Produced, ClientError>);

impl Writer {
    pub(super) async fn run(self) {
        let promise = self.promise;
        let mut at_work = AtWork {
            pending: VecDeque::new(),
            answers: JoinSet::new(),
            last: None,
            next: 0,
            due: self.clock.now(),
            has_failed: false,
            pause: PAUSE_MIN,
            window: if promise.idempotent { UNDER_WAY_MAX } else { 1 },
            of: self,
        };
        while !at_work.is_over() {
            at_work.step().await;
        }
    }

    fn target(&self, leader: &Leader) -> Target {
        Target {
            topic: self.leaders.topic().to_owned(),
            topic_id: leader.topic_id,
            partition: self.lane.partition,
        }
    }
}

struct AtWork {
    of: Writer,
    pending: VecDeque<Batch>,
    answers: JoinSet<Answer>,
    /// Whom the last batch went to.
    last: Option<(Leader, Arc<Connection>)>,
    /// The number of the next record.
    next: u64,
    due: Instant,
    has_failed: bool,
    pause: Duration,
    window: u64,
}

impl AtWork {
    fn is_over(&mut self) -> bool {
        // Marks it as seen: the wait below is for the next one.
        match *self.of.phase.borrow_and_update() {
            Phase::Write => false,
            Phase::Finish => self.pending.is_empty(),
            Phase::Stop => true,
        }
    }

    async fn step(&mut self) {
        if self.has_failed && self.answers.is_empty() {
            for batch in &mut self.pending {
                batch.is_under_way = false;
            }
            self.has_failed = false;
            self.rest().await;
        }
        self.make_what_is_due();
        if !self.has_failed && self.pending.iter().any(|it| !it.is_under_way) {
            let sent = tokio::time::timeout(ANSWER_PATIENCE, self.send()).await;
            let sent = sent.map_err(|_| "no connection in time".to_owned());
            if let Err(error) = sent.and_then(|it| it.map_err(|error| told(&error))) {
                self.of.history.failed(&error);
                self.has_failed = true;
                return;
            }
        }
        self.wait().await;
    }

    /// Longer after every failure without an ack between.
    async fn rest(&mut self) {
        let clock = self.of.clock.clone();
        clock.sleep_until(clock.now() + self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    fn make_what_is_due(&mut self) {
        let now = self.of.clock.now();
        let is_writing = *self.of.phase.borrow() == Phase::Write;
        while is_writing && self.due <= now && self.has_room() {
            // Idempotent batches carry an id, which has to be asked for first.
            self.pending.push_back(Batch {
                first: self.next,
                bytes: Bytes::new(),
                is_under_way: false,
                was_sent: false,
            });
            self.next += u64::from(self.of.n_records);
            // What could not be written while nobody led is not made up for.
            self.due = (self.due + self.of.pace).max(now);
        }
    }

    /// Counted from the oldest that has no answer: who goes on past it may find it forgotten when it is
    /// sent again. The very first goes alone: a producer nobody knows may begin with any sequence
    /// (KAFKA-14359), so were it refused and the second taken, it would be out of order for ever.
    fn has_room(&self) -> bool {
        let n_records = u64::from(self.of.n_records);
        let oldest = self.pending.front().map_or(self.next, |it| it.first);
        let window = if oldest == 0 { 1 } else { self.window };
        self.next - oldest < n_records * window
    }

    async fn send(&mut self) -> Result<(), ClientError> {
        let partition = self.of.lane.partition;
        // Who waits for no answer hears of a failure only by the connection that was closed.
        if let Some((leader, _)) = self.last.take_if(|(_, it)| it.is_closed()) {
            self.of.leaders.distrust(partition, &leader);
        }
        let (leader, connection) = self.of.leaders.connect(partition).await?;
        self.last = Some((leader.clone(), Arc::clone(&connection)));
        let identity = self.identify(&leader, &connection).await?;
        for at in 0..self.pending.len() {
            let posted = self.post(at, identity, &leader, &connection).await;
            if posted.is_err() {
                self.of.leaders.distrust(self.of.lane.partition, &leader);
                return posted;
            }
        }
        // What is not answered is done once it is on its way.
        if self.of.promise.acks == Acks::None {
            let n_done = std::mem::take(&mut self.pending).len();
            self.done(n_done);
        }
        Ok(())
    }

    async fn identify(
        &self,
        leader: &Leader,
        connection: &Connection,
    ) -> Result<Option<Identity>, ClientError> {
        if !self.of.promise.idempotent {
            return Ok(None);
        }
        let ask = || raw::init_producer_id(connection, ANSWER_PATIENCE);
        let identity = self.of.identity.get_or_try_init(ask).await;
        if identity.is_err() {
            self.of.leaders.distrust(self.of.lane.partition, leader);
        }
        identity.copied().map(Some)
    }

    async fn post(
        &mut self,
        at: usize,
        identity: Option<Identity>,
        leader: &Leader,
        connection: &Arc<Connection>,
    ) -> Result<(), ClientError> {
        let Some(batch) = self.pending.get_mut(at).filter(|it| !it.is_under_way) else {
            return Ok(());
        };
        if batch.bytes.is_empty() {
            batch.bytes = self.of.batch(batch.first, identity);
        }
        if !batch.was_sent {
            self.of.history.saw(&Event::Sent {
                lane: self.of.lane,
                first: batch.first,
                n: self.of.n_records,
            });
            batch.was_sent = true;
        }
        let acks = match self.of.promise.acks {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        };
        let bytes = batch.bytes.clone();
        let target = self.of.target(leader);
        let request = raw::produce_request(&target, acks, LEADER_PATIENCE, bytes);
        if acks == 0 {
            return connection.post_unanswered(&request).await;
        }
        let posted = connection.post(&request).await?;
        batch.is_under_way = true;
        let (first, connection, leader) = (batch.first, Arc::clone(connection), leader.clone());
        self.answers.spawn(async move {
            let answer = connection.answer(posted, ANSWER_PATIENCE).await;
            (first, leader, answer.map(|it| raw::produced(&it)))
        });
        Ok(())
    }

    async fn wait(&mut self) {
        let has_room = self.has_room() && !self.has_failed;
        let is_writing = *self.of.phase.borrow() == Phase::Write;
        let clock = self.of.clock.clone();
        let answered = tokio::select! {
            answered = self.answers.join_next(), if !self.answers.is_empty() => answered,
            () = clock.sleep_until(self.due), if has_room && is_writing => None,
            // The sender outlives every writer.
            _ = self.of.phase.changed() => None,
        };
        if let Some(Ok(answer)) = answered {
            self.answered(answer);
        }
    }

    fn answered(&mut self, (first, leader, outcome): Answer) {
        let offset = match outcome {
            Ok(produced) if produced.code == ErrorCode::None => Some(produced.base_offset),
            // It is there, where is not known any more.
            Ok(produced) if produced.code == ErrorCode::DuplicateSequenceNumber => None,
            Ok(produced) => return self.refused(&leader, &produced.code.to_string()),
            Err(error) => return self.refused(&leader, &told(&error)),
        };
        let offset = offset.filter(|it| *it != Offset::UNKNOWN).map(|it| it.0);
        self.of.history.saw(&Event::Acked {
            lane: self.of.lane,
            first,
            n: self.of.n_records,
            offset,
        });
        self.pending.retain(|it| it.first != first);
        self.pause = PAUSE_MIN;
        self.done(1);
    }

    fn refused(&mut self, leader: &Leader, what: &str) {
        self.of.history.failed(&format!("produce: {what}"));
        self.of.leaders.distrust(self.of.lane.partition, leader);
        self.has_failed = true;
    }

    fn done(&self, n: usize) {
        let n = u64::try_from(n).unwrap_or_default();
        self.of.n_done.fetch_add(n, Ordering::Relaxed);
    }
}

impl Writer {
    fn batch(&self, first: u64, identity: Option<Identity>) -> Bytes {
        let mut batch = BatchBuilder::new();
        if let Some((id, epoch)) = identity {
            // Sequences wrap where Kafka's do.
            let sequence = i32::try_from(first % (1 << 31)).unwrap_or_default();
            batch = batch.producer(id, epoch, sequence);
        }
        let now_ms = self.clock.wall_ms();
        for number in (first..).take(usize::try_from(self.n_records).unwrap_or_default()) {
            let key = payload::key(self.lane.producer, number);
            let value = payload::value(self.lane.producer, number, self.record_bytes);
            batch = batch.key_value(now_ms, key, value);
        }
        batch.build().freeze()
    }
}

/// Errors of a kind under one name, without the address.
pub(super) fn told(error: &ClientError) -> String {
    match error {
        ClientError::Connect { .. } => "cannot connect".to_owned(),
        ClientError::Timeout { what, .. } => format!("no answer to {what}"),
        ClientError::Closed { .. } => "connection closed".to_owned(),
        ClientError::NoBroker { .. } => "no leader known".to_owned(),
        ClientError::Refused { code, .. } => code.to_string(),
        ClientError::NoCommonVersion { .. }
        | ClientError::Encode { .. }
        | ClientError::Malformed { .. } => error.to_string(),
    }
}
