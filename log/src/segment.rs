//! A run of batches in one file, `<base offset>.log`, with its offset index beside it.
//!
//! Invariants: `size` bytes of the file are whole batches with rising offsets from `base_offset` on;
//! what lies beyond `size` is no part of the log. Only the newest segment of a log is written to.
//! A segment is opened when first used, so opening a log does not cost what it retains.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use drave_protocol::ids::Offset;
use drave_protocol::record::batch::{self, BatchError, BatchHeader, HEADER_BYTES};

use crate::error::{Corruption, During, Fault, LogError};
use crate::fs::{File, FileSystem, NamedFile, to_u64};
use crate::offset_index::{IndexEntry, OffsetIndex};
use crate::slice::LogSlice;

/// Headers are read through a window of this size: one read serves many small batches.
const WINDOW_BYTES: usize = 4096;

#[derive(Debug)]
pub(crate) struct Segment {
    fs: Arc<dyn FileSystem>,
    base_offset: Offset,
    path: PathBuf,
    size: u64,
    bytes_since_index_entry: u64,
    opened: OnceLock<Opened>,
    /// Largest timestamp of any batch; unknown after reopening until somebody asks.
    max_timestamp: Mutex<Option<i64>>,
    /// Largest timestamp of the first batch; empty until there is one and somebody asks.
    first_batch_timestamp: OnceLock<i64>,
}

#[derive(Debug)]
struct Opened {
    log: Arc<dyn File>,
    index: OffsetIndex,
}

/// A batch and where it starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located {
    pub(crate) position: u64,
    pub(crate) header: BatchHeader,
}

impl Located {
    /// Where the next batch starts.
    pub(crate) fn end(&self) -> u64 {
        self.position + to_u64(self.header.total_size())
    }
}

/// `<base offset>.log`, twenty digits: names sort as offsets do.
pub(crate) fn log_path(dir: &Path, base_offset: Offset) -> PathBuf {
    dir.join(format!("{:020}.log", base_offset.0))
}

fn index_path(log_path: &Path) -> PathBuf {
    log_path.with_extension("index")
}

/// The base offset a file name says, `None` for names that are no segment's.
pub(crate) fn base_offset_of(name: &str) -> Option<Offset> {
    let digits = name.strip_suffix(".log")?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(Offset)
}

impl Segment {
    /// A new, empty segment. Its name is durable after the folder's next sync.
    pub(crate) fn create(
        fs: &Arc<dyn FileSystem>,
        dir: &Path,
        base_offset: Offset,
    ) -> Result<Self, LogError> {
        let segment = Self::existing(fs, dir, base_offset, 0);
        let log = fs.create(&segment.path).during("create", &segment.path)?;
        let index = OffsetIndex::create(fs.as_ref(), &index_path(&segment.path), base_offset);
        let opened = OnceLock::from(Opened { log, index });
        Ok(Self {
            opened,
            max_timestamp: Mutex::new(Some(i64::MIN)),
            ..segment
        })
    }

    /// A segment that is there already; nothing is read yet.
    pub(crate) fn existing(
        fs: &Arc<dyn FileSystem>,
        dir: &Path,
        base_offset: Offset,
        size: u64,
    ) -> Self {
        Self {
            fs: Arc::clone(fs),
            base_offset,
            path: log_path(dir, base_offset),
            size,
            bytes_since_index_entry: 0,
            opened: OnceLock::new(),
            max_timestamp: Mutex::new(None),
            first_batch_timestamp: OnceLock::new(),
        }
    }

    pub(crate) fn base_offset(&self) -> Offset {
        self.base_offset
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn index_size(&self) -> u64 {
        self.opened.get().map_or(0, |opened| opened.index.size())
    }

    fn opened(&self) -> Result<&Opened, LogError> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let log = self.fs.open(&self.path).during("open", &self.path)?;
        let path = index_path(&self.path);
        let index = OffsetIndex::open(self.fs.as_ref(), &path, self.base_offset);
        Ok(self.opened.get_or_init(|| Opened { log, index }))
    }

    fn opened_mut(&mut self) -> Result<&mut Opened, LogError> {
        self.opened()?;
        Ok(self.opened.get_mut().expect("opened the line before"))
    }

    /// Opens for writing: the index is checked whole.
    pub(crate) fn open_checked(&mut self) -> Result<(), LogError> {
        let log = self.fs.open(&self.path).during("open", &self.path)?;
        let (path, size) = (index_path(&self.path), self.size);
        let index = OffsetIndex::open_checked(self.fs.as_ref(), &path, self.base_offset, size);
        self.opened = OnceLock::from(Opened { log, index });
        Ok(())
    }

    pub(crate) fn file(&self) -> Result<Arc<dyn File>, LogError> {
        Ok(Arc::clone(&self.opened()?.log))
    }

