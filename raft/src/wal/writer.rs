//! The thread that owns the write-ahead file: takes what waits, writes it as one frame, syncs once,
//! then answers everyone.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use crate::backend::{Done, Location, Recovered, Write};
use crate::disk::{Disk, DiskFile, replace_file};
use crate::stored::{LogIdV1, VoteV1};
use crate::wal::Salt;
use crate::wal::recover::{CurrentSegment, SealedSegment, Tail, segment_path};
use crate::wal::segment::{
    FRAME_HEAD_BYTES, HEADER_BYTES, Header, encode_frame, frame_bytes, put_committed, put_entry,
    put_purge, put_truncate, put_vote,
};

/// A group is closed once it holds this many bytes or writes.
const GROUP_BYTES: usize = 4 << 20;
const GROUP_WRITES: usize = 1024;

pub(crate) struct Writer {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    segment_bytes: usize,
    salt: Salt,
    sealed: VecDeque<SealedSegment>,
    current: CurrentSegment,
    next_sequence: u64,
    /// What the frames so far say: a new segment begins with it, so that older ones may go. What
    /// the group at hand adds comes after: said too early, it would not fit the entries before it.
    vote: Option<VoteV1>,
    purged: Option<LogIdV1>,
    committed: Option<LogIdV1>,
    /// Rides with the next frame.
    committed_waits: Option<LogIdV1>,
    /// Set by the first failure, for good: after a failed sync nobody knows what the disk holds.
    failed: Option<String>,
}

/// How often, and how long apart, a segment is tried on a full disk.
const FULL_DISK_TRIES: u32 = 50;
const FULL_DISK_PAUSE: Duration = Duration::from_millis(100);

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// One frame under construction, and whom to tell when it is durable.
#[derive(Default)]
struct Group {
    operations: Vec<u8>,
    waiting: Vec<Waiting>,
    last_index: Option<u64>,
    vote: Option<VoteV1>,
    purged: Option<LogIdV1>,
}

enum Waiting {
    Append {
        /// Offset in the operations, length, checksum.
        placed: Vec<(usize, u32, u32)>,
        done: Done<Vec<Location>>,
    },
    Vote(Done<()>),
}

