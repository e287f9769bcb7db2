//! `.timeindex` files, entry by entry, and whether each entry is true of the batches.
//!
//! Twelve bytes an entry: timestamp i64, offset minus base offset u32. An entry says that no record
//! of the segment up to the batch that holds the offset is later than the timestamp, and that this
//! batch has one that late.

use std::path::Path;

use drave_protocol::ids::Offset;
use thiserror::Error;

use crate::error::LogError;
use crate::fs::FileSystem;
use crate::inspect::batches::{Body, FoundBatch};
use crate::inspect::check::{Check, Flaws};
use crate::inspect::entries::{Entries, Rest, number};

const ENTRY_BYTES: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Wrong {
    #[error("the entry says {says}, the batch of offset {offset} reaches {reaches}")]
    OtherTime {
        says: i64,
        offset: Offset,
        reaches: i64,
    },
    #[error("the entry says nothing up to offset {offset} is later than {says}, {earlier} is")]
    NotLargest {
        says: i64,
        offset: Offset,
        earlier: i64,
    },
    #[error("the entry speaks of offset {0}, which the segment does not hold")]
    NoBatch(Offset),
    #[error("time and offset rise with each entry, here they do not")]
    Falls,
    #[error("the file ends inside an entry")]
    PartOfAnEntry,
}

/// One entry, and where in the index it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeEntry {
    pub position: u64,
    pub timestamp_ms: i64,
    pub offset: Offset,
}

#[derive(Debug)]
pub struct TimeEntries {
    base_offset: Offset,
    entries: Entries<ENTRY_BYTES>,
}

impl TimeEntries {
    pub fn open(fs: &dyn FileSystem, path: &Path, base_offset: Offset) -> Result<Self, LogError> {
        let entries = Entries::open(fs, path)?;
        Ok(Self {
            base_offset,
            entries,
        })
    }

    fn entry(&mut self) -> Result<Option<TimeEntry>, LogError> {
        let found = self.entries.next()?;
        Ok(found.map(|(position, bytes)| {
            let relative = u32::from_be_bytes(number(&bytes, 8));
            TimeEntry {
                position,
                timestamp_ms: i64::from_be_bytes(number(&bytes, 0)),
                offset: self.base_offset + i64::from(relative),
            }
        }))
    }
}

impl Iterator for TimeEntries {
    type Item = Result<TimeEntry, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.entry().transpose()
    }
}

/// Walks the index beside the batches.
#[derive(Debug)]
pub(super) struct TimeIndexCheck {
    entries: TimeEntries,
    next: Option<TimeEntry>,
    largest: i64,
}

impl TimeIndexCheck {
    pub(super) fn start(mut entries: TimeEntries) -> Result<Self, LogError> {
        let next = entries.entry()?;
        Ok(Self {
            entries,
            next,
            largest: i64::MIN,
        })
    }

    fn advance(&mut self, from: TimeEntry, flaws: &mut Flaws) -> Result<(), LogError> {
        let mut before = from;
        loop {
            self.next = self.entries.entry()?;
            let Some(next) = self.next else { return Ok(()) };
            if next.timestamp_ms > before.timestamp_ms && next.offset > before.offset {
                return Ok(());
            }
            flaws.add(self.entries.entries.path(), next.position, Wrong::Falls);
            before = next;
        }
    }

    fn compare(&self, entry: TimeEntry, found: &FoundBatch) -> Option<Wrong> {
        let (says, offset) = (entry.timestamp_ms, entry.offset);
        let reaches = found.header.max_timestamp;
        if offset < found.header.base_offset {
            Some(Wrong::NoBatch(offset))
        } else if reaches != says {
            Some(Wrong::OtherTime {
                says,
                offset,
                reaches,
            })
        } else if self.largest > says {
            let earlier = self.largest;
            Some(Wrong::NotLargest {
                says,
                offset,
                earlier,
            })
        } else {
            None
        }
    }
}

impl Check for TimeIndexCheck {
    fn batch(
        &mut self,
        found: &FoundBatch,
        _body: &Body<'_>,
        flaws: &mut Flaws,
    ) -> Result<(), LogError> {
        self.largest = self.largest.max(found.header.max_timestamp);
        while let Some(entry) = self.next
            && entry.offset <= found.header.last_offset()
        {
            if let Some(wrong) = self.compare(entry, found) {
                flaws.add(self.entries.entries.path(), entry.position, wrong);
            }
            self.advance(entry, flaws)?;
        }
        Ok(())
    }

    fn end(&mut self, flaws: &mut Flaws) -> Result<(), LogError> {
        let path = self.entries.entries.path().to_owned();
        while let Some(entry) = self.next {
            flaws.add(&path, entry.position, Wrong::NoBatch(entry.offset));
            self.advance(entry, flaws)?;
        }
        if self.entries.entries.rest()? == Rest::PartOfAnEntry {
            let position = self.entries.entries.position();
            flaws.add(&path, position, Wrong::PartOfAnEntry);
        }
        Ok(())
    }
}
