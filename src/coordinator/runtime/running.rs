//! The loop of one partition, in one epoch.
//!
//! Invariants: answers leave in the order they were decided in, each after the records of all before it are
//! committed; a loop whose partition is led in another epoch answers nothing but "not here".

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drave_protocol::ids::LeaderEpoch;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::loading::{self, Loaded};
use super::round::{EncodedDecision, Round};
use super::slot::{Ask, Gauges};
use crate::clock::Clock;
use crate::cluster::Metadata;
use crate::config::BrokerConfig;
use crate::coordinator::decision::{Decision, HeldAnswer};
use crate::coordinator::error::GroupError;
use crate::coordinator::group::GroupShard;
use crate::coordinator::group::context::Context;
use crate::coordinator::timers::Timers;
use crate::coordinator::writer::{Commit, PartitionWriter, WriteError};
use crate::random::Random;
use crate::tasks::Tasks;

/// What waits is taken together, up to this many.
const ROUND_MAX: usize = 512;
/// After a refused write, before the log is read again: what refused it may last.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Counting all of a shard takes a while: not after every request.
const SHOWN_AFTER: Duration = Duration::from_secs(1);

/// What every loop of a node works with.
#[derive(Clone, Debug)]
pub(in crate::coordinator) struct Surroundings {
    pub(in crate::coordinator) config: Arc<BrokerConfig>,
    pub(in crate::coordinator) clock: Clock,
    pub(in crate::coordinator) tasks: Tasks,
    pub(in crate::coordinator) random: Random,
    pub(in crate::coordinator) metadata: Metadata,
}

pub(in crate::coordinator) struct Running {
    pub(in crate::coordinator) partition: i32,
    pub(in crate::coordinator) epoch: LeaderEpoch,
    pub(in crate::coordinator) writer: Arc<dyn PartitionWriter>,
    pub(in crate::coordinator) gauges: Arc<Gauges>,
    pub(in crate::coordinator) asks: mpsc::Receiver<Ask>,
    pub(in crate::coordinator) around: Surroundings,
}

/// Why a shard is given up.
#[derive(Debug)]
enum End {
    /// The node stops, another leads, or nobody asks any more.
    Over,
    /// The log and the shard may differ: it is read again.
    Again(GroupError),
}

/// A batch that was written, and who waits for it.
struct InFlight {
    commit: Commit,
    /// When those who wait are told that it takes too long.
    deadline: Instant,
    answers: Vec<HeldAnswer>,
}

/// A shard while it serves.
struct Serving<'a> {
    run: &'a mut Running,
    shard: GroupShard,
    timers: Timers,
    in_flight: VecDeque<InFlight>,
    next_cleanup: Instant,
    /// When what changed since is shown.
    next_show: Option<Instant>,
}

impl Running {
    pub(in crate::coordinator) async fn run(mut self) {
        let tasks = self.around.tasks.clone();
        tokio::select! {
            () = tasks.stopping() => {}
            () = self.serve() => {}
        }
        self.gauges.set_loaded(false);
    }

    async fn serve(&mut self) {
        loop {
            let loaded = self.load().await;
            let end = match loaded {
                Ok(shard) => self.serve_shard(shard).await,
                Err(WriteError::NotLeading(_)) => End::Over,
                Err(error) => End::Again(GroupError::NotAvailable(error.to_string())),
            };
            self.gauges.set_loaded(false);
            let End::Again(error) = end else { return };
            warn!(partition = self.partition, %error, "groups are loaded anew");
            self.refuse_waiting(&error);
            let clock = self.around.clock.clone();
            clock.sleep_until(clock.now() + RETRY_AFTER).await;
            if self.asks.is_closed() {
                return;
            }
        }
    }

    /// What was asked before it was known that there is no shard to answer.
    fn refuse_waiting(&mut self, error: &GroupError) {
        while let Ok(ask) = self.asks.try_recv() {
            refuse(ask, error);
        }
    }

    async fn load(&self) -> Result<GroupShard, WriteError> {
        let started = self.around.clock.now();
        let (epoch, wall_ms) = (self.epoch, self.around.clock.wall_ms());
        let extent = self.writer.settled(epoch).await?;
        let writer = Arc::clone(&self.writer);
        let read = move || loading::load(&*writer, epoch, extent, wall_ms);
        let loaded = self.around.tasks.run_blocking(read).await;
        let stopped = || WriteError::Unreadable("the node is stopping".to_owned());
        let (shard, loaded) = loaded.ok_or_else(stopped)??;
        let Loaded {
            n_records,
            n_bytes,
            unknown_by_kind,
        } = loaded;
        let partition = self.partition;
        for (kind, n_records) in unknown_by_kind {
            warn!(
                partition,
                kind, n_records, "records of groups of a kind not known here are left out"
            );
        }
        let elapsed_ms = (self.around.clock.now() - started).as_millis();
        info!(
            partition,
            leader_epoch = %epoch,
            n_groups = shard.n_groups(),
            n_records,
            n_bytes,
            elapsed_ms,
            "coordinates groups"
        );
        Ok(shard)
    }

