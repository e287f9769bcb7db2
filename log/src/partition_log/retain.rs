//! Old segments leaving the log, as [`crate::retention`] decides.
//!
//! What takes long when a large file goes is giving back its blocks, and the file system does that when the
//! last handle is closed: one is kept open here, for the log's owner to drop where nobody waits for it.

use std::sync::Arc;

use drave_protocol::ids::Offset;

use crate::error::{During, LogError};
use crate::fs::File;
use crate::partition_log::PartitionLog;
use crate::retention::{Candidate, Expiry, Retention};
use crate::segment::Segment;

/// Segments removed in one call: each waits for the disk while the log's owner holds its lock.
const REMOVED_AT_ONCE: usize = 2;

/// A segment that is gone; its blocks go with this.
#[derive(Debug)]
#[must_use = "dropping it takes as long as giving back its blocks: not under the log's lock"]
pub struct RemovedSegment {
    pub base_offset: Offset,
    pub bytes: u64,
    pub expiry: Expiry,
    _blocks: Option<Arc<dyn File>>,
}

impl PartitionLog {
    /// Removes the oldest segments that are too old or too many, none that reaches beyond `upper`,
    /// which is the high watermark. A few at a time: call again until nothing is removed.
    ///
    /// An active segment that is too old is rolled first, so a log nobody writes to empties too.
    pub fn remove_old_segments(
        &mut self,
        now_ms: i64,
        upper: Offset,
    ) -> Result<Vec<RemovedSegment>, LogError> {
        self.health.check()?;
        let removed = self.old_segments(now_ms, upper)?;
        let Some(log_start_offset) = self.end_of_oldest(removed.len()) else {
            return Ok(removed);
        };
        if log_start_offset == self.log_end_offset {
            self.roll(now_ms)?;
            // The one before is about to go, and a folder without any segment is no log.
            let done = self.fs.sync_dir(&self.dir).during("sync", &self.dir);
            self.or_fail(done)?;
        }
        self.advance_log_start_offset(log_start_offset)?;
        Ok(removed)
    }

    fn old_segments(&self, now_ms: i64, upper: Offset) -> Result<Vec<RemovedSegment>, LogError> {
        let (size, start) = (self.segments.size(), self.log_start_offset);
        let mut retention = Retention::new(&self.config, size, start, now_ms, upper);
        let ends = self
            .segments
            .iter()
            .skip(1)
            .map(|it| Some(it.base_offset()));
        let mut old = Vec::new();
        for (segment, end) in self.segments.iter().zip(ends.chain([None])) {
            let candidate = Candidate {
                next_offset: end.unwrap_or(self.log_end_offset),
                size: segment.size(),
                is_active: end.is_none(),
            };
            let expiry = retention.expiry(candidate, || segment.youngest_ms())?;
            let Some(expiry) = expiry.filter(|_| old.len() < REMOVED_AT_ONCE) else {
                break;
            };
            old.push(RemovedSegment {
                base_offset: segment.base_offset(),
                bytes: segment.size(),
                expiry,
                // Without a handle it goes as well, only more slowly.
                _blocks: self.fs.open_to_read(segment.path()).ok(),
            });
        }
        Ok(old)
    }

    /// Where the first `n` segments end; `None` for none.
    fn end_of_oldest(&self, n: usize) -> Option<Offset> {
        let next = n.checked_sub(1)? + 1;
        let next = self.segments.iter().nth(next);
        Some(next.map_or(self.log_end_offset, Segment::base_offset))
    }
}
