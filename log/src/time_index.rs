//! `.timeindex`: a sparse map from time to offset in a segment, in Kafka's format.
//!
//! Twelve bytes an entry: timestamp i64, offset minus base offset u32. An entry says: no batch that
//! ends at or before this offset has a later time, and the batch that ends there is the first to have
//! this one. The last entry of a sealed segment is its largest timestamp.
#![allow(
    clippy::indexing_slicing,
    reason = "twelve-byte entries, as IndexFile cuts them"
)]

use std::path::Path;
use std::sync::Arc;

use drave_protocol::ids::Offset;
use drave_protocol::record::batch::BatchHeader;

use crate::fs::FileSystem;
use crate::index_file::{Entry, IndexFile};

pub(crate) type TimeIndex = IndexFile<TimeEntry>;

/// What a record without a time says; such a time is in no index.
const NO_TIMESTAMP: i64 = -1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub(crate) timestamp_ms: i64,
    pub(crate) last_offset: Offset,
}

impl TimeEntry {
    pub(crate) fn of(header: &BatchHeader) -> Self {
        Self {
            timestamp_ms: header.max_timestamp,
            last_offset: header.last_offset(),
        }
    }

    /// The one with the largest time, and of equals the first.
    pub(crate) fn or_later(known: Option<Self>, header: &BatchHeader) -> Self {
        match known {
            Some(known) if known.timestamp_ms >= header.max_timestamp => known,
            Some(_) | None => Self::of(header),
        }
    }
}

impl Entry for TimeEntry {
    const BYTES: usize = 12;

    fn decode(bytes: &[u8], base_offset: Offset) -> Self {
        let mut timestamp_ms = [0; 8];
        timestamp_ms.copy_from_slice(&bytes[..8]);
        let mut relative = [0; 4];
        relative.copy_from_slice(&bytes[8..12]);
        Self {
            timestamp_ms: i64::from_be_bytes(timestamp_ms),
            last_offset: base_offset + i64::from(u32::from_be_bytes(relative)),
        }
    }

    fn encode(&self, base_offset: Offset, out: &mut Vec<u8>) {
        let relative = u32::try_from(self.last_offset - base_offset);
        let relative = relative.expect("a segment rolls before its offsets pass 31 bits");
        out.extend(self.timestamp_ms.to_be_bytes());
        out.extend(relative.to_be_bytes());
    }

    fn follows(&self, previous: &Self) -> bool {
        previous.timestamp_ms < self.timestamp_ms && previous.last_offset < self.last_offset
    }
}

impl TimeIndex {
    /// The index of a segment that is written to.
    pub(crate) fn open_in(fs: &Arc<dyn FileSystem>, path: &Path, base_offset: Offset) -> Self {
        // Zeros are what a crash leaves where entries were.
        let is_zeros = |it: &TimeEntry| it.timestamp_ms == 0 && it.last_offset == base_offset;
        Self::open_checked(fs, path, base_offset, |it| {
            it.timestamp_ms > NO_TIMESTAMP && !is_zeros(it)
        })
    }

    /// The last entry that is not after `timestamp_ms`: no earlier batch is.
    pub(crate) fn lookup(&self, timestamp_ms: i64) -> Option<TimeEntry> {
        self.last_where(|it| it.timestamp_ms <= timestamp_ms)
    }

    /// Notes the largest time so far, if it is a new one.
    pub(crate) fn note(&mut self, largest: TimeEntry) {
        let newest = self.last().map_or(NO_TIMESTAMP, |it| it.timestamp_ms);
        if largest.timestamp_ms > newest {
            self.push(largest);
        }
    }

    /// Forgets entries of batches after the one that ends at `offset`.
    pub(crate) fn truncate_after(&mut self, offset: Option<Offset>) {
        self.truncate_where(|it| offset.is_some_and(|offset| it.last_offset <= offset));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::faulty::FaultyFs;

    fn shared(fs: &FaultyFs) -> Arc<dyn FileSystem> {
        Arc::new(fs.clone())
    }

    fn entry(timestamp_ms: i64, last_offset: i64) -> TimeEntry {
        TimeEntry {
            timestamp_ms,
            last_offset: Offset(last_offset),
        }
    }

    fn filled(fs: &FaultyFs) -> TimeIndex {
        let mut index = TimeIndex::create(&shared(fs), Path::new("/1000.timeindex"), Offset(1000));
        for largest in [(50, 1003), (50, 1003), (60, 1005), (70, 1010)] {
            index.note(entry(largest.0, largest.1));
        }
        index
    }

    #[test]
    fn a_time_is_noted_once_and_none_is_not_noted() {
        let fs = FaultyFs::new();
        let mut index = TimeIndex::create(&shared(&fs), Path::new("/0.timeindex"), Offset(0));
        index.note(entry(NO_TIMESTAMP, 5));
        assert_eq!(index.n_entries(), 0);
        assert_eq!(filled(&fs).n_entries(), 3);
    }

    #[test]
    fn lookup_finds_the_last_entry_not_after_a_time() {
        let fs = FaultyFs::new();
        let mut index = filled(&fs);
        for _ in 0..2 {
            assert_eq!(index.lookup(49), None);
            assert_eq!(index.lookup(50), Some(entry(50, 1003)));
            assert_eq!(index.lookup(69), Some(entry(60, 1005)));
            assert_eq!(index.lookup(99), Some(entry(70, 1010)));
            index.finish(&fs).unwrap();
        }
    }

    #[test]
    fn a_file_is_kafkas_and_the_zeros_kafka_leaves_are_cut_off() {
        let fs = FaultyFs::new();
        let mut index = filled(&fs);
        index.finish(&fs).unwrap();
        let path = Path::new("/1000.timeindex");
        let file = fs.open(path).unwrap();
        assert_eq!(file.size().unwrap(), 36);
        let mut second = [0; 12];
        file.read_exact_at(&mut second, 12).unwrap();
        assert_eq!(second, [0, 0, 0, 0, 0, 0, 0, 60, 0, 0, 0, 5]);
        file.set_size(36_000).unwrap();
        let reopened = TimeIndex::open_in(&shared(&fs), path, Offset(1000));
        assert_eq!(reopened.last(), Some(entry(70, 1010)));
        assert_eq!(file.size().unwrap(), 36);
    }

    #[test]
    fn what_was_cut_from_the_log_is_cut_from_the_index() {
        let fs = FaultyFs::new();
        let mut index = filled(&fs);
        index.truncate_after(Some(Offset(1009)));
        assert_eq!(index.last(), Some(entry(60, 1005)));
        index.finish(&fs).unwrap();
        index.truncate_after(Some(Offset(1003)));
        assert_eq!(index.last(), Some(entry(50, 1003)));
        index.truncate_after(None);
        assert_eq!((index.last(), index.n_entries()), (None, 0));
    }
}