    async fn serve_shard(&mut self, shard: GroupShard) -> End {
        let cleanup = self.around.config.offsets_retention_check_interval;
        let mut serving = Serving {
            next_cleanup: self.around.clock.now() + cleanup,
            run: self,
            shard,
            timers: Timers::default(),
            in_flight: VecDeque::new(),
            next_show: None,
        };
        let end = serving.begin_and_serve().await;
        if let End::Again(error) = &end {
            let held = serving.in_flight.drain(..).flat_map(|it| it.answers);
            release_all(held, &Err(error.clone()));
        }
        end
    }
}

impl Serving<'_> {
    async fn begin_and_serve(&mut self) -> End {
        let cx = self.context();
        let begun = self.shard.loaded(&cx);
        if let Err(end) = self.decide(vec![begun], &cx) {
            return end;
        }
        self.run.gauges.show(&self.shard);
        self.run.gauges.set_loaded(true);
        loop {
            if let Err(end) = self.step().await {
                return end;
            }
        }
    }

    /// One turn: a commit, what was asked, or a deadline.
    async fn step(&mut self) -> Result<(), End> {
        let wake = self.next_wake();
        let mut asked = Vec::new();
        let clock = self.run.around.clock.clone();
        tokio::select! {
            biased; // commits first: each lets answers go and takes nothing in
            outcome = first_commit(&mut self.in_flight) => self.committed(outcome),
            n = self.run.asks.recv_many(&mut asked, ROUND_MAX) => match n {
                0 => Err(End::Over),
                _ => self.take(asked),
            },
            () = clock.sleep_until(wake) => self.deadlines_passed(),
        }
    }

    fn next_wake(&self) -> Instant {
        let deadlines = self.in_flight.iter().filter(|it| !it.answers.is_empty());
        let deadlines = deadlines.map(|it| it.deadline).min();
        let first = [self.timers.next(), deadlines, self.next_show];
        let first = first.into_iter().flatten().min();
        first.map_or(self.next_cleanup, |it| it.min(self.next_cleanup))
    }

    fn context(&self) -> Context {
        let around = &self.run.around;
        Context {
            now: around.clock.now(),
            wall_ms: around.clock.wall_ms(),
            config: Arc::clone(&around.config),
            view: around.metadata.view(),
            random: around.random.clone(),
        }
    }

    fn take(&mut self, asked: Vec<Ask>) -> Result<(), End> {
        if let Err(error) = self.run.writer.takes_appends(self.run.epoch) {
            // Better than to decide, fail to record it, and read the log again.
            let (refusal, _) = ended(&error);
            for ask in asked {
                refuse(ask, &refusal);
            }
            return Ok(());
        }
        let cx = self.context();
        let mut round = Round::default();
        for ask in asked {
            let decision = ask(Ok((&mut self.shard, &cx)));
            self.add(decision, &mut round, &cx)?;
        }
        self.write(round, &cx)
    }

    fn decide(&mut self, decisions: Vec<Decision<()>>, cx: &Context) -> Result<(), End> {
        let mut round = Round::default();
        for decision in decisions {
            self.add(decision, &mut round, cx)?;
        }
        self.write(round, cx)
    }

    /// Takes a decision into the shard, and its records into the next batch.
    fn add(&mut self, decision: Decision<()>, round: &mut Round, cx: &Context) -> Result<(), End> {
        let max = self.run.writer.batch_bytes_max();
        let encoded = EncodedDecision::of(&decision.records, cx.wall_ms);
        let fits = encoded.and_then(|it| {
            let size = it.n_bytes;
            let fits = Round::default().has_room(&it, max);
            fits.then_some(it).ok_or(GroupError::TooLarge { size, max })
        });
        let encoded = match fits {
            Ok(encoded) => encoded,
            Err(error) => {
                release_all(decision.answers, &Err(error.clone()));
                // Those before it stand; what this one changed beside its records is forgotten.
                self.write(std::mem::take(round), cx)?;
                return Err(End::Again(error));
            }
        };
        if !round.has_room(&encoded, max) {
            self.write(std::mem::take(round), cx)?;
        }
        for record in &decision.records {
            self.shard.replay(record, cx.wall_ms);
        }
        for change in decision.timers {
            self.timers.apply(change);
        }
        if !decision.records.is_empty() {
            self.next_show.get_or_insert(cx.now + SHOWN_AFTER);
        }
        round.add(encoded);
        round.answers.extend(decision.answers);
        Ok(())
    }

    fn write(&mut self, round: Round, cx: &Context) -> Result<(), End> {
        if !round.has_records() {
            self.hold(round.answers);
            return Ok(());
        }
        let (epoch, batch) = (self.run.epoch, round.batch());
        match self.run.writer.append(epoch, batch) {
            Ok(commit) => {
                let deadline = cx.now + cx.config.offsets_commit_timeout;
                self.in_flight.push_back(InFlight {
                    commit,
                    deadline,
                    answers: round.answers,
                });
                Ok(())
            }
            Err(error) => {
                let (refusal, end) = ended(&error);
                release_all(round.answers, &Err(refusal));
                Err(end)
            }
        }
    }

    /// Answers without records of their own wait for those they may have seen.
    fn hold(&mut self, answers: Vec<HeldAnswer>) {
        match self.in_flight.back_mut() {
            Some(last) => last.answers.extend(answers),
            None => self.release(answers),
        }
    }

    fn release(&self, answers: Vec<HeldAnswer>) {
        if answers.is_empty() {
            return;
        }
        // A leader that was overtaken, or does not know whether it was, would tell what is no longer so.
        let agreed = if self.run.writer.leads_in(self.run.epoch) {
            Ok(())
        } else {
            Err(GroupError::NotCoordinator)
        };
        release_all(answers, &agreed);
    }

    fn committed(&mut self, outcome: Result<(), WriteError>) -> Result<(), End> {
        let Some(first) = self.in_flight.pop_front() else {
            return Ok(());
        };
        match outcome {
            Ok(()) => {
                self.release(first.answers);
                Ok(())
            }
            Err(error) => {
                let (refusal, end) = ended(&error);
                release_all(first.answers, &Err(refusal));
                Err(end)
            }
        }
    }

    fn deadlines_passed(&mut self) -> Result<(), End> {
        let cx = self.context();
        if self.next_show.is_some_and(|it| it <= cx.now) {
            self.next_show = None;
            self.run.gauges.show(&self.shard);
        }
        self.give_up_waiting(cx.now);
        let mut round = Round::default();
        while let Some(key) = self.timers.take_due(cx.now) {
            let decision = self.shard.expire(&key, &cx);
            self.add(decision, &mut round, &cx)?;
        }
        self.write(round, &cx)?;
        if self.next_cleanup <= cx.now {
            self.next_cleanup = cx.now + cx.config.offsets_retention_check_interval;
            let mut decisions = self.shard.forget_old_offsets(&cx);
            decisions.push(self.shard.forget_deleted_topics(&cx));
            self.decide(decisions, &cx)?;
        }
        Ok(())
    }

    /// Tells those who wait too long; what they wait for may be committed later all the same.
    fn give_up_waiting(&mut self, now: Instant) {
        let overdue = self.in_flight.iter_mut().filter(|it| it.deadline <= now);
        for answer in overdue.flat_map(|it| std::mem::take(&mut it.answers)) {
            let reason = "not replicated in offsets.commit.timeout.ms".to_owned();
            answer.release(Err(GroupError::NotAvailable(reason)));
        }
    }
}

fn ended(error: &WriteError) -> (GroupError, End) {
    match error {
        WriteError::NotLeading(_) => (GroupError::NotCoordinator, End::Over),
        WriteError::Refused(reason)
        | WriteError::Uncertain(reason)
        | WriteError::Unreadable(reason) => {
            let refusal = GroupError::NotAvailable(reason.clone());
            (refusal.clone(), End::Again(refusal))
        }
    }
}

fn release_all(answers: impl IntoIterator<Item = HeldAnswer>, agreed: &Result<(), GroupError>) {
    for answer in answers {
        answer.release(agreed.clone());
    }
}

fn refuse(ask: Ask, error: &GroupError) {
    let refused = ask(Err(error.clone()));
    release_all(refused.answers, &Ok(()));
}

/// Resolves with the oldest batch's outcome; never when there is none.
///
/// Cancellation: safe, the commit stays where it is.
async fn first_commit(in_flight: &mut VecDeque<InFlight>) -> Result<(), WriteError> {
    match in_flight.front_mut() {
        Some(first) => first.commit.as_mut().await,
        None => pending().await,
    }
}
