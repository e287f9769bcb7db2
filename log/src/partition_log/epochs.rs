//! Which leader wrote what, kept in `leader-epoch-checkpoint` beside the segments.
//!
//! Invariant: the file knows every epoch that wrote below a recovery point that is noted anywhere. Above it the
//! batches know their epochs themselves, and a start reads them: so a new epoch costs no sync when it begins,
//! which a node that takes over thousands of logs at once has no time for.

use std::path::Path;

use drave_protocol::ids::{LeaderEpoch, Offset};

use crate::checkpoint;
use crate::error::LogError;
use crate::fs::{self, FileSystem};
use crate::leader_epochs::{EpochStart, LeaderEpochs};
use crate::listing::Listing;
use crate::partition_log::PartitionLog;

const EPOCHS_FILE: &str = "leader-epoch-checkpoint";

impl PartitionLog {
    /// Notes that `epoch` leads from the log's end on. Nothing happens when it is known. Written down with
    /// [`Self::recovery_point_to_note`].
    ///
    /// # Panics
    /// When a newer epoch is known.
    pub fn start_leader_epoch(&mut self, epoch: LeaderEpoch) -> Result<(), LogError> {
        self.health.check()?;
        if self.epochs.assign(epoch, self.log_end_offset) {
            self.epochs_unwritten_from
                .get_or_insert(self.log_end_offset);
        }
        Ok(())
    }

    /// Whether something durable was written in an epoch that is not written down.
    pub fn has_unwritten_epochs(&self) -> bool {
        let from = self.epochs_unwritten_from;
        from.is_some_and(|it| it < self.recovery_point)
    }

    /// Below it everything is durable, and so is who wrote it: what a checkpoint may say. Blocks on the
    /// disk, where there are epochs to be written down.
    pub fn recovery_point_to_note(&mut self) -> Offset {
        // Where they cannot be written the next start reads the batches.
        let _ = self.write_down_epochs();
        match self.epochs_unwritten_from {
            Some(from) => from.min(self.recovery_point),
            None => self.recovery_point,
        }
    }

    pub(super) fn write_down_epochs(&mut self) -> Result<(), LogError> {
        if self.has_unwritten_epochs() && !self.health.is_deleted() {
            self.write_epochs()?;
        }
        Ok(())
    }

    pub(super) fn write_epochs(&mut self) -> Result<(), LogError> {
        let line = |it: &EpochStart| format!("{} {}", it.epoch, it.start_offset);
        let facts: Vec<String> = self.epochs.entries().iter().map(line).collect();
        let path = self.dir.join(EPOCHS_FILE);
        let done = checkpoint::write(self.fs.as_ref(), &path, &facts);
        match &done {
            // The old file is untouched, and what it says too much is cut when it is read.
            Err(LogError::Io { source, .. }) if fs::is_full(source) => {}
            Err(error) => self.health.fail(error),
            Ok(()) => self.epochs_unwritten_from = None,
        }
        done
    }
}

/// `None` when the file is damaged: the batches know their epochs too.
pub(super) fn read(
    fs: &dyn FileSystem,
    dir: &Path,
    listing: &Listing,
) -> Result<Option<LeaderEpochs>, LogError> {
    if !listing.has(EPOCHS_FILE) {
        return Ok(Some(LeaderEpochs::default()));
    }
    let path = dir.join(EPOCHS_FILE);
    let read = checkpoint::read(fs, &path)
        .and_then(|facts| checkpoint::parse(&path, &facts.unwrap_or_default(), parse));
    match read {
        Ok(entries) => Ok(LeaderEpochs::from_entries(entries).ok()),
        Err(LogError::BadFile { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(crate) fn parse(fact: &str) -> Option<EpochStart> {
    let (epoch, start_offset) = fact.split_once(' ')?;
    let (epoch, start_offset) = (epoch.parse().ok()?, start_offset.parse().ok()?);
    Some(EpochStart {
        epoch: LeaderEpoch(epoch),
        start_offset: Offset(start_offset),
    })
}
