//! `.index`: a sparse map from offset to position in a segment, in Kafka's format.
//!
//! Eight bytes an entry: offset minus base offset u32, position u32. An entry names the *last*
//! offset of a batch and the position where that batch starts.
//!
//! Invariants: offsets and positions rise strictly. The index is a cache: an entry is believed only
//! after the batch it points to was seen to end at the entry's offset, and a log without any index
//! still answers, by walking. The newest entries wait in memory and are written in groups, so disk
//! errors here harm nobody.
#![allow(
    clippy::indexing_slicing,
    reason = "eight-byte entries cut by chunks_exact"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use drave_protocol::ids::Offset;
use tracing::warn;

use crate::fs::{File, FileSystem, to_u64};

const ENTRY_BYTES: u64 = 8;
/// Entries gathered before they are written: one small write per 32 × the index interval.
const PENDING_MAX: usize = 32;

#[derive(Debug)]
pub(crate) struct OffsetIndex {
    base_offset: Offset,
    path: PathBuf,
    file: Option<Arc<dyn File>>,
    /// Entries in the file; those in `pending` follow them.
    n_written: u64,
    pending: Vec<IndexEntry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) last_offset: Offset,
    pub(crate) position: u64,
}

impl OffsetIndex {
    /// An empty index; what the file held is dropped.
    pub(crate) fn create(fs: &dyn FileSystem, path: &Path, base_offset: Offset) -> Self {
        let file = fs
            .create(path)
            .map_err(|error| warn_unusable(path, &error))
            .ok();
        Self {
            base_offset,
            path: path.to_owned(),
            file,
            n_written: 0,
            pending: Vec::new(),
        }
    }

    /// The index of a sealed segment, believed entry by entry when asked.
    pub(crate) fn open(fs: &dyn FileSystem, path: &Path, base_offset: Offset) -> Self {
        let opened = fs.open(path).and_then(|file| Ok((file.size()?, file)));
        let Ok((size, file)) = opened else {
            return Self::create(fs, path, base_offset);
        };
        let n_written = size / ENTRY_BYTES;
        let file = Some(file);
        Self {
            base_offset,
            path: path.to_owned(),
            file,
            n_written,
            pending: Vec::new(),
        }
    }

    /// The index of the active segment: checked whole, and cut where it stops making sense.
    pub(crate) fn open_checked(
        fs: &dyn FileSystem,
        path: &Path,
        base_offset: Offset,
        log_size: u64,
    ) -> Self {
        let mut index = Self::open(fs, path, base_offset);
        let mut n_good = 0;
        let mut previous = None;
        for entry in index.entries() {
            let rises = previous.is_none_or(|it: IndexEntry| {
                it.last_offset < entry.last_offset && it.position < entry.position
            });
            if !rises || entry.position >= log_size || entry.last_offset < base_offset {
                break;
            }
            previous = Some(entry);
            n_good += 1;
        }
        index.keep(n_good);
        index
    }

