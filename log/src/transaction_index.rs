//! Kafka's `<base offset>.txnindex`: the transactions whose abort marker lies in a segment.
//!
//! ```text
//! 0 version i16 | 2 producer id i64 | 10 first offset i64 | 18 last offset (the marker) i64
//! 26 last stable offset at that moment i64
//! ```
//! Invariants: last offsets rise; a segment without an aborted transaction has no file. The entries
//! are made anew from the log above the newest producer snapshot, so they must be durable only
//! before a snapshot is written ([`TransactionIndex::unsynced`]).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, BufMut};
use drave_protocol::ids::{Offset, ProducerId};

use crate::error::{During, LogError};
use crate::file_names;
use crate::fs::{FileSystem, NamedFile, to_u64};
use crate::listing::Listing;
use crate::producer_state::AbortedTransaction;

/// Ends the names of its files.
pub(crate) const TRANSACTIONS: &str = "txnindex";
const VERSION: i16 = 0;
const ENTRY: usize = 34;
const ENTRY_BYTES: u64 = 34;
/// Entries read at once by a reader that needs many.
const READ_AT_ONCE: usize = 256;

#[derive(Debug)]
pub(crate) struct TransactionIndex {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    /// Entries by segment.
    n_entries: BTreeMap<Offset, u64>,
    unsynced: BTreeSet<Offset>,
    /// Whether names came or went: what is gone must not come back under a snapshot.
    names_changed: bool,
    n_changes: u64,
}

/// Changes of an index that may not be durable.
#[derive(Debug)]
pub(crate) struct Unsynced {
    files: Vec<NamedFile>,
    folder: Option<(PathBuf, Arc<dyn FileSystem>)>,
    n_changes: u64,
}

impl Unsynced {
    pub(crate) fn sync(&self) -> Result<(), LogError> {
        for (path, file) in &self.files {
            file.sync_data().during("sync", path)?;
        }
        if let Some((path, fs)) = &self.folder {
            fs.sync_dir(path).during("sync", path)?;
        }
        Ok(())
    }
}

impl TransactionIndex {
    /// The index files of those in a folder; those of segments below `first_base` go.
    pub(crate) fn open(
        fs: &Arc<dyn FileSystem>,
        dir: &Path,
        listing: &Listing,
        first_base: Offset,
    ) -> Result<Self, LogError> {
        let mut index = Self {
            fs: Arc::clone(fs),
            dir: dir.to_owned(),
            n_entries: BTreeMap::new(),
            unsynced: BTreeSet::new(),
            names_changed: false,
            n_changes: 0,
        };
        for (name, size) in listing.files() {
            if let Some(base) = file_names::offset_in(name, TRANSACTIONS) {
                index.n_entries.insert(base, size / ENTRY_BYTES);
            }
        }
        index.remove_before(first_base)?;
        Ok(index)
    }

    /// The first segment whose file does not end in an entry that could be its own: from there on
    /// the index must be made anew.
    pub(crate) fn first_damaged(&self) -> Result<Option<Offset>, LogError> {
        for (base, n_entries) in &self.n_entries {
            let last = n_entries
                .checked_sub(1)
                .map(|at| self.entries(*base, at, 1));
            let is_sound = match last.transpose() {
                Ok(Some(last)) => last.iter().all(|it| it.last_offset >= *base),
                Ok(None) | Err(LogError::BadFile { .. }) => false,
                Err(error) => return Err(error),
            };
            if !is_sound {
                return Ok(Some(*base));
            }
        }
        Ok(None)
    }