    /// The index's file, with all entries handed to it.
    pub(crate) fn flushed_index(&mut self) -> Option<NamedFile> {
        let index = &mut self.opened.get_mut()?.index;
        index.flush();
        Some((index.path().to_owned(), index.file()?))
    }

    /// Writes whole batches at the end. On an error some bytes may lie beyond `size`: the caller
    /// cuts them off or gives the log up.
    pub(crate) fn append(
        &mut self,
        bytes: &[u8],
        index_interval_bytes: u64,
    ) -> Result<(), LogError> {
        let start = self.size;
        let log = &self.opened()?.log;
        log.write_all_at(bytes, start)
            .during("append to", &self.path)?;
        self.size += to_u64(bytes.len());
        for found in batch::iter(bytes) {
            let (position, header, whole) = found.expect("only whole, checked batches get here");
            self.note(
                start + to_u64(position),
                &header,
                whole.len(),
                index_interval_bytes,
            )?;
        }
        Ok(())
    }

    /// Lets index and timestamps know of a batch that lies in the file.
    pub(crate) fn note(
        &mut self,
        position: u64,
        header: &BatchHeader,
        batch_bytes: usize,
        index_interval_bytes: u64,
    ) -> Result<(), LogError> {
        if self.bytes_since_index_entry > index_interval_bytes {
            let last_offset = header.last_offset();
            self.opened_mut()?.index.push(IndexEntry {
                last_offset,
                position,
            });
            self.bytes_since_index_entry = 0;
        }
        self.bytes_since_index_entry += to_u64(batch_bytes);
        let known = self
            .max_timestamp
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known {
            *known = (*known).max(header.max_timestamp);
        }
        Ok(())
    }

    /// Cuts bytes off that a failed append left beyond the end.
    pub(crate) fn cut_overhang(&self) -> Result<(), LogError> {
        self.opened()?
            .log
            .set_size(self.size)
            .during("truncate", &self.path)
    }

    /// Cuts the segment at `position`, durably: what comes back after a crash must not mix with
    /// what is written there next.
    pub(crate) fn truncate(&mut self, position: u64) -> Result<(), LogError> {
        assert!(
            position <= self.size,
            "cannot cut {} bytes at {position}",
            self.size
        );
        let path = self.path.clone();
        let opened = self.opened_mut()?;
        opened.index.truncate(position);
        opened.log.set_size(position).during("truncate", &path)?;
        opened.log.sync_data().during("sync", &path)?;
        if let Some(file) = opened.index.file() {
            file.sync_data().during("sync", &path)?;
        }
        self.size = position;
        self.bytes_since_index_entry = 0;
        if position == 0 {
            self.first_batch_timestamp = OnceLock::new();
        }
        let known = if position == 0 { Some(i64::MIN) } else { None };
        *self
            .max_timestamp
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }

    /// Forgets index entries from `position` on: the scan that follows makes them anew.
    pub(crate) fn truncate_index(&mut self, position: u64) -> Result<(), LogError> {
        self.opened_mut()?.index.truncate(position);
        if position == 0 {
            self.max_timestamp = Mutex::new(Some(i64::MIN));
        }
        Ok(())
    }