impl Writer {
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        segment_bytes: usize,
        salt: Salt,
        recovered: &Recovered,
        tail: Tail,
    ) -> io::Result<Self> {
        let current = match tail.current {
            Some(current) => current,
            None => create_segment(
                disk.as_ref(),
                folder,
                Header {
                    number: 1,
                    salt: salt(),
                    first_sequence: tail.next_sequence,
                },
                segment_bytes,
                &[],
            )?,
        };
        Ok(Self {
            disk,
            folder: folder.to_path_buf(),
            segment_bytes,
            salt,
            sealed: tail.sealed,
            current,
            next_sequence: tail.next_sequence,
            vote: recovered.vote,
            purged: recovered.purged,
            committed: recovered.committed,
            committed_waits: None,
            failed: None,
        })
    }

    pub(crate) fn run(mut self, writes: &Receiver<Write>) {
        while let Ok(first) = writes.recv() {
            let mut group = Group::default();
            self.take(&mut group, first);
            while group.waiting.len() < GROUP_WRITES && group.operations.len() < GROUP_BYTES {
                match writes.try_recv() {
                    Ok(write) => self.take(&mut group, write),
                    Err(_) => break,
                }
            }
            if !group.operations.is_empty() || !group.waiting.is_empty() {
                self.commit(group);
            }
        }
        if self.committed_waits.is_some() {
            self.commit(Group::default());
        }
    }

    fn take(&mut self, group: &mut Group, write: Write) {
        match write {
            Write::Append { entries, done } => {
                let mut placed = Vec::with_capacity(entries.len());
                for entry in &entries {
                    let (offset, crc) = put_entry(&mut group.operations, entry);
                    let length = u32::try_from(entry.bytes.len()).unwrap_or(u32::MAX);
                    placed.push((offset, length, crc));
                    group.last_index = group.last_index.max(Some(entry.id.index));
                }
                group.waiting.push(Waiting::Append { placed, done });
            }
            Write::Vote { vote, done } => {
                put_vote(&mut group.operations, vote);
                group.vote = Some(vote);
                group.waiting.push(Waiting::Vote(done));
            }
            Write::Truncate { after } => put_truncate(&mut group.operations, after),
            Write::Purge { upto } => {
                put_purge(&mut group.operations, upto);
                group.purged = group.purged.max(Some(upto));
            }
            // Not worth a sync of its own.
            Write::Committed { committed } => self.committed_waits = Some(committed),
        }
    }

    fn commit(&mut self, mut group: Group) {
        let written = match self.failed.clone() {
            Some(cause) => Err(cause),
            None => self.write(&mut group).map_err(|error| error.to_string()),
        };
        match written {
            Ok(start) => {
                for waiting in group.waiting {
                    waiting.answer(start, &self.current.file);
                }
                if group.purged.is_some() {
                    self.delete_purged();
                }
            }
            Err(cause) => {
                if self.failed.is_none() {
                    tracing::error!(error = cause, "metadata log failed, this node must stop");
                    self.failed = Some(cause.clone());
                }
                for waiting in group.waiting {
                    waiting.refuse(&cause);
                }
            }
        }
    }

    /// Returns where in the current segment the operations begin.
    fn write(&mut self, group: &mut Group) -> io::Result<u64> {
        let committed = self.committed_waits.take();
        if let Some(committed) = committed {
            put_committed(&mut group.operations, committed);
        }
        if self.current.position + frame_bytes(group.operations.len()) > self.current.size {
            self.roll(group.operations.len())?;
        }
        let salt = self.current.header.salt;
        let frame = encode_frame(salt, self.next_sequence, &group.operations);
        let offset = u64::try_from(self.current.position).map_err(io::Error::other)?;
        self.current.file.write_at(&frame, offset)?;
        self.current.file.sync_data()?;
        let start = self.current.position + FRAME_HEAD_BYTES;
        self.current.position += frame.len();
        self.current.last_index = self.current.last_index.max(group.last_index);
        self.next_sequence += 1;
        self.vote = group.vote.or(self.vote);
        self.purged = self.purged.max(group.purged);
        self.committed = committed.or(self.committed);
        u64::try_from(start).map_err(io::Error::other)
    }

    /// Starts the next segment with everything that must outlive the older ones. All earlier
    /// frames are durable here, because each was synced before the next write.
    fn roll(&mut self, operations: usize) -> io::Result<()> {
        let header = Header {
            number: self.current.header.number + 1,
            salt: (self.salt)(),
            first_sequence: self.next_sequence,
        };
        let mut state = Vec::new();
        if let Some(vote) = self.vote {
            put_vote(&mut state, vote);
        }
        if let Some(purged) = self.purged {
            put_purge(&mut state, purged);
        }
        if let Some(committed) = self.committed {
            put_committed(&mut state, committed);
        }
        let state = encode_frame(header.salt, self.next_sequence, &state);
        let size = HEADER_BYTES + state.len() + frame_bytes(operations);
        let size = size.max(self.segment_bytes);
        let next = self.create_patiently(header, size, &state)?;
        self.next_sequence += 1;
        let full = std::mem::replace(&mut self.current, next);
        self.sealed.push_back(SealedSegment {
            number: full.header.number,
            last_index: full.last_index,
        });
        Ok(())
    }

    /// A full disk passes when others on it give room up, which they do within a second or two. Nothing
    /// of the segment counts before it is whole, so it can be tried again.
    fn create_patiently(
        &self,
        header: Header,
        size: usize,
        state: &[u8],
    ) -> io::Result<CurrentSegment> {
        for tries_left in (0..FULL_DISK_TRIES).rev() {
            match create_segment(self.disk.as_ref(), &self.folder, header, size, state) {
                Err(error) if is_full(&error) && tries_left > 0 => {
                    if tries_left + 1 == FULL_DISK_TRIES {
                        tracing::error!(%error, "no room for the metadata log, waiting for some");
                    }
                    std::thread::park_timeout(FULL_DISK_PAUSE);
                }
                created => return created,
            }
        }
        Err(io::ErrorKind::StorageFull.into())
    }

    /// From the front only, each removal durable before the next: a gap would look like damage.
    fn delete_purged(&mut self) {
        let Some(purged) = self.purged else { return };
        while let Some(front) = self.sealed.front()
            && front.last_index.is_none_or(|last| last <= purged.index)
        {
            let path = segment_path(&self.folder, front.number);
            let removed = self
                .disk
                .remove(&path)
                .and_then(|()| self.disk.sync_dir(&self.folder));
            if let Err(error) = removed {
                // Only space is at stake: the next purge tries again.
                tracing::warn!(%error, path = %path.display(), "purged segment stays");
                return;
            }
            self.sealed.pop_front();
        }
    }
}

impl Waiting {
    fn answer(self, start: u64, file: &Arc<dyn DiskFile>) {
        match self {
            Self::Append { placed, done } => {
                let located = placed.into_iter().map(|(offset, length, checksum)| {
                    Ok(Location::File {
                        file: file.clone(),
                        offset: start + u64::try_from(offset).map_err(io::Error::other)?,
                        length,
                        checksum,
                    })
                });
                done(located.collect());
            }
            Self::Vote(done) => done(Ok(())),
        }
    }

    fn refuse(self, cause: &str) {
        match self {
            Self::Append { done, .. } => done(Err(io::Error::other(cause.to_owned()))),
            Self::Vote(done) => done(Err(io::Error::other(cause.to_owned()))),
        }
    }
}

/// Answers a write that will never happen.
pub(crate) fn fail(write: Write, cause: &str) {
    match write {
        Write::Append { done, .. } => done(Err(io::Error::other(cause.to_owned()))),
        Write::Vote { done, .. } => done(Err(io::Error::other(cause.to_owned()))),
        Write::Truncate { .. } | Write::Purge { .. } | Write::Committed { .. } => {}
    }
}

/// Zeros up to `size`, so that a later sync has no length to write, and so that nothing old can be
/// taken for a frame.
fn create_segment(
    disk: &dyn Disk,
    folder: &Path,
    header: Header,
    size: usize,
    state: &[u8],
) -> io::Result<CurrentSegment> {
    let name = format!("{:020}.wal", header.number);
    let position = HEADER_BYTES + state.len();
    let size = size.max(position);
    let zeros = vec![0; size - position];
    let path = replace_file(disk, folder, &name, &[&header.encode(), state, &zeros])?;
    Ok(CurrentSegment {
        file: disk.open(&path)?,
        header,
        position,
        size,
        last_index: None,
    })
}
