//! A run of batches in one file, `<base offset>.log`, with its indexes beside it.
//!
//! Invariants: `size` bytes of the file are whole batches with rising offsets from `base_offset` on;
//! what lies beyond `size` is no part of the log. Only the newest segment of a log is written to.
//! A segment is opened when first used, so opening a log does not cost what it retains.
//! The indexes of a sealed segment are whole, its largest timestamp among them; those of the one that
//! is written to are checked when it is opened, and may lack what a crash took.

mod bookmarks;
mod files;
mod headers;
mod room;
mod times;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use drave_protocol::ids::Offset;
use drave_protocol::record::batch::{self, BatchHeader};

use crate::error::{Corruption, During, Fault, LogError};
use crate::file_names;
use crate::fs::{File, FileSystem, NamedFile, to_u64};
use crate::offset_index::{IndexEntry, OffsetIndex};
use crate::planted::{Fault as Planted, is_planted};
use crate::segment::bookmarks::{Bookmark, Bookmarks};
use crate::segment::files::{Held, Opened};
use crate::segment::headers::Headers;
use crate::segment::room::Room;
use crate::slice::LogSlice;
use crate::time_index::{TimeEntry, TimeIndex};

pub(crate) use files::OpenSegments;

#[derive(Debug)]
pub(crate) struct Segment {
    fs: Arc<dyn FileSystem>,
    base_offset: Offset,
    path: PathBuf,
    size: u64,
    room: Room,
    bytes_since_index_entry: u64,
    held: Mutex<Held>,
    kept_by: Option<Arc<OpenSegments>>,
    bookmarks: Bookmarks,
    /// The first batch with the largest timestamp; of a sealed segment not read before somebody asks.
    largest: OnceLock<Option<TimeEntry>>,
    /// When this process first had to do with the segment, as far as it was told.
    created_ms: Option<i64>,
    /// Largest timestamp of the first batch; empty until there is one and somebody asks.
    first_batch_timestamp: OnceLock<i64>,
}

/// A batch and where it starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located {
    pub(crate) position: u64,
    pub(crate) header: BatchHeader,
    /// Whether its header was in memory when it was looked at.
    pub(crate) was_cached: bool,
}

impl Located {
    /// Where the next batch starts.
    pub(crate) fn end(&self) -> u64 {
        self.position + to_u64(self.header.total_size())
    }
}

/// `<base offset>.log`, twenty digits: names sort as offsets do.
pub(crate) fn log_path(dir: &Path, base_offset: Offset) -> PathBuf {
    file_names::path_of(dir, base_offset, "log")
}

pub(crate) fn index_path(log_path: &Path) -> PathBuf {
    log_path.with_extension("index")
}

pub(crate) fn time_index_path(log_path: &Path) -> PathBuf {
    log_path.with_extension("timeindex")
}