    /// Writes an entry behind the last of a segment. It counts once [`Self::keep`] says so: should
    /// the marker itself not be written, the next entry takes its place.
    pub(crate) fn write(
        &mut self,
        segment: Offset,
        entry: &AbortedTransaction,
    ) -> Result<(), LogError> {
        let path = self.path(segment);
        let file = match self.fs.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.fs.create(&path),
            opened => opened,
        };
        let file = file.during("open", &path)?;
        let at = self.n_entries.get(&segment).copied().unwrap_or(0) * ENTRY_BYTES;
        file.write_all_at(&to_bytes(entry), at)
            .during("append to", &path)
    }

    pub(crate) fn keep(&mut self, segment: Offset) {
        self.names_changed |= !self.n_entries.contains_key(&segment);
        *self.n_entries.entry(segment).or_default() += 1;
        self.changed(segment);
    }

    /// Drops the transactions that ended at `offset` or later.
    pub(crate) fn truncate(&mut self, offset: Offset) -> Result<(), LogError> {
        let above = self.n_entries.split_off(&offset);
        for base in above.keys() {
            self.remove(*base)?;
        }
        let Some((&base, &n_entries)) = self.n_entries.last_key_value() else {
            return Ok(());
        };
        let n_kept = self.first_from(base, n_entries, offset)?;
        if n_kept == n_entries {
            return Ok(());
        }
        if n_kept == 0 {
            self.n_entries.remove(&base);
            return self.remove(base);
        }
        let path = self.path(base);
        let file = self.fs.open(&path).during("open", &path)?;
        file.set_size(n_kept * ENTRY_BYTES)
            .during("truncate", &path)?;
        self.n_entries.insert(base, n_kept);
        self.changed(base);
        Ok(())
    }

    fn changed(&mut self, base: Offset) {
        self.unsynced.insert(base);
        self.n_changes += 1;
    }

    /// Drops the files of segments before `base`.
    pub(crate) fn remove_before(&mut self, base: Offset) -> Result<(), LogError> {
        let kept = self.n_entries.split_off(&base);
        let gone = std::mem::replace(&mut self.n_entries, kept);
        for base in gone.keys() {
            self.remove(*base)?;
        }
        Ok(())
    }

    fn remove(&mut self, base: Offset) -> Result<(), LogError> {
        self.unsynced.remove(&base);
        self.names_changed = true;
        self.n_changes += 1;
        let path = self.path(base);
        match self.fs.remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.during("remove", &path),
        }
    }

    /// Writes the index of a segment that compaction made, durably. Without entries it is an empty
    /// file, and says that the segment needs none.
    pub(crate) fn write_whole(
        fs: &dyn FileSystem,
        path: &Path,
        entries: &[AbortedTransaction],
    ) -> Result<(), LogError> {
        let bytes: Vec<u8> = entries.iter().flat_map(to_bytes).collect();
        let file = fs.create(path).during("create", path)?;
        file.write_all_at(&bytes, 0).during("write", path)?;
        file.sync_data().during("sync", path)
    }

    /// The segments whose base offsets lie in `run` became one, with `n_entries` in a file of its own.
    pub(crate) fn replaced(&mut self, run: &Range<Offset>, n_entries: u64) {
        self.n_entries.retain(|base, _| !run.contains(base));
        self.unsynced.retain(|base| !run.contains(base));
        self.n_changes += 1;
        if n_entries > 0 {
            self.n_entries.insert(run.start, n_entries);
        }
    }

    /// What must be synced before a snapshot is written.
    pub(crate) fn unsynced(&self) -> Result<Unsynced, LogError> {
        let named = self.unsynced.iter().map(|base| {
            let path = self.path(*base);
            let file = self.fs.open(&path).during("open", &path)?;
            Ok((path, file))
        });
        let folder = self
            .names_changed
            .then(|| (self.dir.clone(), Arc::clone(&self.fs)));
        Ok(Unsynced {
            files: named.collect::<Result<_, LogError>>()?,
            folder,
            n_changes: self.n_changes,
        })
    }

    /// Takes note of a sync that succeeded.
    pub(crate) fn synced(&mut self, done: &Unsynced) {
        if done.n_changes == self.n_changes {
            self.unsynced.clear();
            self.names_changed = false;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.n_entries.is_empty()
    }

    /// The aborted transactions with records in `from..upper`.
    pub(crate) fn overlapping(
        &self,
        from: Offset,
        upper: Offset,
    ) -> Result<Vec<AbortedTransaction>, LogError> {
        let mut found = Vec::new();
        // A transaction that ends at or after `from` is noted in the segment of its end.
        let holding = self.n_entries.range(..=from).next_back();
        let start = holding.map_or(from, |(base, _)| *base);
        for (&base, &n_entries) in self.n_entries.range(start..) {
            let mut at = self.first_from(base, n_entries, from)?;
            while at < n_entries {
                let left = usize::try_from(n_entries - at).unwrap_or(READ_AT_ONCE);
                let n = READ_AT_ONCE.min(left);
                let entries = self.entries(base, at, n)?;
                found.extend(entries.iter().filter(|it| it.first_offset < upper));
                // All that ended later began at or above what was stable then.
                if entries.iter().any(|it| it.last_stable_offset >= upper) {
                    return Ok(found);
                }
                at += to_u64(n);
            }
        }
        Ok(found)
    }

    /// Which entry is the first whose transaction ended at or after `offset`.
    fn first_from(&self, base: Offset, n_entries: u64, offset: Offset) -> Result<u64, LogError> {
        let (mut low, mut high) = (0, n_entries);
        while low < high {
            let middle = low.midpoint(high);
            let entry = self.entries(base, middle, 1)?;
            let ends_below = matches!(entry.as_slice(), [it] if it.last_offset < offset);
            if ends_below {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn entries(
        &self,
        base: Offset,
        at: u64,
        n: usize,
    ) -> Result<Vec<AbortedTransaction>, LogError> {
        let path = self.path(base);
        let file = self.fs.open(&path).during("open", &path)?;
        let mut bytes = vec![0; n * ENTRY];
        file.read_exact_at(&mut bytes, at * ENTRY_BYTES)
            .during("read", &path)?;
        let entries = bytes.chunks_exact(ENTRY).map(|bytes| {
            // Left out, what its producer aborted would be read as if it counted.
            from_bytes(bytes).ok_or_else(|| LogError::BadFile {
                path: path.clone(),
                line: 1,
                fault: "an entry is not of version 0",
            })
        });
        entries.collect()
    }

    fn path(&self, base: Offset) -> PathBuf {
        file_names::path_of(&self.dir, base, TRANSACTIONS)
    }
}

fn to_bytes(entry: &AbortedTransaction) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ENTRY);
    bytes.put_i16(VERSION);
    bytes.put_i64(entry.producer_id.0);
    bytes.put_i64(entry.first_offset.0);
    bytes.put_i64(entry.last_offset.0);
    bytes.put_i64(entry.last_stable_offset.0);
    bytes
}

fn from_bytes(mut bytes: &[u8]) -> Option<AbortedTransaction> {
    (bytes.get_i16() == VERSION).then(|| AbortedTransaction {
        producer_id: ProducerId(bytes.get_i64()),
        first_offset: Offset(bytes.get_i64()),
        last_offset: Offset(bytes.get_i64()),
        last_stable_offset: Offset(bytes.get_i64()),
    })
}

#[cfg(test)]
#[path = "transaction_index_test.rs"]
mod tests;
