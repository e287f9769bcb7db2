//! `leader-epoch-checkpoint`, and whether the batches were written by the epochs it names.

use std::path::{Path, PathBuf};

use drave_protocol::ids::{LeaderEpoch, Offset};
use thiserror::Error;

use crate::error::LogError;
use crate::fs::FileSystem;
use crate::inspect::batches::{Body, FoundBatch};
use crate::inspect::check::{Check, Flaws};
use crate::inspect::text;
use crate::leader_epochs::{EpochStart, LeaderEpochs};
use crate::partition_log::epochs;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Wrong {
    #[error("epochs and their starts rise strictly, epoch {epoch} at {start_offset} does not")]
    Falls {
        epoch: LeaderEpoch,
        start_offset: Offset,
    },
    #[error("batch {base_offset} is of epoch {epoch}, the checkpoint says {says:?}")]
    OtherEpoch {
        base_offset: Offset,
        epoch: LeaderEpoch,
        says: Option<LeaderEpoch>,
    },
}

/// The epochs as the file says, in its order; none when there is no such file.
pub fn entries(fs: &dyn FileSystem, path: &Path) -> Result<Vec<EpochStart>, LogError> {
    let lines = text::checkpoint(fs, path)?;
    crate::checkpoint::parse(path, &lines, epochs::parse)
}

#[derive(Debug)]
pub(super) struct EpochsCheck {
    log: PathBuf,
    epochs: LeaderEpochs,
    /// The epoch last found wrong: its other batches are as wrong.
    told: Option<LeaderEpoch>,
}

impl EpochsCheck {
    /// `None` when there is nothing to compare with.
    pub(super) fn start(
        fs: &dyn FileSystem,
        path: &Path,
        flaws: &mut Flaws,
    ) -> Result<Option<Self>, LogError> {
        let entries = match entries(fs, path) {
            Ok(entries) => entries,
            Err(error) => {
                flaws.take(error)?;
                return Ok(None);
            }
        };
        match LeaderEpochs::from_entries(entries) {
            Ok(epochs) => Ok(Some(Self {
                log: PathBuf::new(),
                epochs,
                told: None,
            })),
            Err(EpochStart {
                epoch,
                start_offset,
            }) => {
                let wrong = Wrong::Falls {
                    epoch,
                    start_offset,
                };
                flaws.add(path, 0, wrong);
                Ok(None)
            }
        }
    }

    pub(super) fn enter(&mut self, log: &Path) {
        log.clone_into(&mut self.log);
    }
}

impl Check for EpochsCheck {
    fn batch(
        &mut self,
        found: &FoundBatch,
        _body: &Body<'_>,
        flaws: &mut Flaws,
    ) -> Result<(), LogError> {
        let epoch = found.header.partition_leader_epoch;
        let base_offset = found.header.base_offset;
        // Below the first start lie records that were deleted and are not yet gone; where there is none,
        // all of them were.
        let first = self.epochs.entries().first();
        let is_below = first.is_none_or(|it| base_offset < it.start_offset);
        if epoch < LeaderEpoch(0) || is_below || self.told == Some(epoch) {
            return Ok(());
        }
        let says = self.epochs.epoch_at(base_offset);
        // The newest may not be written down yet.
        let is_unwritten =
            self.epochs.latest_epoch() < Some(epoch) && says == self.epochs.latest_epoch();
        if says != Some(epoch) && !is_unwritten {
            self.told = Some(epoch);
            let wrong = Wrong::OtherEpoch {
                base_offset,
                epoch,
                says,
            };
            flaws.add(&self.log, found.position, wrong);
        }
        Ok(())
    }
}
