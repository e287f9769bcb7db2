//! What a segment knows of time: its first and its largest timestamp, and where to look for one.

use drave_protocol::record::batch::BatchHeader;

use crate::error::{During, LogError};
use crate::planted::{Fault, is_planted};
use crate::segment::files::Opened;
use crate::segment::headers::Headers;
use crate::segment::{Located, Segment, time_index_path};
use crate::time_index::{TimeEntry, TimeIndex};

/// Bytes of batches between two entries of an index that is made anew.
const REBUILT_INTERVAL_BYTES: u64 = 4096;

impl Segment {
    /// The largest timestamp, `None` when the segment is empty.
    pub(crate) fn max_timestamp(&self) -> Result<Option<i64>, LogError> {
        let largest = self.max_timestamp_entry()?;
        Ok(largest.map(|it| it.timestamp_ms))
    }

    /// The first batch with the largest timestamp.
    pub(super) fn max_timestamp_entry(&self) -> Result<Option<TimeEntry>, LogError> {
        if let Some(known) = self.largest.get() {
            return Ok(*known);
        }
        // An index without entries is that of a segment without times, or of an empty one.
        let last = match self.time_index(&*self.opened()?)?.last() {
            Some(last) => Some(last),
            None => self
                .headers(0)
                .next()
                .transpose()?
                .map(|it| TimeEntry::of(&it.header)),
        };
        Ok(*self.largest.get_or_init(|| last))
    }

    /// When the segment began, as far as its records say; `None` when it is empty. The broker's
    /// clock has no part in it, so all replicas say the same.
    pub(crate) fn first_batch_timestamp(&self) -> Result<Option<i64>, LogError> {
        if self.first_batch_timestamp.get().is_none()
            && let Some(first) = self.headers(0).next().transpose()?
        {
            let first = first.header.max_timestamp;
            self.first_batch_timestamp.get_or_init(|| first);
        }
        Ok(self.first_batch_timestamp.get().copied())
    }

    /// How young the segment's records are: their largest timestamp, or where they have none, when the
    /// file was last written.
    pub(crate) fn youngest_ms(&self) -> Result<i64, LogError> {
        match self.max_timestamp()? {
            Some(largest) if largest >= 0 => Ok(largest),
            Some(_) | None => {
                let written = self.opened()?.log.modified_ms();
                written.during("ask for the time of", &self.path)
            }
        }
    }

    /// What the clock said when the segment was made or opened: the first call counts.
    pub(crate) fn note_creation(&mut self, now_ms: i64) {
        self.created_ms.get_or_insert(now_ms);
    }

    /// The time between the first batch and `next`, by their records; by the clock where records
    /// have no time.
    pub(crate) fn age_ms(&self, next: &BatchHeader, now_ms: i64) -> Result<i64, LogError> {
        Ok(match self.first_batch_timestamp()? {
            Some(first) if first >= 0 => next.max_timestamp.saturating_sub(first),
            Some(_) | None => now_ms.saturating_sub(self.created_ms.unwrap_or(now_ms)),
        })
    }

    /// Walks headers from a batch before which none is as late as `timestamp_ms`.
    pub(crate) fn headers_from_time(&self, timestamp_ms: i64) -> Result<Headers<'_>, LogError> {
        let start = match self.time_index(&*self.opened()?)?.lookup(timestamp_ms) {
            Some(entry) => self.place_of(&entry)?,
            None => None,
        };
        Ok(self.headers(start.unwrap_or(0)))
    }

    /// Where the batch of an entry starts; `None` when it is not the batch the entry says.
    fn place_of(&self, entry: &TimeEntry) -> Result<Option<u64>, LogError> {
        let found = self.locate(entry.last_offset)?;
        // Older Kafkas name a record's offset, not its batch's last.
        let agrees = |found: &Located| {
            found.header.max_timestamp == entry.timestamp_ms
                || is_planted(Fault::IndexTrustedBlindly)
        };
        Ok(found.filter(agrees).map(|it| it.position))
    }

    /// The first batch with the largest timestamp of those before `position`. Costs as many headers
    /// as lie behind the last time index entry: a crash may have taken some that followed it.
    pub(super) fn largest_before(&self, position: u64) -> Result<Option<TimeEntry>, LogError> {
        let last = self.time_index(&*self.opened()?)?.last();
        let start = match &last {
            Some(last) => self.place_of(last)?,
            None => None,
        };
        let mut largest = last.filter(|_| start.is_some());
        for found in self.headers_between(start.unwrap_or(0), position) {
            largest = Some(TimeEntry::or_later(largest, &found?.header));
        }
        Ok(largest)
    }

    pub(super) fn time_index<'a>(&self, opened: &'a Opened) -> Result<&'a TimeIndex, LogError> {
        if let Some(known) = opened.time_index.get() {
            return Ok(known);
        }
        let path = time_index_path(&self.path);
        let found = TimeIndex::open(self.fs.as_ref(), &path, self.base_offset);
        let last = found.as_ref().and_then(TimeIndex::last);
        let whole = match last {
            Some(last) => self.place_of(&last)?.is_some(),
            None => self.size == 0,
        };
        let index = match found {
            Some(found) if whole => found,
            Some(_) | None => self.rebuilt_time_index()?,
        };
        Ok(opened.time_index.get_or_init(|| index))
    }

    /// Of a sealed segment that came without an index, or with one that is not its own.
    fn rebuilt_time_index(&self) -> Result<TimeIndex, LogError> {
        let path = time_index_path(&self.path);
        let mut index = TimeIndex::in_memory(&path, self.base_offset);
        let (mut largest, mut indexed_upto) = (None, 0);
        for found in self.headers(0) {
            let found = found?;
            let so_far = TimeEntry::or_later(largest, &found.header);
            if found.position - indexed_upto > REBUILT_INTERVAL_BYTES {
                indexed_upto = found.position;
                index.note(so_far);
            }
            largest = Some(so_far);
        }
        if let Some(largest) = largest {
            index.note(largest);
        }
        index.put_in_place(self.fs.as_ref());
        Ok(index)
    }
}
