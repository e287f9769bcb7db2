//! Facts in, violations out. Keeps what the facts amount to, so that no invariant keeps it again.

use std::collections::BTreeMap;
use std::fmt;

use drave_protocol::ids::{LeaderEpoch, NodeId, Offset, PartitionEpoch};

use crate::history::{Agreed, Batch, Fact, Moment};
use crate::invariants::{self, Invariant};

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
}

impl Replica {
    pub fn end(&self) -> Offset {
        self.batches.last().map_or(Offset::ZERO, |it| it.last + 1)
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

    /// The highest high watermark there ever was.
    pub fn true_high_watermark(&self) -> Offset {
        self.committed.last().map_or(Offset::ZERO, |it| it.last + 1)
    }

    /// How many of the committed batches a replica holds, from the first on.
    pub fn n_committed_in(&self, replica: &Replica) -> usize {
        // Logs that match at a batch match before it; so the common case is one comparison.
        let n = replica.batches.len().min(self.committed.len());
        match n.checked_sub(1) {
            Some(last) if replica.batches.get(last) == self.committed.get(last) => n,
            Some(_) => {
                let pairs = replica.batches.iter().zip(&self.committed);
                pairs
                    .take_while(|(held, committed)| held == committed)
                    .count()
            }
            None => 0,
        }
    }

    #[allow(clippy::too_many_lines, reason = "one arm a fact")]
    fn take_in(&mut self, fact: &Fact) {
        self.newly_committed = self.committed.len();
        match fact {
            Fact::Agreed(agreed) => {
                self.isr_at
                    .insert(agreed.partition_epoch, agreed.isr.clone());
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
            Fact::Opened { node, batches } => {
                let replica = self.replicas.entry(*node).or_default();
                replica.runs = true;
                replica.high_watermark = Offset::ZERO;
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
            Fact::Synced { node, upto } => {
                let replica = self.replicas.entry(*node).or_default();
                replica.synced = *upto;
            }
            Fact::HighWatermark {
                node, leads, to, ..
            } => {
                let replica = self.replicas.entry(*node).or_default();
                replica.high_watermark = *to;
                if *leads {
                    let known = self.committed.len();
                    let new = replica.batches.iter().skip(known);
                    let new = new.take_while(|it| it.last < *to);
                    self.committed.extend(new);
                }
            }
            Fact::LogStart { node, to } => {
                self.replicas.entry(*node).or_default().log_start = *to;
            }
            Fact::LossAccepted { leader } => {
                let held = self
                    .replica(*leader)
                    .map_or(0, |it| self.n_committed_in(it));
                self.committed.truncate(held);
                self.newly_committed = held;
            }
            Fact::Sent { .. }
            | Fact::Acked { .. }
            | Fact::RetryRefused { .. }
            | Fact::Read { .. }
            | Fact::Latest { .. }
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
