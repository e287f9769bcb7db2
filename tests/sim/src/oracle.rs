//! Facts in, violations out. Keeps what the facts amount to, so that no invariant keeps it again.

use std::collections::BTreeMap;
use std::fmt;

use drave_protocol::ids::{LeaderEpoch, NodeId, Offset, PartitionEpoch};

use crate::history::{Agreed, Batch, Fact, Moment};
use crate::invariants::{self, Invariant};

/// So many of a producer's batches are known again.
const WINDOW: usize = 5;

/// What the partition promises in this run.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    pub min_isr: usize,
    /// What counts is on disk first.
    pub counts_on_disk: bool,
    /// Whether more replicas may lose their bytes than the settings protect from: acked records may be
    /// lost then, and nothing is said of them.
    pub may_lose: bool,
}

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub invariant: &'static str,
    pub what: String,
    pub at: Moment,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.at / 1000;
        write!(f, "{} at {ms} ms: {}", self.invariant, self.what)
    }
}

/// A replica as the facts tell it.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Replica {
    pub batches: Vec<Batch>,
    pub synced: Offset,
    pub runs: bool,
    /// Its log was lost; what it holds says nothing of what it promised.
    pub begun_anew: bool,
    /// It stopped in a way that may have cost it what it had not synced, and has not been let into the
    /// ISR since.
    pub is_suspect: bool,
    pub high_watermark: Offset,
    pub log_start: Offset,
    /// What no crash takes its start below.
    pub noted_start: Offset,
    /// It never had what was before, since it began.
    pub origin: Offset,
    /// Its start may fall: it lies above what is committed since records were given up.
    pub may_fall: bool,
}

impl Replica {
    pub fn end(&self) -> Offset {
        self.batches.last().map_or(self.log_start, |it| it.last + 1)
    }

    /// Whether it may follow on what is there: at its end, or around the start of a log that is empty.
    pub fn takes(&self, batch: &Batch) -> bool {
        let is_around_start = batch.base < self.log_start && self.log_start <= batch.last;
        batch.base == self.end() || self.batches.is_empty() && is_around_start
    }

    fn starts_at(&mut self, log_start: Offset) {
        self.log_start = log_start;
        self.batches.retain(|it| it.last >= log_start);
    }

    pub fn batch_at(&self, offset: Offset) -> Option<&Batch> {
        let at = self.batches.partition_point(|it| it.last < offset);
        self.batches.get(at).filter(|it| it.base <= offset)
    }
}

/// All that is known.
#[derive(Debug)]
pub struct Known {
    pub promise: Promise,
    pub now: Moment,
    pub replicas: BTreeMap<NodeId, Replica>,
    pub agreed: Option<Agreed>,
    /// The ISR at each partition epoch.
    pub isr_at: BTreeMap<PartitionEpoch, Vec<NodeId>>,
    /// What some leader's high watermark passed: the partition's history, for ever.
    pub committed: Vec<Batch>,
    /// Nobody is owed what is below: it was deleted, or that was asked for.
    pub deleted_to: Offset,
    /// When somebody was elected last who may lack what is committed. Who led before is owed nothing any more.
    pub given_up_at: Option<PartitionEpoch>,
    /// The highest offset at which a replica began without what was before.
    pub begun_at: Offset,
    /// Index of the first batch in `committed` that the last fact added.
    pub newly_committed: usize,
}

impl Known {
    pub fn replica(&self, node: NodeId) -> Option<&Replica> {
        self.replicas.get(&node)
    }

    /// Whether no later leader is agreed on: one that learns late that it led is none.
    pub fn is_current(&self, leader_epoch: LeaderEpoch) -> bool {
        let agreed = self.agreed.as_ref();
        agreed.is_none_or(|it| leader_epoch >= it.leader_epoch)
    }

    /// Whether the partition went on since with what a replica had that may lack what was committed then.
    pub fn is_given_up(&self, partition_epoch: PartitionEpoch) -> bool {
        self.given_up_at.is_some_and(|at| partition_epoch < at)
    }

