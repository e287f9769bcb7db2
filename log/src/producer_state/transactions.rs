//! Which transactions are undecided here, and which are decided but not yet committed by replicas.
//!
//! Invariant: a producer has at most one open transaction; the maps go by its first offset.

use std::collections::BTreeMap;

use drave_protocol::ids::{Offset, ProducerId};

/// A transaction that was aborted; readers of committed records skip what its producer wrote in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    pub producer_id: ProducerId,
    pub first_offset: Offset,
    /// Of the marker.
    pub last_offset: Offset,
    /// When it was aborted.
    pub last_stable_offset: Offset,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transactions {
    open: BTreeMap<Offset, ProducerId>,
    /// To the offset of the marker: while that can still be lost, nothing is decided.
    ended: BTreeMap<Offset, Offset>,
}

impl Transactions {
    pub(crate) fn begin(&mut self, producer_id: ProducerId, first_offset: Offset) {
        self.open.insert(first_offset, producer_id);
    }

    pub(crate) fn end(&mut self, first_offset: Offset, marker: Offset) {
        self.open.remove(&first_offset);
        self.ended.insert(first_offset, marker);
    }

    /// Below it all is decided once the transaction that starts at `ending` is, with its marker at
    /// `marker`.
    pub(crate) fn stable_without(&self, ending: Offset, marker: Offset) -> Offset {
        let next = self.open.keys().find(|it| **it != ending);
        next.copied().unwrap_or(marker + 1)
    }

    /// The start of the oldest transaction that is open, or whose end lies at or above
    /// `high_watermark`.
    pub(crate) fn first_unstable(&self, high_watermark: Offset) -> Option<Offset> {
        let uncommitted = self.ended.iter().find(|(_, end)| **end >= high_watermark);
        let uncommitted = uncommitted.map(|(first, _)| *first);
        let open = self.first_open();
        open.into_iter().chain(uncommitted).min()
    }

    pub(crate) fn first_open(&self) -> Option<Offset> {
        self.open.keys().next().copied()
    }

    pub(crate) fn forget_ended_below(&mut self, high_watermark: Offset) {
        if !self.ended.is_empty() {
            self.ended.retain(|_, marker| *marker >= high_watermark);
        }
    }
}
