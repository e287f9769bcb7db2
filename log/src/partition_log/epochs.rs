//! Which leader wrote what, kept in `leader-epoch-checkpoint` beside the segments.

use std::path::Path;

use drave_protocol::ids::{LeaderEpoch, Offset};

use crate::checkpoint;
use crate::error::LogError;
use crate::fs::{self, FileSystem};
use crate::leader_epochs::{EpochStart, LeaderEpochs};
use crate::partition_log::PartitionLog;

const EPOCHS_FILE: &str = "leader-epoch-checkpoint";

impl PartitionLog {
    /// Notes, durably, that `epoch` leads from the log's end on. Nothing happens when it is known.
    ///
    /// # Panics
    /// When a newer epoch is known.
    pub fn start_leader_epoch(&mut self, epoch: LeaderEpoch) -> Result<(), LogError> {
        self.health.check()?;
        if self.epochs.latest_epoch() == Some(epoch) {
            return Ok(());
        }
        let before = self.epochs.clone();
        self.epochs.assign(epoch, self.log_end_offset);
        let done = self.write_epochs();
        if done.is_err() {
            self.epochs = before;
        }
        done
    }

    pub(super) fn write_epochs(&self) -> Result<(), LogError> {
        let line = |it: &EpochStart| format!("{} {}", it.epoch, it.start_offset);
        let facts: Vec<String> = self.epochs.entries().iter().map(line).collect();
        let path = self.dir.join(EPOCHS_FILE);
        let done = checkpoint::write(self.fs.as_ref(), &path, &facts);
        match &done {
            // The old file is untouched, and what it says too much is cut when it is read.
            Err(LogError::Io { source, .. }) if fs::is_full(source) => {}
            Err(error) => self.health.fail(error),
            Ok(()) => {}
        }
        done
    }
}

/// `None` when the file is damaged: the batches know their epochs too.
pub(super) fn read(fs: &dyn FileSystem, dir: &Path) -> Result<Option<LeaderEpochs>, LogError> {
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