    pub(crate) fn remove(self) -> Result<(), LogError> {
        self.fs
            .remove_file(&self.path)
            .during("remove", &self.path)?;
        let index = index_path(&self.path);
        match self.fs.remove_file(&index) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            done => done.during("remove", &index),
        }
    }

    /// The first batch that ends at or after `offset`.
    pub(crate) fn locate(&self, offset: Offset) -> Result<Option<Located>, LogError> {
        let entry = self.opened()?.index.lookup(offset);
        for found in self.walk(entry, 0) {
            let found = found?;
            if found.header.last_offset() >= offset {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Where the batch before `position` ends; the base offset when there is none. `beyond` is an
    /// offset that no batch before `position` has.
    pub(crate) fn end_before(&self, position: u64, beyond: Offset) -> Result<Offset, LogError> {
        let mut end = self.base_offset;
        for found in self.headers(self.start_for(beyond + -1)?) {
            let found = found?;
            if found.position >= position {
                break;
            }
            end = found.header.next_offset();
        }
        Ok(end)
    }

    /// Where to start walking for `offset`.
    pub(crate) fn start_for(&self, offset: Offset) -> Result<u64, LogError> {
        let entry = self.opened()?.index.lookup(offset);
        Ok(self.walk(entry, 0).position)
    }

    /// Walks headers from where the index says, if the batch there is the one it says, and never from
    /// before `known`, where one starts.
    fn walk(&self, entry: Option<IndexEntry>, known: u64) -> Headers<'_> {
        let Some(entry) = entry.filter(|it| it.position > known && it.position < self.size) else {
            return self.headers(known);
        };
        let mut walk = self.headers(entry.position);
        let first = walk.next();
        let agrees = matches!(
            first,
            Some(Ok(found)) if found.header.last_offset() == entry.last_offset
        );
        walk.position = if agrees { entry.position } else { known };
        walk
    }

    /// Walks headers from a position where a batch starts.
    pub(crate) fn headers(&self, position: u64) -> Headers<'_> {
        Headers {
            segment: self,
            position,
            window: Bytes::new(),
            window_start: 0,
        }
    }

    /// Where whole batches lie, from `first` on: all ending before `upper`, at most `max_bytes` of them
    /// — but one at least. Reads headers, and few of them.
    pub(crate) fn slice(
        &self,
        first: &Located,
        upper: Offset,
        max_bytes: usize,
    ) -> Result<Option<LogSlice>, LogError> {
        if first.header.last_offset() >= upper {
            return Ok(None);
        }
        let limit = first.position.saturating_add(to_u64(max_bytes));
        let end = self.end_within(first.end(), limit.min(self.size), upper)?;
        let len = usize::try_from(end - first.position).unwrap_or(usize::MAX);
        let slice = LogSlice::new(self.file()?, self.path.clone(), first.position, len);
        Ok(Some(slice))
    }

    /// Where the last batch ends that ends at or before `limit` and lies below `upper`, or `known`, where
    /// one ends.
    fn end_within(&self, known: u64, limit: u64, upper: Offset) -> Result<u64, LogError> {
        if known >= limit {
            return Ok(known);
        }
        let fits = |it: &IndexEntry| it.position <= limit && it.last_offset < upper;
        let walk = self.walk(self.opened()?.index.last_where(fits), known);
        let mut end = walk.position;
        for found in walk {
            let found = found?;
            if found.end() > limit || found.header.last_offset() >= upper {
                break;
            }
            end = found.end();
        }
        Ok(end)
    }

    /// Up to `wanted` bytes; fewer at the segment's end.
    pub(crate) fn bytes_at(&self, position: u64, wanted: usize) -> Result<Bytes, LogError> {
        let left = usize::try_from(self.size.saturating_sub(position)).unwrap_or(usize::MAX);
        let mut bytes = Vec::new();
        let log = &self.opened()?.log;
        log.append_to(&mut bytes, position, wanted.min(left))
            .during("read", &self.path)?;
        Ok(bytes.into())
    }

    /// The largest timestamp, `None` when the segment is empty.
    pub(crate) fn max_timestamp(&self) -> Result<Option<i64>, LogError> {
        if self.size == 0 {
            return Ok(None);
        }
        let mut known = self
            .max_timestamp
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = *known {
            return Ok(Some(known));
        }
        let mut largest = i64::MIN;
        for found in self.headers(0) {
            largest = largest.max(found?.header.max_timestamp);
        }
        *known = Some(largest);
        Ok(*known)
    }

    /// When the segment began, as far as its records say; `None` when it is empty. The broker's
    /// clock has no part in it, so all replicas say the same.
    #[allow(dead_code, reason = "asked for by compaction")]
    pub(crate) fn first_batch_timestamp(&self) -> Result<Option<i64>, LogError> {
        if self.first_batch_timestamp.get().is_none()
            && let Some(first) = self.headers(0).next().transpose()?
        {
            let first = first.header.max_timestamp;
            self.first_batch_timestamp.get_or_init(|| first);
        }
        Ok(self.first_batch_timestamp.get().copied())
    }

    pub(crate) fn corrupt(&self, position: u64, offset: Offset, fault: Fault) -> LogError {
        let file = self.path.clone();
        Corruption {
            file,
            position,
            offset,
            fault,
        }
        .into()
    }
}

/// Headers one after the other, up to the segment's end; ends after the first error.
#[derive(Debug)]
pub(crate) struct Headers<'a> {
    segment: &'a Segment,
    position: u64,
    window: Bytes,
    window_start: u64,
}

impl Headers<'_> {
    fn header(&mut self) -> Result<Located, LogError> {
        let position = self.position;
        let in_window = usize::try_from(position.wrapping_sub(self.window_start)).ok();
        let mut rest = in_window
            .and_then(|start| self.window.get(start..))
            .unwrap_or_default();
        if rest.len() < HEADER_BYTES {
            self.window = self.segment.bytes_at(position, WINDOW_BYTES)?;
            self.window_start = position;
            rest = &self.window;
        }
        let left = self.segment.size - position;
        let parsed = BatchHeader::parse(rest).and_then(|header| {
            let needed = header.total_size();
            if to_u64(needed) <= left {
                return Ok(header);
            }
            let available = usize::try_from(left).unwrap_or(usize::MAX);
            Err(BatchError::Truncated { needed, available })
        });
        let header = parsed.map_err(|error| {
            self.segment
                .corrupt(position, self.segment.base_offset, error.into())
        })?;
        Ok(Located { position, header })
    }
}

impl Iterator for Headers<'_> {
    type Item = Result<Located, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.segment.size {
            return None;
        }
        let found = self.header();
        self.position = match &found {
            Ok(found) => found.end(),
            Err(_) => self.segment.size,
        };
        Some(found)
    }
}