/// The base offset a file name says, `None` for names that are no segment's.
pub(crate) fn base_offset_of(name: &str) -> Option<Offset> {
    file_names::offset_in(name, "log")
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
        let (index, time_index) = (index_path(&segment.path), time_index_path(&segment.path));
        let index = OffsetIndex::create(fs, &index, base_offset);
        let time_index = TimeIndex::create(fs, &time_index, base_offset).into();
        Ok(Self {
            held: Mutex::new(Held::Open(Arc::new(Opened {
                log,
                index,
                time_index,
            }))),
            room: Room::of_new(),
            largest: OnceLock::from(None),
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
            room: Room::of_existing(),
            bytes_since_index_entry: 0,
            held: Mutex::default(),
            kept_by: None,
            bookmarks: Bookmarks::default(),
            created_ms: None,
            largest: OnceLock::new(),
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

    /// Whether an index has no room for another entry, but for the one that seals it.
    pub(crate) fn has_full_index(&self, bytes_max: u64) -> Result<bool, LogError> {
        let opened = self.opened()?;
        let n_times = opened.time_index.get().map_or(0, TimeIndex::n_entries);
        Ok(opened.index.n_entries() >= bytes_max / 8 || n_times + 1 >= bytes_max / 12)
    }

    fn opened_mut_with_times(&mut self) -> Result<&mut Opened, LogError> {
        self.opened_mut()?;
        self.time_index(&*self.opened()?)?;
        self.opened_mut()
    }

    pub(crate) fn file(&self) -> Result<Arc<dyn File>, LogError> {
        Ok(Arc::clone(&self.opened()?.log))
    }

    /// Makes the indexes whole, before the segment is written to no more.
    pub(crate) fn seal(&mut self) -> Result<(), LogError> {
        let log = self.file()?;
        let given = self.room.give_back(log.as_ref(), self.size);
        given.during("give unused blocks back of", &self.path)?;
        let largest = self.max_timestamp_entry()?;
        let fs = Arc::clone(&self.fs);
        let opened = self.opened_mut_with_times()?;
        let time_index = opened.time_index.get_mut().expect("opened before");
        if let Some(largest) = largest {
            time_index.note(largest);
        }
        opened.index.finish(fs.as_ref())?;
        time_index.finish(fs.as_ref())
    }

    /// The indexes' files, for those who make the segment durable.
    pub(crate) fn index_files(&self) -> Result<Vec<NamedFile>, LogError> {
        let opened = self.opened()?;
        let index = &opened.index;
        let offsets = index.file().map(|file| (index.path().to_owned(), file));
        let times = opened.time_index.get();
        let times = times.and_then(|it| Some((it.path().to_owned(), it.file()?)));
        Ok(offsets.into_iter().chain(times).collect())
    }

    /// Writes whole batches at the end. On an error some bytes may lie beyond `size`: the caller
    /// cuts them off or gives the log up.
    pub(crate) fn append(
        &mut self,
        bytes: &[u8],
        index_interval_bytes: u64,
    ) -> Result<(), LogError> {
        let start = self.size;
        let end = start + to_u64(bytes.len());
        let log = self.file()?;
        self.room.take(log.as_ref(), start, end);
        log.write_all_at(bytes, start)
            .during("append to", &self.path)?;
        self.size = end;
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

    /// Lets the indexes know of a batch that lies in the file.
    pub(crate) fn note(
        &mut self,
        position: u64,
        header: &BatchHeader,
        batch_bytes: usize,
        index_interval_bytes: u64,
    ) -> Result<(), LogError> {
        if position == 0 {
            self.first_batch_timestamp = OnceLock::from(header.max_timestamp);
        }
        self.bookmarks.written(position, header);
        let known = self.max_timestamp_entry()?;
        let largest = TimeEntry::or_later(known, header);
        self.largest = OnceLock::from(Some(largest));
        if self.bytes_since_index_entry > index_interval_bytes {
            let last_offset = header.last_offset();
            let opened = self.opened_mut()?;
            opened.index.push(IndexEntry {
                last_offset,
                position,
            });
            if let Some(time_index) = opened.time_index.get_mut() {
                time_index.note(largest);
            }
            self.bytes_since_index_entry = 0;
        }
        self.bytes_since_index_entry += to_u64(batch_bytes);
        Ok(())
    }

    /// Cuts bytes off that a failed append left beyond the end.
    pub(crate) fn cut_overhang(&mut self) -> Result<(), LogError> {
        self.cut_file(self.size)
    }

    /// Blocks that were taken ahead go with what is cut.
    fn cut_file(&mut self, size: u64) -> Result<(), LogError> {
        let log = self.file()?;
        log.set_size(size).during("truncate", &self.path)?;
        self.room = Room::of_new();
        Ok(())
    }

    /// Cuts the segment at `position`, durably: what comes back after a crash must not mix with
    /// what is written there next.
    pub(crate) fn truncate(&mut self, position: u64) -> Result<(), LogError> {
        assert!(
            position <= self.size,
            "cannot cut {} bytes at {position}",
            self.size
        );
        self.forget_from(position)?;
        self.cut_file(position)?;
        let log = self.file()?;
        log.sync_data().during("sync", &self.path)?;
        for (path, file) in self.index_files()? {
            file.sync_data().during("sync", &path)?;
        }
        self.size = position;
        Ok(())
    }

    /// Forgets what indexes and timestamps say of batches from `position` on.
    pub(crate) fn forget_from(&mut self, position: u64) -> Result<(), LogError> {
        self.bookmarks = Bookmarks::default();
        let opened = self.opened_mut_with_times()?;
        opened.index.truncate(position);
        let kept = opened.index.last();
        if let Some(time_index) = opened.time_index.get_mut() {
            time_index.truncate_after(kept.map(|it| it.last_offset));
        }
        self.bytes_since_index_entry = position - kept.map_or(0, |it| it.position);
        if position == 0 {
            self.first_batch_timestamp = OnceLock::new();
        }
        self.largest = OnceLock::from(self.largest_before(position)?);
        Ok(())
    }

    pub(crate) fn remove(mut self) -> Result<(), LogError> {
        self.close();
        self.fs
            .remove_file(&self.path)
            .during("remove", &self.path)?;
        for index in [index_path(&self.path), time_index_path(&self.path)] {
            match self.fs.remove_file(&index) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                done => done.during("remove", &index)?,
            }
        }
        Ok(())
    }

    /// The first batch that ends at or after `offset`.
    pub(crate) fn locate(&self, offset: Offset) -> Result<Option<Located>, LogError> {
        if let Some(found) = self.bookmarked(offset) {
            return Ok(Some(found));
        }
        let entry = self.opened()?.index.lookup(offset);
        for found in self.walk(entry, 0) {
            let found = found?;
            if found.header.last_offset() >= offset {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The batch that begins at `offset`, if somebody stopped reading there.
    fn bookmarked(&self, offset: Offset) -> Option<Located> {
        let bookmark = self.bookmarks.at(offset)?;
        let position = bookmark.position;
        if let Some(header) = bookmark.header {
            return Some(Located {
                position,
                header,
                was_cached: bookmark.was_cached,
            });
        }
        // What cannot be read is told by the way that is always right.
        let found = self.headers(position).next()?.ok()?;
        (found.header.base_offset == offset).then_some(found)
    }

    /// Where the batch before `position` ends; the base offset when there is none. `beyond` is an
    /// offset that no batch before `position` has.
    pub(crate) fn end_before(&self, position: u64, beyond: Offset) -> Result<Offset, LogError> {
        let mut end = self.base_offset;
        for found in self.headers_between(self.start_for(beyond + -1)?, position) {
            end = found?.header.next_offset();
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
        ) || is_planted(Planted::IndexTrustedBlindly);
        walk.position = if agrees { entry.position } else { known };
        walk
    }

    /// Walks headers from a position where a batch starts.
    pub(crate) fn headers(&self, position: u64) -> Headers<'_> {
        self.headers_between(position, self.size)
    }

    /// As [`Self::headers`], up to where another batch starts or the last one ends.
    pub(crate) fn headers_between(&self, position: u64, end: u64) -> Headers<'_> {
        Headers::new(self, position, end)
    }

    /// Where whole batches lie, from `first` on: all ending before `upper`, at most `max_bytes` of them
    /// — but one at least. Reads headers, and few of them; none where everything up to `log_end` is wanted,
    /// which is where this segment ends, if it is known.
    pub(crate) fn slice(
        &self,
        first: &Located,
        (upper, log_end): (Offset, Option<Offset>),
        max_bytes: usize,
    ) -> Result<Option<LogSlice>, LogError> {
        if first.header.last_offset() >= upper {
            return Ok(None);
        }
        let limit = first.position.saturating_add(to_u64(max_bytes));
        let end = match log_end.filter(|end| *end <= upper && self.size <= limit) {
            Some(end) => Bookmark::at_end(end, self.size),
            None => self.end_within(first, limit.min(self.size), upper)?,
        };
        self.bookmarks.note(end);
        let len = usize::try_from(end.position - first.position).unwrap_or(usize::MAX);
        let slice = LogSlice::new(self.file()?, self.path.clone(), first.position, len);
        Ok(Some(slice.looked_at(end.seen(first))))
    }

    /// Where the last batch ends that ends at or before `limit` and lies below `upper`; the end of `first`
    /// at least.
    fn end_within(&self, first: &Located, limit: u64, upper: Offset) -> Result<Bookmark, LogError> {
        let mut end = Bookmark::after(first);
        if end.position >= limit {
            return Ok(end);
        }
        let fits = |it: &IndexEntry| it.position <= limit && it.last_offset < upper;
        let index = &self.opened()?.index;
        // Entries are spread evenly, more or less.
        let guess = index.n_entries().saturating_mul(limit) / self.size;
        for found in self.walk(index.last_where_near(guess, fits), end.position) {
            let found = found?;
            if found.end() > limit || found.header.last_offset() >= upper {
                return Ok(Bookmark::before(&found));
            }
            end = Bookmark::after(&found);
        }
        Ok(end)
    }

    /// As [`Self::bytes_at`], and whether they were in memory.
    fn look_at(&self, position: u64, wanted: usize) -> Result<(Bytes, bool), LogError> {
        let left = usize::try_from(self.size.saturating_sub(position)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; wanted.min(left)];
        let found = self.file()?.read_cached_at(&mut bytes, position);
        if found.during("read", &self.path)? == Some(bytes.len()) {
            return Ok((bytes.into(), true));
        }
        Ok((self.bytes_at(position, wanted)?, false))
    }

    /// Up to `wanted` bytes; fewer at the segment's end.
    pub(crate) fn bytes_at(&self, position: u64, wanted: usize) -> Result<Bytes, LogError> {
        let left = usize::try_from(self.size.saturating_sub(position)).unwrap_or(usize::MAX);
        let mut bytes = Vec::new();
        let log = self.file()?;
        log.append_to(&mut bytes, position, wanted.min(left))
            .during("read", &self.path)?;
        Ok(bytes.into())
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
