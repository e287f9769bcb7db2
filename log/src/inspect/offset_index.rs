//! `.index` files, entry by entry, and whether each entry points at the batch it speaks of.

use std::path::Path;

use drave_protocol::ids::Offset;
use thiserror::Error;

use crate::error::LogError;
use crate::fs::FileSystem;
use crate::inspect::batches::{Body, FoundBatch};
use crate::inspect::check::{Check, Flaws};
use crate::inspect::entries::{Entries, Rest, number};

const ENTRY_BYTES: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Wrong {
    #[error("the entry points at byte {batch_position}, where no batch starts")]
    NoBatch { batch_position: u64 },
    #[error("the entry says {says}, the batch at byte {batch_position} ends at {ends}")]
    OtherOffset {
        says: Offset,
        batch_position: u64,
        ends: Offset,
    },
    #[error("offset and position rise with each entry, here they do not")]
    Falls,
    #[error("{0} bytes are taken in advance, in a segment that is sealed")]
    NotTrimmed(u64),
    #[error("the file ends inside an entry")]
    PartOfAnEntry,
}

/// One entry, and where in the index it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetEntry {
    pub position: u64,
    pub last_offset: Offset,
    pub batch_position: u64,
}

#[derive(Debug)]
pub struct OffsetEntries {
    base_offset: Offset,
    entries: Entries<ENTRY_BYTES>,
}

impl OffsetEntries {
    pub fn open(fs: &dyn FileSystem, path: &Path, base_offset: Offset) -> Result<Self, LogError> {
        let entries = Entries::open(fs, path)?;
        Ok(Self {
            base_offset,
            entries,
        })
    }

    fn entry(&mut self) -> Result<Option<OffsetEntry>, LogError> {
        let found = self.entries.next()?;
        Ok(found.map(|(position, bytes)| {
            let relative = u32::from_be_bytes(number(&bytes, 0));
            OffsetEntry {
                position,
                last_offset: self.base_offset + i64::from(relative),
                batch_position: u64::from(u32::from_be_bytes(number(&bytes, 4))),
            }
        }))
    }
}

impl Iterator for OffsetEntries {
    type Item = Result<OffsetEntry, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.entry().transpose()
    }
}

/// Walks the index beside the batches.
#[derive(Debug)]
pub(super) struct OffsetIndexCheck {
    entries: OffsetEntries,
    next: Option<OffsetEntry>,
    is_newest: bool,
}

impl OffsetIndexCheck {
    pub(super) fn start(mut entries: OffsetEntries, is_newest: bool) -> Result<Self, LogError> {
        let next = entries.entry()?;
        Ok(Self {
            entries,
            next,
            is_newest,
        })
    }

    /// Goes to the next entry that rises: of the others nothing can be said beside the batches.
    fn advance(&mut self, from: OffsetEntry, flaws: &mut Flaws) -> Result<(), LogError> {
        let mut before = from;
        loop {
            self.next = self.entries.entry()?;
            let Some(next) = self.next else { return Ok(()) };
            if next.last_offset > before.last_offset && next.batch_position > before.batch_position
            {
                return Ok(());
            }
            flaws.add(self.entries.entries.path(), next.position, Wrong::Falls);
            before = next;
        }
    }
}

impl Check for OffsetIndexCheck {
    fn batch(
        &mut self,
        found: &FoundBatch,
        _body: &Body<'_>,
        flaws: &mut Flaws,
    ) -> Result<(), LogError> {
        while let Some(entry) = self.next {
            let OffsetEntry {
                position,
                last_offset: says,
                batch_position,
            } = entry;
            if batch_position > found.position {
                return Ok(());
            }
            let path = self.entries.entries.path().to_owned();
            let ends = found.header.last_offset();
            if batch_position < found.position {
                flaws.add(&path, position, Wrong::NoBatch { batch_position });
            } else if says != ends {
                let wrong = Wrong::OtherOffset {
                    says,
                    batch_position,
                    ends,
                };
                flaws.add(&path, position, wrong);
            }
            self.advance(entry, flaws)?;
        }
        Ok(())
    }

    fn end(&mut self, flaws: &mut Flaws) -> Result<(), LogError> {
        let path = self.entries.entries.path().to_owned();
        while let Some(entry) = self.next {
            let batch_position = entry.batch_position;
            flaws.add(&path, entry.position, Wrong::NoBatch { batch_position });
            self.advance(entry, flaws)?;
        }
        let position = self.entries.entries.position();
        match self.entries.entries.rest()? {
            Rest::Zeros(n) if !self.is_newest => flaws.add(&path, position, Wrong::NotTrimmed(n)),
            Rest::PartOfAnEntry => flaws.add(&path, position, Wrong::PartOfAnEntry),
            Rest::Nothing | Rest::Zeros(_) => {}
        }
        Ok(())
    }
}
