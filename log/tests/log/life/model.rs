//! A log as plain data: every batch it ever held since it last started over.

use std::fmt;

use drave_protocol::ids::{LeaderEpoch, Offset, ProducerId};
use drave_protocol::record::batch::BatchHeader;
use drave_protocol::record::builder::BatchBuilder;
use drave_protocol::record::compression::Packing;

use crate::life::{By, Op, Recipe};
use crate::support::NOW;

/// One batch as it must lie in the log.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) base: i64,
    pub(crate) next: i64,
    pub(crate) epoch: i32,
    pub(crate) bytes: Vec<u8>,
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{} of epoch {}", self.base, self.next, self.epoch)
    }
}

impl Stored {
    pub(crate) fn header(&self) -> BatchHeader {
        BatchHeader::parse(&self.bytes).unwrap()
    }
}

/// What the log holds, and how much of it is durable.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// Those below `start` among them: a producer is remembered by batches that are gone.
    pub(crate) batches: Vec<Stored>,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) synced: i64,
    pub(crate) epoch: i32,
    pub(crate) now_ms: i64,
    /// What was cut off by an operation that failed half-way: until the next sync it may come back.
    pub(crate) ghosts: Vec<Stored>,
    /// Batches whose producers the log need not know, by base offset.
    pub(crate) forgotten: Vec<i64>,
    /// The start that the log directory was last told of; a cut below it is not told.
    pub(crate) noted_start: i64,
    /// Where the first batch that is still there started, or will.
    origin: i64,
    may_have_holes: bool,
    n_built: usize,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            batches: Vec::new(),
            start: 0,
            end: 0,
            synced: 0,
            epoch: 0,
            now_ms: NOW,
            ghosts: Vec::new(),
            forgotten: Vec::new(),
            noted_start: 0,
            origin: 0,
            may_have_holes: false,
            n_built: 0,
        }
    }
}

impl Model {
    /// The batches that can be read, whole or in part.
    pub(crate) fn readable(&self) -> Vec<Stored> {
        let readable = self.batches.iter().filter(|it| it.next > self.start);
        readable.cloned().collect()
    }

    fn of(&self, producer: i64) -> impl Iterator<Item = BatchHeader> {
        let known = self.batches.iter().rev();
        let known = known.filter(|it| !self.forgotten.contains(&it.base));
        let headers = known.map(Stored::header);
        headers.filter(move |it| it.producer_id == ProducerId(producer))
    }

    fn next_sequence(&self, producer: i64) -> i32 {
        let last = self.of(producer).find(|it| !it.is_control());
        last.map_or(0, |it| it.base_sequence + it.records_count)
    }

    fn has_open_transaction(&self, producer: i64) -> bool {
        let last = self.of(producer).next();
        last.is_some_and(|it| !it.is_control() && it.is_transactional())
    }

    fn builder(&self) -> BatchBuilder {
        BatchBuilder::new()
            .base_offset(Offset(self.end))
            .leader_epoch(LeaderEpoch(self.epoch))
    }

    fn build(&mut self, recipe: &Recipe) {
        let mut builder = self.builder().packed(Packing::of(recipe.codec));
        if let By::Producer(id) | By::Transaction(id) = recipe.by {
            builder = builder.producer(ProducerId(id), 0, self.next_sequence(id));
            if matches!(recipe.by, By::Transaction(_)) || self.has_open_transaction(id) {
                builder = builder.transactional();
            }
        }
        for size in &recipe.sizes {
            self.n_built += 1;
            // Times rise and fall, and meet again.
            let time = self.now_ms + i64::try_from(self.n_built * 37 % 101).unwrap();
            let value = format!("{:06}{}", self.n_built, "x".repeat(*size));
            builder = builder.value(time, value);
        }
        self.push(&builder);
    }

    fn build_end(&mut self, producer: i64, is_aborted: bool) {
        let key = vec![0, 0, 0, u8::from(!is_aborted)];
        let builder = self
            .builder()
            .producer(ProducerId(producer), 0, -1)
            .transactional()
            .control()
            .key_value(self.now_ms, key, vec![0, 0, 0, 0, 0, 1]);
        self.push(&builder);
    }

    fn push(&mut self, builder: &BatchBuilder) {
        let next = self.end + i64::try_from(builder.len()).unwrap();
        self.batches.push(Stored {
            base: self.end,
            next,
            epoch: self.epoch,
            bytes: builder.build().to_vec(),
        });
        self.end = next;
    }

    /// The offset at this percentage of what can be read.
    pub(crate) fn at(&self, percent: i64) -> i64 {
        self.start + (self.end - self.start) * percent / 100
    }

    /// What the model is after an operation that succeeded.
    pub(crate) fn after(&self, op: &Op) -> Self {
        let mut next = self.clone();
        match op {
            Op::Append(recipe) => next.build(recipe),
            Op::Follow(recipes) => recipes.iter().for_each(|it| next.build(it)),
            Op::FollowAfterHole { missing, recipe } => {
                if !self.may_have_holes {
                    // The log becomes durable before it may get the first one.
                    next.synced = self.end;
                    next.may_have_holes = true;
                }
                next.end += missing;
                next.build(recipe);
            }
            Op::End {
                producer,
                is_aborted,
            } => next.build_end(*producer, *is_aborted),
            Op::NewEpoch => next.epoch += 1,
            Op::Sync => {
                next.synced = next.end;
                next.ghosts.clear();
            }
            Op::Checkpoint => next.noted_start = self.start,
            Op::Roll => {}
            Op::Truncate { percent } => next.truncate(self.at(*percent)),
            // Of old segments this is the most that may go; how much does is the log's choice.
            Op::AdvanceStart { percent } | Op::Retain { percent } => {
                next.start = self.at(*percent).max(self.start);
            }
            Op::Reset { ahead } => {
                next.batches.clear();
                next.forgotten.clear();
                next.start = self.end + ahead;
                next.end = next.start;
                next.origin = next.start;
                next.synced = next.start;
            }
            Op::Wait { ms } => next.now_ms += ms,
        }
        next
    }

    /// What never goes back, whatever became of the operation that led to `later`.
    pub(crate) fn take_over(&mut self, before: &Self, later: &Self) {
        let is_gone = |it: &&Stored| it.base >= self.end;
        let gone = before.batches.iter().filter(is_gone);
        self.ghosts.extend(gone.cloned());
        self.noted_start = before.noted_start.max(later.noted_start);
        self.epoch = later.epoch;
        self.now_ms = later.now_ms;
        self.n_built = later.n_built;
        self.may_have_holes |= later.may_have_holes;
        // Nothing could be read, and the log started over.
        if self.batches.last().is_none_or(|it| it.next < self.end) {
            self.origin = self.end;
        }
    }

    /// The batch that holds the offset goes too.
    fn truncate(&mut self, to: i64) {
        let there = |it: &Stored| it.base >= self.origin && it.next > to;
        let Some(at) = self.batches.iter().position(there) else {
            return;
        };
        self.batches.truncate(at);
        let before = self.batches.last().map_or(self.origin, |it| it.next);
        self.end = before.max(self.origin);
        self.forgotten.retain(|base| *base < before);
        self.start = self.start.min(self.end);
        self.synced = self.synced.min(self.end);
    }
}
