//! Looking again at bytes that were durable once: what rots on a disk is found before it is needed.
//!
//! A part is chosen under the log's lock and read outside it. Meanwhile the log may be cut, compacted or
//! deleted, so what is found outside is a suspicion: it is a fact only if the same part, chosen and read
//! again under the lock, is found wrong too.

use drave_protocol::ids::Offset;
use drave_protocol::record::batch;

use crate::batch_check::check_batch;
use crate::density::Density;
use crate::error::{Corruption, Fault, LogError, ReadError};
use crate::fs::to_u64;
use crate::partition_log::PartitionLog;
use crate::slice::LogSlice;

/// Where to look. A batch's offset is outside its checksum: only its place tells whether it is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScrubFrom {
    /// Where a batch begins: what followed the part before.
    Boundary(Offset),
    /// Somewhere in a batch.
    Within(Offset),
}

/// Some batches to look at.
#[derive(Clone, Debug)]
pub struct ScrubPart {
    slice: LogSlice,
    density: Density,
    from: ScrubFrom,
}

/// Batches that are what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scrubbed {
    /// Where to go on.
    pub next: Offset,
    pub bytes: u64,
}

impl ScrubFrom {
    pub fn offset(self) -> Offset {
        match self {
            Self::Boundary(at) | Self::Within(at) => at,
        }
    }
}

impl PartitionLog {
    /// The batches from `from` on that end before `upper`: at most `max_bytes`, one at least. `None`
    /// where there are none.
    pub fn scrub_part(
        &self,
        from: ScrubFrom,
        upper: Offset,
        max_bytes: usize,
    ) -> Result<Option<ScrubPart>, LogError> {
        let from = self.scrub_start(from);
        if from.offset() >= upper.min(self.log_end_offset()) {
            return Ok(None);
        }
        let density = self.density();
        match self.slice(from.offset(), upper, max_bytes) {
            Ok(Some(slice)) => Ok(Some(ScrubPart {
                slice,
                density,
                from,
            })),
            // A batch whose offset rotted seems to lie beyond, and would hide all that follows it.
            Ok(None) => self.check_nothing_at(from.offset()).map(|()| None),
            // Its start was raised or its end cut between the two looks: nothing is there to be wrong.
            Err(ReadError::OffsetOutOfRange { .. }) => Ok(None),
            Err(ReadError::Storage(error)) => Err(error),
        }
    }
}

impl PartitionLog {
    /// Never before the log's start; a segment's start is a boundary.
    fn scrub_start(&self, from: ScrubFrom) -> ScrubFrom {
        let start = self.log_start_offset();
        let at = from.offset().max(start);
        let is_boundary = match from {
            ScrubFrom::Boundary(offset) => offset >= start,
            ScrubFrom::Within(_) => false,
        };
        if is_boundary || self.begins_segment(at) {
            ScrubFrom::Boundary(at)
        } else {
            ScrubFrom::Within(at)
        }
    }
}

impl ScrubPart {
    /// Reads and checks the part, and leaves the page cache as it was. Blocks on the disk.
    pub fn check(&self) -> Result<Scrubbed, LogError> {
        let bytes = self.slice.read_in_passing()?;
        let (mut checked, mut next, mut epoch) = (0, None, None);
        for found in batch::iter(&bytes) {
            let (_, header, one) =
                found.map_err(|error| self.corrupt(checked, next, error.into()))?;
            let is_in_place = match (next, self.from) {
                (Some(at), _) | (None, ScrubFrom::Boundary(at)) => {
                    self.density.check(at, header.base_offset)
                }
                (None, ScrubFrom::Within(at)) => self.holds(at, header.base_offset),
            };
            is_in_place
                .and_then(|()| check_batch(&header, one, epoch))
                .map_err(|fault| self.corrupt(checked, next, fault))?;
            checked += one.len();
            next = Some(header.next_offset());
            epoch = Some(header.partition_leader_epoch);
        }
        match next {
            Some(next) if next > self.from.offset() => Ok(Scrubbed {
                next,
                bytes: to_u64(checked),
            }),
            next => Err(self.corrupt(checked, next, Fault::Hole)),
        }
    }

    /// A batch that was asked for by an offset inside it does not begin after that.
    fn holds(&self, at: Offset, base_offset: Offset) -> Result<(), Fault> {
        if base_offset <= at {
            Ok(())
        } else {
            self.density.check(at, base_offset)
        }
    }

    fn corrupt(&self, at: usize, offset: Option<Offset>, fault: Fault) -> LogError {
        let offset = offset.unwrap_or_else(|| self.from.offset());
        Corruption {
            file: self.slice.path().to_owned(),
            position: self.slice.position() + to_u64(at),
            offset,
            fault,
        }
        .into()
    }
}
