//! Where batches lie in a file, so that whoever sends them need not hold them in memory.
//!
//! Invariants: a slice is whole batches, one at least. It keeps its file readable when the log rolls,
//! compacts or deletes it meanwhile; only a truncation takes bytes from under it, and then reading
//! fails rather than come up short.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{During, LogError};
use crate::fs::{File, to_u64};

/// What a disk is read ahead by, at least.
const PROBE_EVERY: usize = 128 * 1024;
/// Enough for the kernel to see that all is wanted, and read ahead.
const BRING_IN_STEP: usize = 256 * 1024;

/// Where a slice was seen to be in memory while it was made. A start counts also where an earlier look ended: who
/// goes on from there looks at his end, as one does who reads it all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Nothing,
    Start,
    StartAndEnd,
}

/// A cheap handle: no bytes are read until asked for.
#[derive(Clone)]
pub struct LogSlice {
    file: Arc<dyn File>,
    path: PathBuf,
    position: u64,
    len: usize,
    seen: Seen,
}

impl LogSlice {
    pub(crate) fn new(file: Arc<dyn File>, path: PathBuf, position: u64, len: usize) -> Self {
        Self {
            file,
            path,
            position,
            len,
            seen: Seen::Nothing,
        }
    }

    pub(crate) fn looked_at(self, seen: Seen) -> Self {
        Self { seen, ..self }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Only after all of it was cut off in front.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where in the file it starts.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// For the kernel to send from; `None` for files that are not the machine's.
    ///
    /// What was handed to a socket is read again while it is on its way, also after the slice is dropped: a
    /// file whose descriptor was given away must never be written over in place.
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_fd()
    }

    /// All of it. May wait for the disk.
    pub fn read(&self) -> Result<Bytes, LogError> {
        let mut bytes = Vec::new();
        let done = self.file.append_to(&mut bytes, self.position, self.len);
        done.during("read", &self.path)?;
        Ok(bytes.into())
    }

    /// All of it, and what was not in memory before is not kept there: a reader who passes once must not
    /// drive out what others come back for. May wait for the disk.
    pub(crate) fn read_in_passing(&self) -> Result<Bytes, LogError> {
        let mut left = self.clone();
        let mut bytes = vec![0; self.len];
        for step in bytes.chunks_mut(BRING_IN_STEP) {
            let was_cached = left.is_cached(step.len())?;
            left.read_exact(step)?;
            if !was_cached {
                left.file.forget_cached(left.position, to_u64(step.len()));
            }
            left.advance(step.len());
        }
        Ok(bytes.into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Fills `bytes` with the start of the slice. May wait for the disk.
    ///
    /// # Panics
    /// When `bytes` is longer than the slice.
    pub fn read_exact(&self, bytes: &mut [u8]) -> Result<(), LogError> {
        self.check(bytes);
        let done = self.file.read_exact_at(bytes, self.position);
        done.during("read", &self.path)
    }

    /// As `read_exact`, but only if that needs no disk: else the answer is false, and what `bytes`
    /// holds is nothing in particular.
    ///
    /// # Panics
    /// As `read_exact`.
    pub fn read_exact_cached(&self, bytes: &mut [u8]) -> Result<bool, LogError> {
        self.check(bytes);
        let mut n_read = 0;
        while let Some(rest) = bytes.get_mut(n_read..).filter(|it| !it.is_empty()) {
            let position = self.position + to_u64(n_read);
            match self.file.read_cached_at(rest, position) {
                Ok(None) => return Ok(false),
                // The end of the file, where there should be more: the other way to read says so.
                Ok(Some(0)) => return self.read_exact(bytes).map(|()| true),
                Ok(Some(n)) => n_read += n,
                Err(error) => return Err(error).during("read", &self.path),
            }
        }
        Ok(true)
    }

    /// Whether the first `n` bytes are in memory, by looking at some of them: what is read from the disk
    /// comes in pieces of `PROBE_EVERY` and more.
    pub fn is_cached(&self, n: usize) -> Result<bool, LogError> {
        let n = n.min(self.len);
        let last = n.saturating_sub(1);
        let ends = (0..n).rev().step_by(PROBE_EVERY);
        let n_seen = usize::from(self.seen == Seen::StartAndEnd && n == self.len);
        let start = (self.seen == Seen::Nothing && last > 0).then_some(0);
        // The start first: it is what a reader who was long away finds gone.
        for at in start.into_iter().chain(ends.skip(n_seen)) {
            let mut one = [0];
            let position = self.position + to_u64(at);
            let found = self.file.read_cached_at(&mut one, position);
            if found.during("read", &self.path)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads the first `n` bytes for the sake of having them in memory. May wait for the disk.
    pub fn bring_in(&self, n: usize) -> Result<(), LogError> {
        let mut left = self.clone();
        left.len = n.min(self.len);
        let mut bytes = vec![0; left.len.min(BRING_IN_STEP)];
        while !left.is_empty() {
            let step = left.len.min(BRING_IN_STEP);
            left.read_exact(bytes.get_mut(..step).unwrap_or_default())?;
            left.advance(step);
        }
        Ok(())
    }

    fn check(&self, bytes: &[u8]) {
        let (wanted, len) = (bytes.len(), self.len);
        assert!(
            wanted <= len,
            "{wanted} bytes asked of a slice that has {len}"
        );
    }

    /// Leaves `n` bytes out in front.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn advance(&mut self, n: usize) {
        let left = self.len.checked_sub(n);
        let len = self.len;
        self.len = left.unwrap_or_else(|| panic!("cannot cut {n} bytes off {len}"));
        self.position += to_u64(n);
        // What is left out was looked at, or read.
        if self.seen == Seen::Nothing && n > 0 {
            self.seen = Seen::Start;
        }
    }

    /// What to say of bytes that are no longer there.
    pub fn cut_short(&self) -> LogError {
        LogError::Io {
            action: "read",
            path: self.path.clone(),
            source: io::ErrorKind::UnexpectedEof.into(),
        }
    }
}

impl fmt::Debug for LogSlice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, position, len) = (self.path.display(), self.position, self.len);
        write!(f, "{len} bytes at {position} of {path}")
    }
}
