//! `.index`: a sparse map from offset to position in a segment, in Kafka's format.
//!
//! Eight bytes an entry: offset minus base offset u32, position u32. An entry names the *last*
//! offset of a batch and the position where that batch starts.
#![allow(
    clippy::indexing_slicing,
    reason = "eight-byte entries, as IndexFile cuts them"
)]

use std::path::Path;
use std::sync::Arc;

use drave_protocol::ids::Offset;

use crate::fs::FileSystem;
use crate::index_file::{Entry, IndexFile};

pub(crate) type OffsetIndex = IndexFile<IndexEntry>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) last_offset: Offset,
    pub(crate) position: u64,
}

impl Entry for IndexEntry {
    const BYTES: usize = 8;

    fn decode(bytes: &[u8], base_offset: Offset) -> Self {
        let mut number = [0; 4];
        number.copy_from_slice(&bytes[..4]);
        let relative = i64::from(u32::from_be_bytes(number));
        number.copy_from_slice(&bytes[4..8]);
        let position = u64::from(u32::from_be_bytes(number));
        Self {
            last_offset: base_offset + relative,
            position,
        }
    }

    fn encode(&self, base_offset: Offset, out: &mut Vec<u8>) {
        let relative = u32::try_from(self.last_offset - base_offset);
        let relative = relative.expect("a segment rolls before its offsets pass 31 bits");
        let position = u32::try_from(self.position);
        let position = position.expect("a segment rolls before its size passes 31 bits");
        out.extend(relative.to_be_bytes());
        out.extend(position.to_be_bytes());
    }

    fn follows(&self, previous: &Self) -> bool {
        previous.last_offset < self.last_offset && previous.position < self.position
    }
}

impl OffsetIndex {
    /// The index of a segment that is written to, whose batches end at `log_size`.
    pub(crate) fn open_in(
        fs: &Arc<dyn FileSystem>,
        path: &Path,
        base_offset: Offset,
        log_size: u64,
    ) -> Self {
        // The first batch has no entry: zeros are what a crash leaves where entries were.
        Self::open_checked(fs, path, base_offset, |it| {
            it.position > 0 && it.position < log_size
        })
    }

    /// The last entry at or below `offset`.
    pub(crate) fn lookup(&self, offset: Offset) -> Option<IndexEntry> {
        self.last_where(|it| it.last_offset <= offset)
    }

    /// Forgets entries at or after `position`.
    pub(crate) fn truncate(&mut self, position: u64) {
        self.truncate_where(|it| it.position < position);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::faulty::FaultyFs;

    fn shared(fs: &FaultyFs) -> Arc<dyn FileSystem> {
        Arc::new(fs.clone())
    }

    fn entry(last_offset: i64, position: u64) -> IndexEntry {
        IndexEntry {
            last_offset: Offset(last_offset),
            position,
        }
    }

    fn filled(fs: &FaultyFs, n: i64) -> OffsetIndex {
        let mut index = OffsetIndex::create(&shared(fs), Path::new("/1000.index"), Offset(1000));
        for (i, position) in (0..n).zip((7..).step_by(100)) {
            index.push(entry(1000 + i * 10, position));
        }
        index
    }

    #[test]
    fn lookup_finds_the_last_entry_at_or_below() {
        let fs = FaultyFs::new();
        // Enough that some entries are in the file and some wait.
        let index = filled(&fs, 50);
        assert_eq!((index.n_entries(), index.n_pending()), (50, 18));
        assert_eq!(index.lookup(Offset(999)), None);
        assert_eq!(index.lookup(Offset(1000)), Some(entry(1000, 7)));
        assert_eq!(index.lookup(Offset(1155)), Some(entry(1150, 1507)));
        assert_eq!(index.lookup(Offset(1319)), Some(entry(1310, 3107)));
        assert_eq!(index.lookup(Offset(1320)), Some(entry(1320, 3207)));
        assert_eq!(index.lookup(Offset(9999)), Some(entry(1490, 4907)));
    }

    #[test]
    fn every_entry_of_a_long_index_is_found_by_few_reads() {
        let fs = FaultyFs::new();
        let index = filled(&fs, 40_000);
        for place in (0..40_000)
            .step_by(37)
            .chain([0, 508, 509, 510, 511, 39_999])
        {
            let expected = entry(1000 + place * 10, 7 + u64::try_from(place).unwrap() * 100);
            assert_eq!(index.lookup(Offset(1000 + place * 10)), Some(expected));
            assert_eq!(index.lookup(Offset(1009 + place * 10)), Some(expected));
        }
        let before = fs.n_bytes_read();
        index.lookup(Offset(1000 + 123_450));
        let n_read = fs.n_bytes_read() - before;
        assert!(n_read < 10 * 4096, "{n_read}");
    }

    #[test]
    fn truncation_reaches_waiting_and_written_entries() {
        let fs = FaultyFs::new();
        for (position, last) in [(4_000, entry(1390, 3907)), (1_050, entry(1100, 1007))] {
            let mut index = filled(&fs, 50);
            index.truncate(position);
            assert_eq!(index.lookup(Offset(9999)), Some(last));
            assert_eq!(index.n_entries(), last.position / 100 + 1);
        }
    }

    #[test]
    fn a_file_is_kafkas_and_reopens() {
        let fs = FaultyFs::new();
        let mut index = filled(&fs, 3);
        index.finish(&fs).unwrap();
        let path = Path::new("/1000.index");
        let bytes = crate::fs::read_file(&fs, path).unwrap();
        assert_eq!(bytes.len(), 24);
        assert_eq!(bytes[8..16], [0, 0, 0, 10, 0, 0, 0, 107]);
        let reopened = OffsetIndex::open_in(&shared(&fs), path, Offset(1000), 5_000);
        assert_eq!(reopened.lookup(Offset(1015)), Some(entry(1010, 107)));
    }

    #[test]
    fn an_index_is_cut_where_it_stops_making_sense() {
        let fs = FaultyFs::new();
        let mut index = filled(&fs, 10);
        index.finish(&fs).unwrap();
        let path = Path::new("/1000.index");
        let cut_by_size = OffsetIndex::open_in(&shared(&fs), path, Offset(1000), 450);
        assert_eq!(cut_by_size.n_entries(), 5);
        let file = fs.open(path).unwrap();
        file.write_all_at(&[0; 8], 16).unwrap();
        assert_eq!(
            OffsetIndex::open_in(&shared(&fs), path, Offset(1000), 5_000).n_entries(),
            2
        );
        assert_eq!(file.size().unwrap(), 16);
        file.write_all_at(&[0; 8], 0).unwrap();
        let zeros_in_front = OffsetIndex::open_in(&shared(&fs), path, Offset(1000), 5_000);
        assert_eq!(zeros_in_front.n_entries(), 0);
    }

    #[test]
    fn the_file_is_made_with_the_first_entries_that_are_written_and_no_older_one_is_believed() {
        let fs = FaultyFs::new();
        let path = Path::new("/1000.index");
        filled(&fs, 5).finish(&fs).unwrap();
        let index = filled(&fs, 31);
        assert!(!fs.exists(path).unwrap(), "few entries wait in memory");
        assert_eq!(index.lookup(Offset(1105)), Some(entry(1100, 1007)));
        let index = filled(&fs, 32);
        assert_eq!(index.n_pending(), 0);
        assert_eq!(fs.open(path).unwrap().size().unwrap(), 32 * 8);
        filled(&fs, 0).finish(&fs).unwrap();
        assert!(fs.exists(path).unwrap(), "a sealed segment has an index");
    }
}
