//! The producer snapshots in a log's folder, `<offset>.snapshot`: where replaying may start.
//!
//! A snapshot is a cache: a bad one is removed, one that is lost costs a longer replay. So it is
//! written without a sync, to a file of its own that is then renamed: a crash of the process leaves
//! the page cache, a loss of power a checksum that does not match. Those at a segment's start are
//! synced when the segment before it is, off the way of appends: then a loss of power costs the
//! replay of one segment's headers. Two things must be durable in any case:
//! - the removal of a snapshot beyond the log's end, before the log grows past it with other batches;
//! - the snapshot at the first segment, before the segments below it go: nothing else knows what
//!   they held.
//!
//! There is one at each segment's start, and one more at most.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drave_protocol::ids::Offset;
use tracing::warn;

use crate::error::{During, LogError};
use crate::file_names;
use crate::fs::{self, FileSystem, NamedFile};
use crate::listing::Listing;
use crate::producer_state::ProducerStates;

const EXTENSION: &str = "snapshot";

#[derive(Debug)]
pub(crate) struct ProducerSnapshots {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    offsets: BTreeSet<Offset>,
}

impl ProducerSnapshots {
    pub(crate) fn listed(fs: &Arc<dyn FileSystem>, dir: &Path, listing: &Listing) -> Self {
        let names = listing.names();
        let offsets = names.filter_map(|name| file_names::offset_in(name, EXTENSION));
        Self {
            fs: Arc::clone(fs),
            dir: dir.to_owned(),
            offsets: offsets.collect(),
        }
    }

    /// The newest good snapshot at or below `offset`. Bad ones on the way are removed.
    pub(crate) fn newest(
        &mut self,
        offset: Offset,
        window: usize,
    ) -> Result<Option<(Offset, ProducerStates)>, LogError> {
        while let Some(&at) = self.offsets.range(..=offset).next_back() {
            let path = self.path(at);
            let bytes = match fs::read_file(self.fs.as_ref(), &path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Vec::new(),
                Err(error) => return Err(error).during("read", &path),
            };
            match ProducerStates::from_snapshot(&bytes, window) {
                Ok(states) => return Ok(Some((at, states))),
                Err(error) => {
                    warn!(path = %path.display(), %error, "a producer snapshot is bad; the log is replayed instead");
                    self.remove(at)?;
                }
            }
        }
        Ok(None)
    }

    pub(crate) fn has(&self, offset: Offset) -> bool {
        self.offsets.contains(&offset)
    }

    /// Writes a snapshot; that it could not be written is no error of the log. The one before it
    /// goes, unless it stands at a segment's start.
    pub(crate) fn keep(
        &mut self,
        offset: Offset,
        bytes: &[u8],
        is_base: impl FnMut(Offset) -> bool,
    ) {
        let path = self.path(offset);
        match self.replace(&path, bytes) {
            Ok(()) => {
                self.offsets.insert(offset);
                // One too many is in nobody's way.
                let _ = self.remove_strays(is_base);
            }
            Err(error) => {
                warn!(path = %path.display(), %error, "a producer snapshot could not be written; opening the log will take longer");
            }
        }
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let half = path.with_added_extension(fs::TMP);
        let written = self
            .fs
            .create(&half)
            .and_then(|file| file.write_all_at(bytes, 0))
            .and_then(|()| self.fs.rename(&half, path));
        if written.is_err() {
            // Opening the log sweeps it too.
            let _ = self.fs.remove_file(&half);
        }
        written
    }

    pub(crate) fn file(&self, offset: Offset) -> Option<NamedFile> {
        let path = self.path(offset);
        let file = self.fs.open(&path).ok()?;
        Some((path, file))
    }

    /// Makes one durable that others can no longer replace.
    pub(crate) fn sync(&self, offset: Offset) -> Result<(), LogError> {
        if !self.has(offset) {
            return Ok(());
        }
        let path = self.path(offset);
        let file = self.fs.open(&path).during("open", &path)?;
        file.sync_data().during("sync", &path)?;
        self.sync_folder()
    }

    fn sync_folder(&self) -> Result<(), LogError> {
        self.fs.sync_dir(&self.dir).during("sync", &self.dir)
    }

    /// Removes, durably, what speaks of a log longer than `end`.
    pub(crate) fn remove_above(&mut self, end: Offset) -> Result<(), LogError> {
        let above: Vec<Offset> = self.offsets.range(end + 1..).copied().collect();
        for offset in &above {
            self.remove(*offset)?;
        }
        if above.is_empty() {
            Ok(())
        } else {
            self.sync_folder()
        }
    }

    /// Removes those from which no replay can start, because what would follow is gone.
    pub(crate) fn remove_below(&mut self, first_base: Offset) -> Result<(), LogError> {
        let below: Vec<Offset> = self.offsets.range(..first_base).copied().collect();
        below.into_iter().try_for_each(|offset| self.remove(offset))
    }

    /// Of those at no segment's start, keeps the newest only.
    pub(crate) fn remove_strays(
        &mut self,
        mut is_base: impl FnMut(Offset) -> bool,
    ) -> Result<(), LogError> {
        let newest = self.offsets.last().copied();
        let strays = self.offsets.iter().copied();
        let strays: Vec<Offset> = strays
            .filter(|it| Some(*it) != newest && !is_base(*it))
            .collect();
        strays
            .into_iter()
            .try_for_each(|offset| self.remove(offset))
    }

    fn remove(&mut self, offset: Offset) -> Result<(), LogError> {
        self.offsets.remove(&offset);
        let path = self.path(offset);
        match self.fs.remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.during("remove", &path),
        }
    }

    fn path(&self, offset: Offset) -> PathBuf {
        file_names::path_of(&self.dir, offset, EXTENSION)
    }
}
