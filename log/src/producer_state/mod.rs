//! What each producer wrote last, so that a batch sent twice is stored once. Pure.
//!
//! Promises, as in Kafka: a batch among the last [`WINDOW`] of its producer is answered with the
//! offset it has; one that leaves a gap, or is of an older epoch, is refused; a new epoch starts at
//! sequence 0; an unknown producer may start anywhere, because what was known of it may have gone
//! with the records. A check changes nothing; what was appended is applied, whoever checked it.
//!
//! Open transactions are part of it: they say how far readers of committed records may read.

pub(crate) mod batch;
pub mod error;
mod producer;
mod sequence;
mod snapshot;
mod transactions;

use std::collections::BTreeMap;

use drave_protocol::ids::{Offset, ProducerId};

use batch::{Contents, EndMarker, Outcome};
use error::{ProducerError, Refused};
use producer::{Producer, Remembered};
use transactions::Transactions;

pub use batch::ProducerBatch;
pub use producer::WINDOW;
pub use sequence::Sequence;
pub use snapshot::SnapshotError;
pub use transactions::AbortedTransaction;

/// Ids remembered per log. A client that draws a new id for every batch must not fill the memory:
/// beyond this many, those silent for longest are forgotten.
const IDS_MAX: usize = 100_000;

/// Who brings a batch, and so what is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Client,
    /// The broker's own records have epochs but need no sequences.
    Broker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Append,
    Duplicate(Original),
}

/// Where a batch that came again lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Original {
    pub base_offset: Offset,
    pub last_offset: Offset,
    pub timestamp: i64,
}

/// The last a live producer wrote: compaction keeps it, so that the producer stays known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastRecord {
    pub epoch: i16,
    /// `None` when its last was the end of a transaction under a new epoch: then that marker stays.
    pub offset: Option<Offset>,
}

/// What is known of a producer, for those who ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    pub producer_id: ProducerId,
    pub epoch: i16,
    /// -1 when nothing of its epoch is remembered.
    pub last_sequence: i32,
    pub last_timestamp: i64,
    pub coordinator_epoch: i32,
    pub transaction_start: Option<Offset>,
}

#[derive(Clone, Debug)]
pub struct ProducerStates {
    by_id: BTreeMap<ProducerId, Producer>,
    transactions: Transactions,
    window: usize,
    ids_max: usize,
}

impl Default for ProducerStates {
    fn default() -> Self {
        Self::remembering(WINDOW)
    }
}