    fn entries(&self) -> Vec<IndexEntry> {
        let Some(file) = &self.file else {
            return Vec::new();
        };
        let size = usize::try_from(self.n_written * ENTRY_BYTES).unwrap_or(0);
        let mut bytes = vec![0; size];
        match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => bytes.chunks_exact(8).map(|it| self.decode(it)).collect(),
            Err(error) => {
                warn_unusable(&self.path, &error);
                Vec::new()
            }
        }
    }

    fn decode(&self, bytes: &[u8]) -> IndexEntry {
        let mut number = [0; 4];
        number.copy_from_slice(&bytes[..4]);
        let relative = i64::from(u32::from_be_bytes(number));
        number.copy_from_slice(&bytes[4..8]);
        let position = u64::from(u32::from_be_bytes(number));
        IndexEntry {
            last_offset: self.base_offset + relative,
            position,
        }
    }

    fn encode(&self, entry: IndexEntry) -> [u8; 8] {
        let relative = u32::try_from(entry.last_offset - self.base_offset);
        let relative = relative.expect("a segment rolls before its offsets pass 31 bits");
        let position = u32::try_from(entry.position);
        let position = position.expect("a segment rolls before its size passes 31 bits");
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&relative.to_be_bytes());
        bytes[4..].copy_from_slice(&position.to_be_bytes());
        bytes
    }

    /// The last entry at or below `offset`.
    pub(crate) fn lookup(&self, offset: Offset) -> Option<IndexEntry> {
        self.last_where(|it| it.last_offset <= offset)
    }

    /// The last entry that `fits`; of two entries, the earlier fits if the later does.
    pub(crate) fn last_where(&self, fits: impl Fn(&IndexEntry) -> bool) -> Option<IndexEntry> {
        let after = self.pending.partition_point(&fits);
        match after.checked_sub(1).and_then(|at| self.pending.get(at)) {
            Some(entry) => Some(*entry),
            None => self.last_written_where(fits),
        }
    }

    fn last_written_where(&self, fits: impl Fn(&IndexEntry) -> bool) -> Option<IndexEntry> {
        let (mut low, mut high) = (0, self.n_written);
        let mut found = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.written(middle)?;
            if fits(&entry) {
                found = Some(entry);
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        found
    }

    fn written(&self, place: u64) -> Option<IndexEntry> {
        let mut bytes = [0; 8];
        self.file
            .as_ref()?
            .read_exact_at(&mut bytes, place * ENTRY_BYTES)
            .ok()?;
        Some(self.decode(&bytes))
    }

    pub(crate) fn push(&mut self, entry: IndexEntry) {
        self.pending.push(entry);
        if self.pending.len() >= PENDING_MAX {
            self.flush();
        }
    }

    /// Hands waiting entries to the file. On an error they go on waiting.
    pub(crate) fn flush(&mut self) {
        let Some(file) = self.file.as_ref().filter(|_| !self.pending.is_empty()) else {
            return;
        };
        let bytes: Vec<u8> = self
            .pending
            .iter()
            .flat_map(|entry| self.encode(*entry))
            .collect();
        match file.write_all_at(&bytes, self.n_written * ENTRY_BYTES) {
            Ok(()) => {
                self.n_written += to_u64(self.pending.len());
                self.pending.clear();
            }
            Err(error) => warn_unusable(&self.path, &error),
        }
    }

    /// Forgets entries at or after `position`, on disk too.
    pub(crate) fn truncate(&mut self, position: u64) {
        self.pending.retain(|entry| entry.position < position);
        let (mut low, mut high) = (0, self.n_written);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.written(middle) {
                Some(entry) if entry.position < position => low = middle + 1,
                Some(_) | None => high = middle,
            }
        }
        if low < self.n_written {
            self.pending.clear();
        }
        self.keep(low);
    }

    fn keep(&mut self, n_kept: u64) {
        self.n_written = n_kept;
        if let Some(file) = &self.file
            && let Err(error) = file.set_size(n_kept * ENTRY_BYTES)
        {
            warn_unusable(&self.path, &error);
        }
    }

    pub(crate) fn size(&self) -> u64 {
        (self.n_written + to_u64(self.pending.len())) * ENTRY_BYTES
    }

    pub(crate) fn file(&self) -> Option<Arc<dyn File>> {
        self.file.clone()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn warn_unusable(path: &Path, error: &std::io::Error) {
    warn!(path = %path.display(), %error, "offset index cannot be used, reads will walk the log");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::faulty::FaultyFs;

    fn entry(last_offset: i64, position: u64) -> IndexEntry {
        IndexEntry {
            last_offset: Offset(last_offset),
            position,
        }
    }

    fn filled(fs: &FaultyFs, n: i64) -> OffsetIndex {
        let mut index = OffsetIndex::create(fs, Path::new("/1000.index"), Offset(1000));
        for (i, position) in (0..n).zip((0..).step_by(100)) {
            index.push(entry(1000 + i * 10, position));
        }
        index
    }

    #[test]
    fn lookup_finds_the_last_entry_at_or_below() {
        let fs = FaultyFs::new();
        // Enough that some entries are in the file and some wait.
        let index = filled(&fs, 50);
        assert_eq!((index.n_written, index.pending.len()), (32, 18));
        assert_eq!(index.lookup(Offset(999)), None);
        assert_eq!(index.lookup(Offset(1000)), Some(entry(1000, 0)));
        assert_eq!(index.lookup(Offset(1155)), Some(entry(1150, 1500)));
        assert_eq!(index.lookup(Offset(1319)), Some(entry(1310, 3100)));
        assert_eq!(index.lookup(Offset(1320)), Some(entry(1320, 3200)));
        assert_eq!(index.lookup(Offset(9999)), Some(entry(1490, 4900)));
    }

    #[test]
    fn truncation_reaches_waiting_and_written_entries() {
        let fs = FaultyFs::new();
        for (position, last) in [(4_000, entry(1390, 3900)), (1_050, entry(1100, 1000))] {
            let mut index = filled(&fs, 50);
            index.truncate(position);
            assert_eq!(index.lookup(Offset(9999)), Some(last));
            assert_eq!(index.size(), (last.position / 100 + 1) * 8);
        }
    }

    #[test]
    fn a_file_is_kafkas_and_reopens() {
        let fs = FaultyFs::new();
        let mut index = filled(&fs, 3);
        index.flush();
        let path = Path::new("/1000.index");
        let bytes = crate::fs::read_file(&fs, path).unwrap();
        assert_eq!(bytes.len(), 24);
        assert_eq!(bytes[8..16], [0, 0, 0, 10, 0, 0, 0, 100]);
        let reopened = OffsetIndex::open_checked(&fs, path, Offset(1000), 5_000);
        assert_eq!(reopened.lookup(Offset(1015)), Some(entry(1010, 100)));
    }

    #[test]
    fn an_index_is_cut_where_it_stops_making_sense() {
        let fs = FaultyFs::new();
        let mut index = filled(&fs, 10);
        index.flush();
        let path = Path::new("/1000.index");
        let cut_by_size = OffsetIndex::open_checked(&fs, path, Offset(1000), 450);
        assert_eq!(cut_by_size.n_written, 5);
        let file = fs.open(path).unwrap();
        file.write_all_at(&[0; 8], 16).unwrap();
        assert_eq!(
            OffsetIndex::open_checked(&fs, path, Offset(1000), 5_000).n_written,
            2
        );
        assert_eq!(file.size().unwrap(), 16);
    }
}
