//! A sparse index of one segment in a file: entries of one size, in rising order.
//!
//! Invariants: entries rise strictly. An index is a cache: whoever uses an entry looks whether the
//! batches agree, and a log without any index still answers, by walking. The newest entries wait in
//! memory and are written in groups, so disk errors here harm nobody before the segment is sealed. The file
//! is made when the first are: a node holds many logs with less than that, and its open files are counted.

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use drave_protocol::ids::Offset;
use tracing::warn;

use crate::error::{During, LogError};
use crate::fs::{self, File, FileSystem, to_u64};
use crate::planted::{Fault, is_planted};

/// Entries gathered before they are written: one small write per 32 × the index interval.
const PENDING_MAX: usize = 32;
/// Entries are searched in pieces of this size: a call to the system for each entry that is looked at
/// costs more than all the rest of a lookup.
const BLOCK_BYTES: usize = 4080;
/// Of the block an entry was found in so much is remembered, from that entry on: readers go forward.
const RECENT_BYTES: usize = 1024;
/// The largest entry there is.
const ENTRY_BYTES_MAX: usize = 12;

/// What an index holds. Offsets in the file are relative to the segment's base offset.
pub(crate) trait Entry: Copy + Debug {
    const BYTES: usize;

    /// `bytes` are [`Self::BYTES`] of them, or more.
    fn decode(bytes: &[u8], base_offset: Offset) -> Self;

    fn encode(&self, base_offset: Offset, out: &mut Vec<u8>);

    fn follows(&self, previous: &Self) -> bool;
}

#[derive(Debug)]
pub(crate) struct IndexFile<E> {
    base_offset: Offset,
    path: PathBuf,
    file: Option<Arc<dyn File>>,
    /// Where the file is still to be made, who makes it.
    unmade_in: Option<Arc<dyn FileSystem>>,
    /// Entries in the file; those in `pending` follow them.
    n_written: u64,
    pending: Vec<E>,
    recent: Mutex<Recent>,
}

/// Entries of the file as they were read last.
#[derive(Debug, Default)]
struct Recent {
    start: u64,
    bytes: Vec<u8>,
}