impl ProducerStates {
    /// With a window of one's own, to see whether a test would notice.
    pub fn remembering(window: usize) -> Self {
        Self {
            by_id: BTreeMap::new(),
            transactions: Transactions::default(),
            window,
            ids_max: IDS_MAX,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Everyone who is remembered.
    pub fn active(&self) -> impl Iterator<Item = ActiveProducer> {
        self.by_id.iter().map(|(id, it)| ActiveProducer {
            producer_id: *id,
            epoch: it.epoch,
            last_sequence: it.last_sequence().0,
            last_timestamp: it.last_timestamp,
            coordinator_epoch: it.coordinator_epoch,
            transaction_start: it.transaction_start,
        })
    }

    /// Whether a leader may append the batch; its offsets are not looked at.
    pub fn check(&self, batch: &ProducerBatch, origin: Origin) -> Result<Verdict, ProducerError> {
        let Some(known) = self.by_id.get(&batch.producer_id) else {
            return Ok(Verdict::Append);
        };
        let (first, last, is_transactional) = match batch.contents {
            Contents::End(marker) => {
                known.check_epoch(batch)?;
                known.check_marker(batch, marker)?;
                return Ok(Verdict::Append);
            }
            Contents::Records {
                first,
                last,
                is_transactional,
            } => (first, last, is_transactional),
        };
        if origin == Origin::Client
            && let Some(original) = known.duplicate_of(batch)
        {
            return Ok(Verdict::Duplicate(Original {
                base_offset: original.base_offset(),
                last_offset: original.last_offset,
                timestamp: original.timestamp,
            }));
        }
        known.check_epoch(batch)?;
        if origin == Origin::Client {
            known.check_sequence(batch, (first, last))?;
        }
        if known.transaction_start.is_some() && !is_transactional {
            return Err(ProducerError::new(batch, Refused::OutsideTransaction));
        }
        Ok(Verdict::Append)
    }

    /// What the transaction index must say of a batch before it is written: the transaction it
    /// aborts, if it does.
    pub fn aborts(&self, batch: &ProducerBatch) -> Option<AbortedTransaction> {
        let Contents::End(EndMarker {
            outcome: Outcome::Aborted,
            ..
        }) = batch.contents
        else {
            return None;
        };
        let producer_id = batch.producer_id;
        let first_offset = self.by_id.get(&producer_id)?.transaction_start?;
        let last_offset = batch.base_offset;
        Some(AbortedTransaction {
            producer_id,
            first_offset,
            last_offset,
            last_stable_offset: self.transactions.stable_without(first_offset, last_offset),
        })
    }

    /// Takes note of an appended batch, refusing nothing: the leader checked it.
    pub fn apply(&mut self, batch: &ProducerBatch, now_ms: i64) {
        if self.by_id.len() >= self.ids_max && !self.by_id.contains_key(&batch.producer_id) {
            self.forget_the_silent();
        }
        let producer = self.by_id.entry(batch.producer_id);
        let producer = producer.or_insert_with(|| Producer::new(batch.epoch));
        producer.enter_epoch(batch.epoch);
        producer.active_ms = now_ms;
        match batch.contents {
            Contents::Records {
                last,
                is_transactional,
                ..
            } => {
                let offset_delta = batch.last_offset - batch.base_offset;
                let remembered = Remembered {
                    last_sequence: last,
                    offset_delta: i32::try_from(offset_delta).unwrap_or(i32::MAX),
                    last_offset: batch.last_offset,
                    timestamp: batch.max_timestamp,
                };
                producer.remember(remembered, self.window);
                if is_transactional && producer.transaction_start.is_none() {
                    producer.transaction_start = Some(batch.base_offset);
                    self.transactions
                        .begin(batch.producer_id, batch.base_offset);
                }
            }
            Contents::End(marker) => {
                producer.coordinator_epoch = marker.coordinator_epoch;
                producer.last_timestamp = batch.max_timestamp;
                if let Some(first_offset) = producer.transaction_start.take() {
                    self.transactions.end(first_offset, batch.base_offset);
                }
            }
        }
    }

    /// Forgets producers silent for `expiration_ms`, but none with an open transaction.
    pub fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.by_id
            .retain(|_, producer| !producer.is_expired(now_ms, expiration_ms));
    }

    /// Made anew from the log, this state knows no more when it heard of whom; `before` does.
    pub(crate) fn heard_as(&mut self, before: &Self) {
        for (id, producer) in &mut self.by_id {
            if let Some(known) = before.by_id.get(id) {
                producer.active_ms = producer.active_ms.max(known.active_ms);
            }
        }
    }

    /// Makes room for a tenth of the ids at once, so that not every new one pays for a search.
    fn forget_the_silent(&mut self) {
        let idle = self.by_id.iter().filter_map(|(id, producer)| {
            let is_idle = producer.transaction_start.is_none();
            is_idle.then_some((producer.active_ms, *id))
        });
        let mut idle: Vec<(i64, ProducerId)> = idle.collect();
        idle.sort_unstable();
        for (_, id) in idle.iter().take(self.ids_max / 10 + 1) {
            self.by_id.remove(id);
        }
    }

    /// The start of the oldest transaction that is open, or whose end lies at or above
    /// `high_watermark`: there its marker may still be lost.
    pub fn first_unstable_offset(&self, high_watermark: Offset) -> Option<Offset> {
        self.transactions.first_unstable(high_watermark)
    }

    /// Markers below it are on every replica that counts: their transactions stay decided.
    pub fn forget_ended_below(&mut self, high_watermark: Offset) {
        self.transactions.forget_ended_below(high_watermark);
    }

    /// What compaction must keep of each producer.
    pub fn last_records(&self) -> BTreeMap<ProducerId, LastRecord> {
        let last = |producer: &Producer| LastRecord {
            epoch: producer.epoch,
            offset: producer.batches.last().map(|it| it.last_offset),
        };
        let of_each = self.by_id.iter().map(|(id, it)| (*id, last(it)));
        of_each.collect()
    }
}

#[cfg(test)]
#[path = "rules_test.rs"]
mod rules;

#[cfg(test)]
#[path = "model_test.rs"]
mod model;

#[cfg(test)]
#[path = "transactions_test.rs"]
mod transactions_test;
