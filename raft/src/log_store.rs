//! openraft's log storage over a [`LogBackend`]: an index of what the log holds, a cache of its
//! tail, and the order of writes.
//!
//! Invariants: entries are consecutive and all after `purged`; an entry can be read the moment
//! `append` returns; an entry leaves the cache only once it can be read back from the backend; a
//! vote can be read only once it is durable.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use openraft::OptionalSend;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::backend::{EncodedEntry, Location, LogBackend, Recovered, Write};
use crate::stored::{LogIdV1, VoteV1, decode_entry, encode_entry};
use crate::types::{Entry, LogId, TypeConfig, Vote};

/// An `AppendEntries` carries at most this much (and at least one entry).
const READ_BYTES_MAX: usize = 2 << 20;

/// How much of the tail stays in memory.
#[derive(Clone, Copy, Debug)]
pub struct CacheLimits {
    pub entries: usize,
    pub bytes: usize,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self {
            entries: 16_384,
            bytes: 64 << 20,
        }
    }
}

/// The writer's side; openraft's core owns the only one.
#[derive(Debug)]
pub struct LogStore {
    reader: LogReader,
    backend: Arc<dyn LogBackend>,
}

#[derive(Clone, Debug)]
pub struct LogReader {
    log: Arc<Mutex<Log>>,
}

#[derive(Debug)]
struct Log {
    vote: Option<VoteV1>,
    committed: Option<LogIdV1>,
    purged: Option<LogIdV1>,
    slots: VecDeque<Slot>,
    /// Slots before this one are not cached; at and after it all are.
    cached_from: usize,
    cached_bytes: usize,
    limits: CacheLimits,
}

#[derive(Debug)]
struct Slot {
    id: LogIdV1,
    bytes: usize,
    cached: Option<Entry>,
    /// Absent until it is durable.
    location: Option<Location>,
}

enum Found {
    Cached(Entry),
    Stored(LogIdV1, Location),
}

impl LogStore {
    pub(crate) fn new(
        backend: Arc<dyn LogBackend>,
        recovered: Recovered,
        limits: CacheLimits,
    ) -> io::Result<Self> {
        let mut log = Log {
            vote: recovered.vote,
            committed: recovered.committed,
            purged: recovered.purged,
            slots: VecDeque::new(),
            cached_from: 0,
            cached_bytes: 0,
            limits,
        };
        for (entry, location) in recovered.entries {
            let decoded = decode_entry(&entry.bytes).map_err(io::Error::other)?;
            log.push(entry.id, entry.bytes.len(), decoded);
            log.located(entry.id, location);
        }
        log.evict();
        // Only a hint; past the end of the log it would make openraft apply what is not there.
        log.committed = log.committed.min(log.last());
        Ok(Self {
            reader: LogReader {
                log: Arc::new(Mutex::new(log)),
            },
            backend,
        })
    }

    pub(crate) fn reader(&self) -> LogReader {
        self.reader.clone()
    }
}

impl LogReader {
    /// Term of the entry at `index`, if the log still has it or was purged exactly there.
    pub(crate) fn term_at(&self, index: u64) -> Option<u64> {
        let log = self.log.lock();
        if let Some(purged) = log.purged
            && purged.index == index
        {
            return Some(purged.term);
        }
        log.slot(index).map(|slot| slot.id.term)
    }

    fn read(&self, start: u64, end: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let found = self.log.lock().find(start, end, bytes_max);
        let mut entries = Vec::with_capacity(found.len());
        for found in found {
            entries.push(match found {
                Found::Cached(entry) => entry,
                // A file read on a runtime thread, but of at most `READ_BYTES_MAX` bytes, and only
                // for a follower that fell out of the cache.
                Found::Stored(id, location) => {
                    let entry = decode_entry(&location.read()?).map_err(io::Error::other)?;
                    if LogIdV1::of(&entry.log_id) != id {
                        return Err(io::Error::new(
                            io::ErrorKind::InvalidData,
                            format!("raft log holds {} where {id:?} belongs", entry.log_id),
                        ));
                    }
                    entry
                }
            });
        }
        Ok(entries)
    }
}

impl Log {
    fn last(&self) -> Option<LogIdV1> {
        self.slots.back().map(|slot| slot.id).or(self.purged)
    }

    fn place(&self, index: u64) -> Option<usize> {
        let first = self.slots.front()?.id.index;
        usize::try_from(index.checked_sub(first)?).ok()
    }

    fn slot(&self, index: u64) -> Option<&Slot> {
        self.slots.get(self.place(index)?)
    }

    fn push(&mut self, id: LogIdV1, bytes: usize, entry: Entry) {
        self.cached_bytes += bytes;
        self.slots.push_back(Slot {
            id,
            bytes,
            cached: Some(entry),
            location: None,
        });
    }

    /// The slot may be gone by now, or belong to another leader's entry.
    fn located(&mut self, id: LogIdV1, location: Location) {
        let place = self.place(id.index);
        if let Some(slot) = place.and_then(|place| self.slots.get_mut(place))
            && slot.id == id
        {
            slot.location = Some(location);
        }
    }

