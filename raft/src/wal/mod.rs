//! The write-ahead log: raft entries and the vote, durable before anyone is told.
//!
//! Segments `<number>.wal` are created whole (zeros, header, the state so far), synced and only then
//! named; frames are appended with one write and one sync per group of waiting writes; segments are
//! deleted from the front once everything in them is purged.
//!
//! Invariants: what was answered is found again after any crash; a torn last frame is cut; a broken
//! frame with a whole one behind it was once durable, so the log refuses to open rather than lose it.

#[cfg(test)]
mod power_cut_test;
mod recover;
pub(crate) mod segment;
#[cfg(test)]
mod wal_test;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use thiserror::Error;

use crate::backend::{LogBackend, Recovered, Write};
use crate::disk::Disk;
use crate::wal::writer::Writer;

/// Writes waiting for the writer thread; openraft itself keeps far fewer in flight.
const QUEUE_WRITES_MAX: usize = 16_384;

/// Draws the salt of a segment.
pub(crate) type Salt = Arc<dyn Fn() -> u64 + Send + Sync>;

#[derive(Debug, Error)]
pub enum WalError {
    #[error("metadata log {path}: {cause}")]
    Io { path: PathBuf, cause: io::Error },
    /// Acknowledged data is gone; only another identity may go on from here.
    #[error(
        "metadata log {path} is damaged at byte {position}: {what}. Acknowledged data was lost, so \
         this node must not continue under its identity: move the metadata directory away and start \
         again, it will join as a new member"
    )]
    Corrupt {
        path: PathBuf,
        position: usize,
        what: String,
    },
}

#[derive(Debug)]
pub(crate) struct Wal {
    queue: Mutex<Option<SyncSender<Write>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Wal {
    /// Recovers the log of `folder`, creating it when absent, and starts its writer thread.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        segment_bytes: u64,
        salt: Salt,
    ) -> Result<(Self, Recovered), WalError> {
        let (recovered, tail) = recover::recover(disk.as_ref(), folder)?;
        let segment_bytes = usize::try_from(segment_bytes).unwrap_or(usize::MAX);
        let writer = Writer::open(disk, folder, segment_bytes, salt, &recovered, tail);
        let writer = writer.map_err(|cause| WalError::Io {
            path: folder.to_path_buf(),
            cause,
        })?;
        let (queue, submitted) = sync_channel(QUEUE_WRITES_MAX);
        let thread = std::thread::Builder::new()
            .name("metadata-wal".to_owned())
            .spawn(move || writer.run(&submitted))
            .map_err(|cause| WalError::Io {
                path: folder.to_path_buf(),
                cause,
            })?;
        let wal = Self {
            queue: Mutex::new(Some(queue)),
            thread: Mutex::new(Some(thread)),
        };
        Ok((wal, recovered))
    }
}

impl LogBackend for Wal {
    fn submit(&self, write: Write) {
        // The clone keeps the lock out of the send, which may wait for room.
        let queue = self.queue.lock().clone();
        let refused = match queue {
            Some(queue) => queue.send(write).err().map(|error| error.0),
            None => Some(write),
        };
        if let Some(write) = refused {
            writer::fail(write, "the metadata log is closed");
        }
    }

    fn close(&self) {
        drop(self.queue.lock().take());
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("metadata log writer panicked");
        }
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.close();
    }
}
