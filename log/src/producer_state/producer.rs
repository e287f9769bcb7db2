//! What is known of one producer id: its epoch, its last batches, its open transaction.
//!
//! Invariants: the batches are of the current epoch, oldest first, at most [`WINDOW`]; an id that
//! wrote one batch takes some 165 bytes, one with a full window some 280 (measured with 99,000).

use drave_protocol::ids::Offset;

use crate::producer_state::batch::{Contents, EndMarker, ProducerBatch};
use crate::producer_state::error::{ProducerError, Refused};
use crate::producer_state::sequence::Sequence;

/// Batches remembered per id. Clients have as many in flight, so a retry is always among them; one
/// fewer, and a retried batch would look like a gap, and its client write it twice.
pub const WINDOW: usize = 5;

/// A batch a producer appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) last_sequence: Sequence,
    /// Last offset less the first.
    pub(crate) offset_delta: i32,
    pub(crate) last_offset: Offset,
    pub(crate) timestamp: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Producer {
    pub(crate) epoch: i16,
    pub(crate) coordinator_epoch: i32,
    pub(crate) batches: Vec<Remembered>,
    /// Of the last batch or marker, as written.
    pub(crate) last_timestamp: i64,
    /// When this broker last heard of it: the producer's own times may be of any year.
    pub(crate) active_ms: i64,
    pub(crate) transaction_start: Option<Offset>,
    /// Whether all sequences from 0 to the last were appended under this epoch. Only then an old
    /// one is surely a duplicate: a state that began in the middle may have missed it.
    is_whole: bool,
}

impl Remembered {
    pub(crate) fn first_sequence(&self) -> Sequence {
        self.last_sequence.minus(self.offset_delta)
    }

    pub(crate) fn base_offset(&self) -> Offset {
        Offset(
            self.last_offset
                .0
                .saturating_sub(i64::from(self.offset_delta)),
        )
    }
}

impl Producer {
    pub(crate) fn new(epoch: i16) -> Self {
        Self {
            epoch,
            coordinator_epoch: -1,
            batches: Vec::new(),
            last_timestamp: -1,
            active_ms: i64::MIN,
            transaction_start: None,
            is_whole: true,
        }
    }

    pub(crate) fn last_sequence(&self) -> Sequence {
        self.batches
            .last()
            .map_or(Sequence::NONE, |it| it.last_sequence)
    }

    /// The remembered batch with exactly these sequences, appended under this epoch.
    pub(crate) fn duplicate_of(&self, batch: &ProducerBatch) -> Option<&Remembered> {
        let Contents::Records { first, last, .. } = batch.contents else {
            return None;
        };
        self.batches
            .iter()
            .filter(|_| batch.epoch == self.epoch)
            .find(|it| it.first_sequence() == first && it.last_sequence == last)
    }

    pub(crate) fn check_epoch(&self, batch: &ProducerBatch) -> Result<(), ProducerError> {
        if batch.epoch >= self.epoch {
            return Ok(());
        }
        let current = self.epoch;
        Err(ProducerError::new(batch, Refused::OldEpoch { current }))
    }

    pub(crate) fn check_sequence(
        &self,
        batch: &ProducerBatch,
        (first, last): (Sequence, Sequence),
    ) -> Result<(), ProducerError> {
        let refused = |refused| Err(ProducerError::new(batch, refused));
        if batch.epoch != self.epoch {
            return match first {
                Sequence::FIRST => Ok(()),
                got => refused(Refused::NewEpochInTheMiddle { got }),
            };
        }
        let known = self.last_sequence();
        if known.is_followed_by(first) {
            Ok(())
        } else if self.is_whole && first <= last && last <= known {
            refused(Refused::OldDuplicate { first, last })
        } else {
            let (last, got) = (known, first);
            refused(Refused::OutOfOrder { last, got })
        }
    }

    pub(crate) fn check_marker(
        &self,
        batch: &ProducerBatch,
        marker: EndMarker,
    ) -> Result<(), ProducerError> {
        let (current, got) = (self.coordinator_epoch, marker.coordinator_epoch);
        if got >= current {
            return Ok(());
        }
        Err(ProducerError::new(
            batch,
            Refused::OldCoordinator { current, got },
        ))
    }

    pub(crate) fn enter_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches = Vec::new();
        }
    }

    pub(crate) fn remember(&mut self, batch: Remembered, window: usize) {
        let first = batch.first_sequence();
        self.is_whole = if self.batches.is_empty() {
            first == Sequence::FIRST
        } else {
            let has_wrapped = batch.last_sequence < self.last_sequence();
            self.is_whole && self.last_sequence().is_followed_by(first) && !has_wrapped
        };
        if self.batches.len() >= window {
            self.batches.remove(0);
        }
        // Most producers write once and go: they take room for one batch.
        self.batches.reserve_exact(1);
        self.last_timestamp = batch.timestamp;
        self.batches.push(batch);
    }

    pub(crate) fn is_expired(&self, now_ms: i64, expiration_ms: i64) -> bool {
        self.transaction_start.is_none() && now_ms.saturating_sub(self.active_ms) >= expiration_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_id_is_small() {
        assert!(size_of::<Producer>() <= 72);
        assert_eq!(size_of::<Remembered>(), 24);
    }
}