    fn evict(&mut self) {
        while self.slots.len() - self.cached_from > self.limits.entries
            || self.cached_bytes > self.limits.bytes
        {
            let Some(slot) = self.slots.get_mut(self.cached_from) else {
                return;
            };
            if slot.location.is_none() {
                return;
            }
            slot.cached = None;
            self.cached_bytes -= slot.bytes;
            self.cached_from += 1;
        }
    }

    fn truncate(&mut self, after: Option<u64>) {
        while let Some(slot) = self.slots.back()
            && after.is_none_or(|after| slot.id.index > after)
        {
            if slot.cached.is_some() {
                self.cached_bytes -= slot.bytes;
            }
            self.slots.pop_back();
        }
        self.cached_from = self.cached_from.min(self.slots.len());
    }

    fn purge(&mut self, upto: LogIdV1) {
        self.purged = self.purged.max(Some(upto));
        while let Some(slot) = self.slots.front()
            && slot.id.index <= upto.index
        {
            if slot.cached.is_some() {
                self.cached_bytes -= slot.bytes;
            }
            self.slots.pop_front();
            self.cached_from = self.cached_from.saturating_sub(1);
        }
    }

    /// What the log has of `[start, end)`, up to `bytes_max` but at least one entry.
    fn find(&self, start: u64, end: u64, bytes_max: usize) -> Vec<Found> {
        let Some(first) = self.slots.front().map(|slot| slot.id.index) else {
            return Vec::new();
        };
        let skip = usize::try_from(start.saturating_sub(first)).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        let mut bytes = 0;
        for slot in self.slots.iter().skip(skip) {
            if slot.id.index >= end || (!found.is_empty() && bytes + slot.bytes > bytes_max) {
                break;
            }
            bytes += slot.bytes;
            match (&slot.cached, &slot.location) {
                (Some(entry), _) => found.push(Found::Cached(entry.clone())),
                (None, Some(location)) => found.push(Found::Stored(slot.id, location.clone())),
                (None, None) => unreachable!("an entry leaves the cache only once it has a place"),
            }
        }
        found
    }
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + fmt::Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        self.read(start, end, usize::MAX)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.log.lock().vote.map(VoteV1::to_vote))
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        let entries = self.read(start, end, READ_BYTES_MAX)?;
        // Entries that begin later than asked would be sent after the wrong predecessor; nothing
        // at all makes openraft look again.
        let in_place = entries.first().is_none_or(|it| it.log_id.index() == start);
        Ok(if in_place { entries } else { Vec::new() })
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let log = self.reader.log.lock();
        Ok(LogState {
            last_purged_log_id: log.purged.map(LogIdV1::to_log_id),
            last_log_id: log.last().map(LogIdV1::to_log_id),
        })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        self.reader.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let vote = VoteV1::of(vote);
        let (answer, answered) = oneshot::channel();
        self.backend.submit(Write::Vote {
            vote,
            done: Box::new(move |result| {
                // The receiver is gone only when the node stops.
                drop(answer.send(result));
            }),
        });
        answered.await.map_err(io::Error::other)??;
        self.reader.log.lock().vote = Some(vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        if let Some(committed) = committed.as_ref().map(LogIdV1::of) {
            self.reader.log.lock().committed = Some(committed);
            self.backend.submit(Write::Committed { committed });
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.reader.log.lock().committed.map(LogIdV1::to_log_id))
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: IOFlushed<TypeConfig>,
    ) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut encoded = Vec::new();
        let mut log = self.reader.log.lock();
        for entry in entries {
            let id = LogIdV1::of(&entry.log_id);
            if let Some(last) = log.last()
                && id.index != last.index + 1
            {
                let what = format!("raft log ends at {last:?}, cannot append {id:?}");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
            let bytes = encode_entry(&entry).map_err(io::Error::other)?;
            log.push(id, bytes.len(), entry);
            encoded.push(EncodedEntry { id, bytes });
        }
        drop(log);
        let ids: Vec<LogIdV1> = encoded.iter().map(|entry| entry.id).collect();
        let log = self.reader.log.clone();
        self.backend.submit(Write::Append {
            entries: encoded,
            done: Box::new(move |placed| {
                let outcome = placed.map(|placed| {
                    let mut log = log.lock();
                    for (id, location) in ids.into_iter().zip(placed) {
                        log.located(id, location);
                    }
                    log.evict();
                });
                callback.io_completed(outcome);
            }),
        });
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let after = last_log_id.map(|id| id.index());
        self.reader.log.lock().truncate(after);
        // Needs no wait: later writes are ordered behind it, and entries that come back after a
        // crash before it were never committed, so raft truncates them again.
        self.backend.submit(Write::Truncate { after });
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        let upto = LogIdV1::of(&log_id);
        self.reader.log.lock().purge(upto);
        self.backend.submit(Write::Purge { upto });
        Ok(())
    }
}