impl<E: Entry> IndexFile<E> {
    /// An empty index; what a file there held is dropped.
    pub(crate) fn create(fs: &Arc<dyn FileSystem>, path: &Path, base_offset: Offset) -> Self {
        match fs.remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                warn_unusable(path, &error);
                Self::in_memory(path, base_offset)
            }
            Ok(()) | Err(_) => Self::unmade(fs, path, base_offset),
        }
    }

    /// An empty index whose file, if there is one, is not looked at.
    pub(crate) fn unmade(fs: &Arc<dyn FileSystem>, path: &Path, base_offset: Offset) -> Self {
        Self {
            unmade_in: Some(Arc::clone(fs)),
            ..Self::in_memory(path, base_offset)
        }
    }

    fn with(path: &Path, base_offset: Offset, file: Option<Arc<dyn File>>, n_written: u64) -> Self {
        Self {
            base_offset,
            path: path.to_owned(),
            file,
            unmade_in: None,
            n_written,
            pending: Vec::new(),
            recent: Mutex::default(),
        }
    }

    /// The index of a sealed segment, believed entry by entry when asked. `None` when there is no
    /// file, or none that can be used.
    pub(crate) fn open(fs: &dyn FileSystem, path: &Path, base_offset: Offset) -> Option<Self> {
        match fs.open(path).and_then(|file| Ok((file.size()?, file))) {
            Ok((size, file)) => {
                let n_written = size / to_u64(E::BYTES);
                Some(Self::with(path, base_offset, Some(file), n_written))
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    warn_unusable(path, &error);
                }
                None
            }
        }
    }

    /// An empty index without a file: see [`Self::put_in_place`].
    pub(crate) fn in_memory(path: &Path, base_offset: Offset) -> Self {
        Self::with(path, base_offset, None, 0)
    }

    /// Writes an index that was made in memory in the place of what the file held. Durably, for it is
    /// believed whole; where that fails, it stays in memory.
    pub(crate) fn put_in_place(&mut self, fs: &dyn FileSystem) {
        let bytes = self.encoded();
        let replaced = fs::replace_file(fs, &self.path, &bytes).and_then(|()| fs.open(&self.path));
        match replaced {
            Ok(file) => {
                self.file = Some(file);
                self.n_written = to_u64(self.pending.len());
                self.pending.clear();
            }
            Err(error) => warn_unusable(&self.path, &error),
        }
    }

    /// The index of a segment that is written to: checked whole, and cut where entries do not rise
    /// or are not `plausible`. (Kafka leaves zeros there when it dies.)
    pub(crate) fn open_checked(
        fs: &Arc<dyn FileSystem>,
        path: &Path,
        base_offset: Offset,
        plausible: impl Fn(&E) -> bool,
    ) -> Self {
        let Some(mut index) = Self::open(fs.as_ref(), path, base_offset) else {
            return Self::unmade(fs, path, base_offset);
        };
        let mut n_good = 0;
        let mut previous: Option<E> = None;
        for entry in index.written_entries() {
            let fits = plausible(&entry) && previous.is_none_or(|it| entry.follows(&it));
            if !fits && !is_planted(Fault::IndexTrustedBlindly) {
                break;
            }
            previous = Some(entry);
            n_good += 1;
        }
        index.keep(n_good);
        index
    }

    fn written_entries(&self) -> Vec<E> {
        let Some(file) = &self.file else {
            return Vec::new();
        };
        let size = self.n_written * to_u64(E::BYTES);
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        if let Err(error) = file.read_exact_at(&mut bytes, 0) {
            warn_unusable(&self.path, &error);
            return Vec::new();
        }
        let entries = bytes.chunks_exact(E::BYTES);
        entries.map(|it| E::decode(it, self.base_offset)).collect()
    }

    fn written(&self, place: u64) -> Option<E> {
        let mut bytes = [0; ENTRY_BYTES_MAX];
        let bytes = bytes.get_mut(..E::BYTES)?;
        let position = place * to_u64(E::BYTES);
        self.file.as_ref()?.read_exact_at(bytes, position).ok()?;
        Some(E::decode(bytes, self.base_offset))
    }

    /// The newest entry.
    pub(crate) fn last(&self) -> Option<E> {
        let newest = self.pending.last().copied();
        newest.or_else(|| self.written(self.n_written.checked_sub(1)?))
    }

    /// The last entry that `fits`; of two entries, the earlier fits if the later does.
    pub(crate) fn last_where(&self, fits: impl Fn(&E) -> bool) -> Option<E> {
        self.last_where_near(self.n_written / 2, fits)
    }

    /// As [`Self::last_where`], for one who knows about how many entries fit: a good guess saves reads.
    pub(crate) fn last_where_near(&self, guess: u64, fits: impl Fn(&E) -> bool) -> Option<E> {
        let after = self.pending.partition_point(&fits);
        match after.checked_sub(1).and_then(|at| self.pending.get(at)) {
            Some(entry) => Some(*entry),
            None => self
                .recent_where(&fits)
                .or_else(|| self.written_where(guess, fits).1),
        }
    }

    /// The last entry of the file that fits, where what was read last tells.
    fn recent_where(&self, fits: impl Fn(&E) -> bool) -> Option<E> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let n = to_u64(recent.bytes.len() / E::BYTES);
        let (n_fit, last) = fitting(&recent.bytes, self.base_offset, fits);
        let tells = n_fit < n || recent.start + n == self.n_written;
        last.filter(|_| tells)
    }

    fn remember(&self, start: u64, block: &[u8]) {
        let kept = block.len().min(RECENT_BYTES / E::BYTES * E::BYTES);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.start = start;
        recent.bytes.clear();
        recent.bytes.extend(block.iter().take(kept));
    }

    /// How many entries of the file fit, and the last of them.
    fn written_where(&self, guess: u64, fits: impl Fn(&E) -> bool) -> (u64, Option<E>) {
        let mut memory = [0; BLOCK_BYTES];
        let n_in_block = to_u64(BLOCK_BYTES / E::BYTES);
        let (mut low, mut high) = (0, self.n_written);
        let mut last = None;
        let mut middle = guess.min(high.saturating_sub(1));
        while low < high {
            let start = middle.saturating_sub(n_in_block / 2).max(low);
            let n = n_in_block.min(high - start);
            let (n_fit, last_in_block) = self.in_block_where(start, n, &mut memory, &fits);
            last = last_in_block.or(last);
            match n_fit {
                0 => high = start,
                n_fit if n_fit == n => low = start + n,
                n_fit => return (start + n_fit, last),
            }
            middle = low + (high - low) / 2;
        }
        (low, last)
    }

    /// How many of `n` entries from `start` on fit, and the last of them; none, when they cannot be read.
    fn in_block_where(
        &self,
        start: u64,
        n: u64,
        memory: &mut [u8],
        fits: impl Fn(&E) -> bool,
    ) -> (u64, Option<E>) {
        let size = usize::try_from(n).unwrap_or(0) * E::BYTES;
        let (Some(file), Some(block)) = (&self.file, memory.get_mut(..size)) else {
            return (0, None);
        };
        if file.read_exact_at(block, start * to_u64(E::BYTES)).is_err() {
            return (0, None);
        }
        let (n_fit, last) = fitting(block, self.base_offset, fits);
        if let Some(found) = n_fit.checked_sub(1) {
            let from = usize::try_from(found).unwrap_or(0) * E::BYTES;
            self.remember(start + found, block.get(from..).unwrap_or_default());
        }
        (n_fit, last)
    }

    /// Adds an entry that follows the last one.
    pub(crate) fn push(&mut self, entry: E) {
        self.pending.push(entry);
        if self.pending.len() >= PENDING_MAX
            && let Err(error) = self.try_flush()
        {
            warn_unusable(&self.path, &error);
        }
    }

    /// Hands waiting entries to the file, which is to be believed whole. Where that fails there had
    /// better be no file.
    pub(crate) fn finish(&mut self, fs: &dyn FileSystem) -> Result<(), LogError> {
        // Entries that could not be cut off when they had to be are cut off now.
        let made = self.make();
        let Err(error) = made
            .and_then(|()| self.try_flush())
            .and_then(|()| self.cut())
        else {
            return Ok(());
        };
        warn_unusable(&self.path, &error);
        let written = self.written_entries();
        self.pending.splice(..0, written);
        self.n_written = 0;
        self.recent = Mutex::default();
        self.file = None;
        match fs.remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.during("remove", &self.path),
        }
    }

    /// Makes the file where there is none yet.
    fn make(&mut self) -> io::Result<()> {
        if let Some(fs) = &self.unmade_in {
            self.file = Some(fs.create(&self.path)?);
            self.unmade_in = None;
        }
        Ok(())
    }

    /// On an error entries go on waiting.
    fn try_flush(&mut self) -> io::Result<()> {
        if !self.pending.is_empty() {
            self.make()?;
        }
        let Some(file) = self.file.as_ref().filter(|_| !self.pending.is_empty()) else {
            return Ok(());
        };
        let bytes = self.encoded();
        file.write_all_at(&bytes, self.n_written * to_u64(E::BYTES))?;
        self.n_written += to_u64(self.pending.len());
        self.pending.clear();
        Ok(())
    }

    fn encoded(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.pending.len() * E::BYTES);
        for entry in &self.pending {
            entry.encode(self.base_offset, &mut bytes);
        }
        bytes
    }

    /// Forgets the entries from the first on that does not fit, on disk too.
    pub(crate) fn truncate_where(&mut self, fits: impl Fn(&E) -> bool) {
        self.pending.truncate(self.pending.partition_point(&fits));
        if self.pending.is_empty() {
            self.keep(self.written_where(self.n_written / 2, fits).0);
        }
    }

    fn keep(&mut self, n_kept: u64) {
        self.n_written = n_kept;
        self.recent = Mutex::default();
        if let Err(error) = self.cut() {
            warn_unusable(&self.path, &error);
        }
    }

    /// Cuts off what the file holds beyond its entries.
    fn cut(&self) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let size = self.n_written * to_u64(E::BYTES);
        if file.size()? == size {
            return Ok(());
        }
        file.set_size(size)
    }

    pub(crate) fn n_entries(&self) -> u64 {
        self.n_written + to_u64(self.pending.len())
    }

    pub(crate) fn file(&self) -> Option<Arc<dyn File>> {
        self.file.clone()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    #[cfg(test)]
    pub(crate) fn n_pending(&self) -> usize {
        self.pending.len()
    }
}

/// How many entries of a block fit, and the last of them.
fn fitting<E: Entry>(
    block: &[u8],
    base_offset: Offset,
    fits: impl Fn(&E) -> bool,
) -> (u64, Option<E>) {
    let (mut low, mut high) = (0, block.len() / E::BYTES);
    let mut last = None;
    while low < high {
        let middle = low + (high - low) / 2;
        let bytes = block.get(middle * E::BYTES..).unwrap_or_default();
        let entry = E::decode(bytes, base_offset);
        if fits(&entry) {
            last = Some(entry);
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    (to_u64(low), last)
}

fn warn_unusable(path: &Path, error: &io::Error) {
    warn!(path = %path.display(), %error, "index cannot be used, reads will walk the log");
}