    fn is_unclean(&self, agreed: &Agreed) -> bool {
        let before = self.agreed.as_ref().map(|it| it.leader_epoch);
        agreed.is_recovering && before.is_some_and(|it| agreed.leader_epoch > it)
    }

    /// The highest high watermark there ever was.
    pub fn true_high_watermark(&self) -> Offset {
        self.committed.last().map_or(Offset::ZERO, |it| it.last + 1)
    }

    /// How many of the committed batches a replica holds, from the first on; those that end before its log
    /// starts are counted as if it did.
    pub fn n_committed_in(&self, replica: &Replica) -> usize {
        let start = replica.log_start;
        let before = self.committed.partition_point(|it| it.last < start);
        let committed = &self.committed[before..];
        // Logs that match at a batch match before it; so the common case is one comparison.
        let n = replica.batches.len().min(committed.len());
        let held = match n.checked_sub(1) {
            Some(last) if replica.batches[last] == committed[last] => n,
            Some(_) => {
                let pairs = replica.batches.iter().zip(committed);
                pairs
                    .take_while(|(held, committed)| held == committed)
                    .count()
            }
            None => 0,
        };
        before + held
    }

    /// Whether one who began at `origin` may not know the last batches of a producer.
    pub fn may_not_know(&self, producer: i64, origin: Offset) -> bool {
        let is_its = |it: &&Batch| it.sequence.is_some_and(|(id, _)| id == producer);
        let mut last = self.committed.iter().rev().filter(is_its).take(WINDOW);
        last.any(|it| it.base < origin)
    }

    /// The batch that was committed at an offset.
    pub fn committed_at(&self, offset: Offset) -> Option<&Batch> {
        let at = self.committed.partition_point(|it| it.last < offset);
        self.committed.get(at).filter(|it| it.base <= offset)
    }

