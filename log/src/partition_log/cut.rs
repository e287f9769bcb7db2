//! Records leaving the log, at either end.
//!
//! Invariants: before a cut below the recovery point, a durable note says that older claims are not
//! to be believed (see [`crate::recovery_limit`]); a cut that stops half-way fails the log, for then
//! memory and disk disagree.

use drave_protocol::ids::Offset;

use crate::error::{During, LogError};
use crate::partition_log::PartitionLog;
use crate::recovery_limit::RecoveryLimit;

impl PartitionLog {
    /// Cuts the log so that it ends at `offset`, or before it when that lies inside a batch.
    pub fn truncate_to(&mut self, offset: Offset) -> Result<(), LogError> {
        self.health.check()?;
        if offset >= self.log_end_offset {
            // An epoch begun here without a record may be one the leader never had. Kept, it would be
            // what this follower says it fetched last, and the leader would send it back here for ever.
            return self.forget_empty_epochs(offset);
        }
        if offset < self.log_start_offset {
            return self.reset_to(offset);
        }
        let (cut, position) = self.cut_for(offset)?;
        self.lower_recovery_point(cut)?;
        self.n_truncations += 1;
        let done = self.producers.before_cut(cut);
        self.or_fail(done)?;
        let done = self.segments.truncate(cut, position);
        self.or_fail(done)?;
        let done = self.producers.cut(&self.segments, cut);
        self.or_fail(done)?;
        self.log_end_offset = cut;
        self.compacted_upto = self.compacted_upto.min(cut);
        self.n_folder_changes += 1;
        self.epochs.truncate_from_end(cut);
        self.log_start_offset = self.log_start_offset.min(cut);
        self.check_invariants();
        self.write_epochs()
    }

    fn forget_empty_epochs(&mut self, from: Offset) -> Result<(), LogError> {
        if self.epochs.truncate_from_end(from) {
            self.write_epochs()?;
        }
        Ok(())
    }

    fn cut_for(&self, offset: Offset) -> Result<(Offset, u64), LogError> {
        let active = self.segments.active();
        let segment = self.segments.holding(offset).unwrap_or(active);
        let position = segment
            .locate(offset)?
            .map_or(segment.size(), |found| found.position);
        // Where a hole precedes the cut, the log ends before the hole: that is what reopening finds.
        let end = segment.end_before(position, offset)?;
        Ok((end, position))
    }

    /// Drops everything and starts again, empty, at `offset`.
    pub fn reset_to(&mut self, offset: Offset) -> Result<(), LogError> {
        self.health.check()?;
        // All the way down: a crash in the middle may leave any part of the old log, and every
        // part of it may be cut.
        self.lower_recovery_point(Offset::ZERO)?;
        self.n_truncations += 1;
        let done = self.producers.forget_all();
        self.or_fail(done)?;
        let done = self.segments.reset(offset);
        self.or_fail(done)?;
        self.epochs.clear();
        self.log_start_offset = offset;
        self.log_end_offset = offset;
        self.recovery_point = offset;
        self.compacted_upto = offset;
        self.n_folder_changes += 1;
        let done = self.fs.sync_dir(&self.dir).during("sync", &self.dir);
        self.or_fail(done)?;
        self.check_invariants();
        self.write_epochs()
    }

    /// Raises the first readable offset; never lowers it. Nothing leaves the disk: what lies below goes
    /// with [`Self::remove_old_segments`]. The caller's checkpoint makes it durable; until then a crash
    /// takes it back, and whose records are back is read from them.
    ///
    /// # Panics
    /// When `offset` is beyond the log's end.
    pub fn raise_log_start_offset(&mut self, offset: Offset) -> Result<(), LogError> {
        self.health.check()?;
        assert!(
            offset <= self.log_end_offset,
            "the log cannot start at {offset}, it ends at {}",
            self.log_end_offset
        );
        if offset > self.log_start_offset {
            self.log_start_offset = offset;
            self.epochs.truncate_from_start(offset);
        }
        self.check_invariants();
        Ok(())
    }

    /// As [`Self::raise_log_start_offset`], and removes segments that lie below.
    ///
    /// # Panics
    /// As it.
    pub fn advance_log_start_offset(&mut self, offset: Offset) -> Result<(), LogError> {
        self.raise_log_start_offset(offset)?;
        if offset <= self.segments.first_base_offset() {
            return Ok(());
        }
        self.remove_segments_before(offset)
    }

    fn remove_segments_before(&mut self, offset: Offset) -> Result<(), LogError> {
        let active = self.segments.active();
        let first_kept = self.segments.holding(offset).unwrap_or(active);
        let first_base = first_kept.base_offset();
        let done = self.producers.before_removal(&self.segments, first_base);
        self.or_fail(done)?;
        let done = self.segments.remove_before(offset);
        self.or_fail(done)?;
        let done = self.producers.removed_below(first_base);
        self.or_fail(done)
    }

    /// Before a cut: no recovery point checkpointed so far may be believed above `offset`.
    fn lower_recovery_point(&mut self, offset: Offset) -> Result<(), LogError> {
        if offset >= self.recovery_point {
            return Ok(());
        }
        let limit = RecoveryLimit::lowered(self.recovery_limit, offset, self.recovery_point);
        limit.write(self.fs.as_ref(), &self.dir)?;
        self.recovery_limit = Some(limit);
        self.recovery_point = offset;
        Ok(())
    }

    pub(super) fn lift_recovery_limit(&mut self) -> Result<(), LogError> {
        match self.recovery_limit {
            Some(limit) if self.recovery_point >= limit.until => {
                // From here on what was noted before the cut is believed again: so the epochs since the cut
                // have to be known.
                self.write_down_epochs()?;
                RecoveryLimit::remove(self.fs.as_ref(), &self.dir)?;
                self.recovery_limit = None;
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }
}
