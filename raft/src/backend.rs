//! What the raft log asks of its storage, so that a real write-ahead file and an in-memory twin can
//! stand behind the same [`crate::log_store::LogStore`].
//!
//! Invariants: writes take effect in the order of `submit`; `done` runs once, after the write and
//! everything submitted before it is durable; after a failed write every later one fails too.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::codec;
use crate::disk::DiskFile;
use crate::stored::{LogIdV1, VoteV1};

pub(crate) trait LogBackend: Send + Sync + fmt::Debug {
    /// Never waits for the disk; only for room in a bounded queue.
    fn submit(&self, write: Write);
    /// Waits until everything submitted is durable, and stops.
    fn close(&self);
}

pub(crate) type Done<T> = Box<dyn FnOnce(io::Result<T>) + Send>;

pub(crate) enum Write {
    /// `done` is told where each entry went, in order.
    Append {
        entries: Vec<EncodedEntry>,
        done: Done<Vec<Location>>,
    },
    Vote {
        vote: VoteV1,
        done: Done<()>,
    },
    /// Drops every entry after this index, or all.
    Truncate {
        after: Option<u64>,
    },
    /// Drops every entry up to this one, for good.
    Purge {
        upto: LogIdV1,
    },
    /// A hint for the next start; durable with the next other write, not before.
    Committed {
        committed: LogIdV1,
    },
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Append { entries, .. } => write!(f, "Append({} entries)", entries.len()),
            Self::Vote { vote, .. } => write!(f, "Vote({vote:?})"),
            Self::Truncate { after } => write!(f, "Truncate({after:?})"),
            Self::Purge { upto } => write!(f, "Purge({upto:?})"),
            Self::Committed { committed } => write!(f, "Committed({committed:?})"),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct EncodedEntry {
    pub(crate) id: LogIdV1,
    pub(crate) bytes: Bytes,
}

/// Where an entry's bytes can be read again; stays good after its file was deleted.
#[derive(Clone, Debug)]
pub(crate) enum Location {
    Memory(Bytes),
    File {
        file: Arc<dyn DiskFile>,
        offset: u64,
        length: u32,
        checksum: u32,
    },
}

impl Location {
    pub(crate) fn read(&self) -> io::Result<Bytes> {
        match self {
            Self::Memory(bytes) => Ok(bytes.clone()),
            Self::File {
                file,
                offset,
                length,
                checksum,
            } => {
                let mut bytes = vec![0; usize::try_from(*length).map_err(io::Error::other)?];
                file.read_at(&mut bytes, *offset)?;
                if codec::checksum(0, &[&bytes]) != *checksum {
                    let what = format!("raft log entry at byte {offset} of {file:?} is corrupt");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                }
                Ok(Bytes::from(bytes))
            }
        }
    }
}

/// What a backend found when it was opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) vote: Option<VoteV1>,
    pub(crate) committed: Option<LogIdV1>,
    pub(crate) purged: Option<LogIdV1>,
    /// Consecutive, and all after `purged`.
    pub(crate) entries: Vec<(EncodedEntry, Location)>,
}

impl Recovered {
    /// Index the next entry must have; any, in an untouched log.
    pub(crate) fn next_index(&self) -> Option<u64> {
        let last = self.entries.last().map(|(entry, _)| entry.id);
        last.or(self.purged).map(|it| it.index + 1)
    }

    pub(crate) fn append(&mut self, entry: EncodedEntry, location: Location) -> io::Result<()> {
        match self.next_index() {
            Some(next) if next != entry.id.index => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("raft log continues at {}, not at {next}", entry.id.index),
            )),
            Some(_) | None => {
                self.entries.push((entry, location));
                Ok(())
            }
        }
    }

    pub(crate) fn truncate(&mut self, after: Option<u64>) {
        self.entries
            .retain(|(entry, _)| after.is_some_and(|after| entry.id.index <= after));
    }

    pub(crate) fn purge(&mut self, upto: LogIdV1) {
        self.purged = self.purged.max(Some(upto));
        self.entries
            .retain(|(entry, _)| entry.id.index > upto.index);
    }
}