    #[allow(clippy::too_many_lines, reason = "one arm a fact")]
    fn take_in(&mut self, fact: &Fact) {
        self.newly_committed = self.committed.len();
        match fact {
            Fact::Agreed(agreed) => {
                self.isr_at
                    .insert(agreed.partition_epoch, agreed.isr.clone());
                if self.is_unclean(agreed) {
                    self.given_up_at = Some(agreed.partition_epoch);
                }
                let before = self.agreed.as_ref().map_or(&[][..], |it| &it.isr);
                let is_new = |it: &&NodeId| !before.contains(it) && agreed.current.contains(it);
                for member in agreed.isr.iter().filter(is_new) {
                    if let Some(replica) = self.replicas.get_mut(member) {
                        replica.is_suspect &= !replica.runs;
                        replica.begun_anew &= !replica.runs;
                    }
                }
                self.agreed = Some(agreed.clone());
            }
            Fact::Opened {
                node,
                start,
                batches,
            } => {
                let replica = self.replicas.entry(*node).or_default();
                replica.runs = true;
                replica.high_watermark = Offset::ZERO;
                replica.log_start = *start;
                replica.batches.clone_from(batches);
                replica.synced = replica.end();
            }
            Fact::Stopped { node, may_lose } => {
                let replica = self.replicas.entry(*node).or_default();
                replica.runs = false;
                replica.is_suspect |= *may_lose && !self.promise.counts_on_disk;
            }
            Fact::Stored { node, batch } => {
                let replica = self.replicas.entry(*node).or_default();
                replica.batches.push(*batch);
            }
            Fact::Truncated { node, to } => {
                let replica = self.replicas.entry(*node).or_default();
                replica.batches.retain(|it| it.last < *to);
                replica.synced = replica.synced.min(replica.end());
                replica.high_watermark = replica.high_watermark.min(replica.end());
            }
            Fact::BegunAnew { node } => {
                let replica = self.replicas.entry(*node).or_default();
                *replica = Replica {
                    runs: true,
                    begun_anew: true,
                    is_suspect: true,
                    ..Replica::default()
                };
            }
            Fact::GivenUp { node } => {
                // Whoever counts on it now is wrong; who did before has heard others say what it said. What it had
                // lost before is lost all the same.
                let replica = self.replicas.entry(*node).or_default();
                *replica = Replica {
                    runs: replica.runs,
                    begun_anew: true,
                    is_suspect: replica.is_suspect,
                    ..Replica::default()
                };
            }
            Fact::Synced { node, upto } => {
                let replica = self.replicas.entry(*node).or_default();
                replica.synced = *upto;
            }
            Fact::HighWatermark {
                node,
                leads,
                partition_epoch,
                to,
            } => {
                let is_owed = *leads && !self.is_given_up(*partition_epoch);
                let replica = self.replicas.entry(*node).or_default();
                replica.high_watermark = *to;
                if is_owed {
                    let upto = self.committed.last().map_or(Offset::ZERO, |it| it.last + 1);
                    let known = replica.batches.partition_point(|it| it.base < upto);
                    let new = replica.batches.iter().skip(known);
                    let new = new.take_while(|it| it.last < *to);
                    self.committed.extend(new);
                }
            }
            Fact::LogStart {
                node,
                to,
                noted,
                origin,
            } => {
                let replica = self.replicas.entry(*node).or_default();
                replica.starts_at(*to);
                (replica.noted_start, replica.origin) = (*noted, *origin);
                replica.may_fall &= *to > self.deleted_to;
                self.begun_at = self.begun_at.max(*origin);
            }
            Fact::DeletionTaken { to } => self.deleted_to = self.deleted_to.max(*to),
            Fact::LossAccepted { leader } => {
                let held = self
                    .replica(*leader)
                    .map_or(0, |it| self.n_committed_in(it));
                self.committed.truncate(held);
                self.newly_committed = held;
                self.deleted_to = self.deleted_to.min(self.true_high_watermark());
                for replica in self.replicas.values_mut() {
                    replica.may_fall = replica.log_start > self.deleted_to;
                }
            }
            Fact::Sent { .. }
            | Fact::Acked { .. }
            | Fact::RetryRefused { .. }
            | Fact::Read { .. }
            | Fact::Latest { .. }
            | Fact::Deleted { .. }
            | Fact::Accepted { .. }
            | Fact::TookLead { .. }
            | Fact::Epochs { .. }
            | Fact::Healed { .. }
            | Fact::NotHealed { .. }
            | Fact::Panicked { .. } => {}
        }
    }
}

/// The judge of one run.
#[derive(Debug)]
pub struct Oracle {
    known: Known,
    invariants: Vec<Box<dyn Invariant>>,
    violation: Option<Violation>,
}

impl Oracle {
    pub fn new(promise: Promise) -> Self {
        Self {
            known: Known {
                promise,
                now: 0,
                replicas: BTreeMap::new(),
                agreed: None,
                isr_at: BTreeMap::new(),
                committed: Vec::new(),
                deleted_to: Offset::ZERO,
                given_up_at: None,
                begun_at: Offset::ZERO,
                newly_committed: 0,
            },
            invariants: invariants::all(),
            violation: None,
        }
    }

    pub fn known(&self) -> &Known {
        &self.known
    }

    /// The first one is kept: what follows may follow from it.
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    pub fn tell(&mut self, at: Moment, fact: &Fact) {
        if self.violation.is_some() {
            return;
        }
        self.known.now = at;
        for invariant in &mut self.invariants {
            if let Err(what) = invariant.before(&self.known, fact) {
                self.found(at, what);
                return;
            }
        }
        self.known.take_in(fact);
        for at_index in 0..self.invariants.len() {
            let Some(invariant) = self.invariants.get_mut(at_index) else {
                return;
            };
            if let Err(what) = invariant.after(&self.known, fact) {
                self.found(at, what);
                return;
            }
        }
    }

    fn found(&mut self, at: Moment, (invariant, what): (&'static str, String)) {
        self.violation = Some(Violation {
            invariant,
            what,
            at,
        });
    }
}
