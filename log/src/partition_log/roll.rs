//! When the active segment has had enough: by size, by age, by its indexes, by its offsets.
//!
//! Invariants: offsets in a segment differ by at most 31 bits; a roll that fails leaves the log as it
//! was, to be written to when the disk allows.

use drave_protocol::ids::Offset;
use drave_protocol::record::batch::{self, BatchHeader};

use crate::config::SEGMENT_BYTES_LIMIT;
use crate::error::{During, LogError};
use crate::fs::to_u64;
use crate::partition_log::PartitionLog;
use crate::segment::Segment;

impl PartitionLog {
    /// Seals the active segment, if there is anything in it, and starts the next.
    pub fn roll(&mut self, now_ms: i64) -> Result<(), LogError> {
        self.health.check()?;
        if self.segments.active().size() == 0 {
            return Ok(());
        }
        let done = self.roll_to(self.log_end_offset, now_ms);
        self.or_fail(done)
    }

    /// Rolls if the next batch should not go into the active segment.
    pub(super) fn roll_for(&mut self, batch: &BatchHeader, now_ms: i64) -> Result<(), LogError> {
        let overflows = |base: Offset| batch.last_offset() - base > i64::from(i32::MAX);
        let active = self.segments.active_mut();
        active.note_creation(now_ms);
        if overflows(active.base_offset()) {
            // After a hole the log's end may be too far away too.
            let end = self.log_end_offset;
            let base_offset = if overflows(end) {
                batch.base_offset
            } else {
                end
            };
            return self.roll_to(base_offset, now_ms);
        }
        if active.size() == 0 || !self.is_full(batch, now_ms)? {
            return Ok(());
        }
        self.roll_to(self.log_end_offset, now_ms)
    }

    fn is_full(&self, batch: &BatchHeader, now_ms: i64) -> Result<bool, LogError> {
        let active = self.segments.active();
        let bytes_max = self.config.segment_bytes.min(SEGMENT_BYTES_LIMIT);
        let size = active.size().saturating_add(to_u64(batch.total_size()));
        Ok(size > bytes_max
            || active.has_full_index(self.config.segment_index_bytes)?
            || active.age_ms(batch, now_ms)? > self.age_max_ms(active))
    }

    /// Each segment's own, so that the logs of a broker do not roll together; the same after a
    /// restart.
    fn age_max_ms(&self, active: &Segment) -> i64 {
        let age_max_ms = self.config.segment_age_max_ms();
        let jitter_max = self.config.segment_jitter_ms.min(age_max_ms);
        if jitter_max <= 0 {
            return age_max_ms;
        }
        let drawn = batch::crc32c(active.path().as_os_str().as_encoded_bytes());
        age_max_ms - i64::from(drawn) % jitter_max
    }

    fn roll_to(&mut self, base_offset: Offset, now_ms: i64) -> Result<(), LogError> {
        if self.n_folder_changes_synced == 0 {
            // If a crash took the name of the first segment and not of the second, the log would seem to
            // begin there.
            self.fs.sync_dir(&self.dir).during("sync", &self.dir)?;
            self.n_folder_changes_synced = self.n_folder_changes;
        }
        self.segments.roll(base_offset)?;
        self.segments.active_mut().note_creation(now_ms);
        self.log_end_offset = base_offset;
        self.n_folder_changes += 1;
        self.snapshot_at_roll()
    }
}
