//! Which leader epoch wrote which offsets: epoch → first offset. Pure.
//!
//! Invariants: epochs and start offsets both rise strictly; no epoch is negative. Two logs that
//! agree on (epoch, offset) of a record agree on everything before it, so the point where two
//! histories part can be found by exchanging ends of epochs (KIP-101, KIP-279).

use drave_protocol::ids::{LeaderEpoch, Offset};

/// An epoch and the offset of its first record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    pub epoch: LeaderEpoch,
    pub start_offset: Offset,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderEpochs {
    entries: Vec<EpochStart>,
}

impl LeaderEpochs {
    /// Takes entries read from a file, or gives back the first that breaks the order.
    pub fn from_entries(entries: Vec<EpochStart>) -> Result<Self, EpochStart> {
        let mut checked: Vec<EpochStart> = Vec::with_capacity(entries.len());
        for entry in entries {
            let rises = checked.last().is_none_or(|last| {
                last.epoch < entry.epoch && last.start_offset < entry.start_offset
            });
            if !rises || entry.epoch < LeaderEpoch(0) || entry.start_offset < Offset::ZERO {
                return Err(entry);
            }
            checked.push(entry);
        }
        Ok(Self { entries: checked })
    }

    pub fn entries(&self) -> &[EpochStart] {
        &self.entries
    }

    /// The newest epoch and where it starts.
    pub fn latest(&self) -> Option<(LeaderEpoch, Offset)> {
        self.entries
            .last()
            .map(|last| (last.epoch, last.start_offset))
    }

    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|last| last.epoch)
    }

    /// Whether any leader is known to have written.
    pub fn is_known(&self) -> bool {
        !self.entries.is_empty()
    }

    /// The epoch that wrote (or would write) `offset`.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self
            .entries
            .partition_point(|entry| entry.start_offset <= offset);
        self.entries.get(..after)?.last().map(|entry| entry.epoch)
    }

    /// The largest known epoch not above `requested`, and the offset after its last record.
    ///
    /// `None` when there is no answer: no epoch is known, or only older ones than `requested`.
    /// An epoch older than all known ends where the known ones start.
    pub fn end_offset_for(
        &self,
        requested: LeaderEpoch,
        log_end_offset: Offset,
    ) -> Option<(LeaderEpoch, Offset)> {
        let (latest, _) = self.latest()?;
        if requested < LeaderEpoch(0) || requested > latest {
            return None;
        }
        if requested == latest {
            return Some((requested, log_end_offset));
        }
        let after = self
            .entries
            .partition_point(|entry| entry.epoch <= requested);
        let end = self.entries.get(after)?.start_offset;
        let floor = self.entries.get(..after)?.last();
        Some((floor.map_or(requested, |entry| entry.epoch), end))
    }

    /// Notes that `epoch` starts at `start_offset`; false when it was known already.
    ///
    /// An epoch that wrote nothing leaves no trace: it is replaced by the next.
    ///
    /// # Panics
    /// When epochs or offsets would fall: then a stale leader is about to write.
    pub(crate) fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) -> bool {
        assert!(epoch >= LeaderEpoch(0), "leader epoch {epoch} is no epoch");
        if let Some((latest, latest_start)) = self.latest() {
            assert!(
                epoch >= latest,
                "leader epoch falls from {latest} to {epoch}"
            );
            if epoch == latest {
                return false;
            }
            assert!(
                start_offset >= latest_start,
                "epoch {epoch} starts at {start_offset}, before epoch {latest} at {latest_start}"
            );
            if latest_start == start_offset {
                self.entries.pop();
            }
        }
        self.entries.push(EpochStart {
            epoch,
            start_offset,
        });
        true
    }

    /// Forgets epochs that start at or after `log_end_offset`; true when there were any.
    pub(crate) fn truncate_from_end(&mut self, log_end_offset: Offset) -> bool {
        let kept = self
            .entries
            .partition_point(|entry| entry.start_offset < log_end_offset);
        let changed = kept < self.entries.len();
        self.entries.truncate(kept);
        changed
    }

    /// Forgets what ended before the last record below `log_start_offset`. The epoch that wrote that record stays, and
    /// where it began: a follower that ends there may have had its last one from another leader. Kafka forgets both.
    pub(crate) fn truncate_from_start(&mut self, log_start_offset: Offset) -> bool {
        let begun = self
            .entries
            .partition_point(|entry| entry.start_offset < log_start_offset);
        let forgotten = begun.saturating_sub(1);
        self.entries.drain(..forgotten);
        forgotten > 0
    }

    /// Forgets, of what a file says of a log that starts at `log_start_offset`, what ended there or before; the epoch it
    /// falls into starts there. The last records that were deleted may be of epochs that never came into the file.
    pub(crate) fn begin_at(&mut self, log_start_offset: Offset) {
        let after = self
            .entries
            .partition_point(|entry| entry.start_offset <= log_start_offset);
        self.entries.drain(..after.saturating_sub(1));
        if let Some(first) = self.entries.first_mut() {
            first.start_offset = first.start_offset.max(log_start_offset);
        }
    }

    pub(crate) fn clear(&mut self) -> bool {
        let changed = !self.entries.is_empty();
        self.entries.clear();
        changed
    }
}

#[cfg(test)]
#[path = "leader_epochs_test.rs"]
mod tests;
