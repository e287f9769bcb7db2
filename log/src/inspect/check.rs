//! What verifying is made of: checks that are shown every batch in order, and the flaws they find.

use std::path::{Path, PathBuf};

use drave_protocol::ids::Offset;
use thiserror::Error;

use crate::error::{Corruption, Fault, LogError};
use crate::inspect::batches::{Body, FoundBatch};
use crate::inspect::{epochs, offset_index, producers, records, time_index};

/// More flaws of one file than this are counted, not kept: one damaged byte can make many.
const KEPT_PER_FILE: usize = 16;

/// Something that does not hold, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{} at byte {position}: {wrong}", file.display())]
pub struct Flaw {
    pub file: PathBuf,
    pub position: u64,
    pub wrong: Wrong,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Wrong {
    #[error(transparent)]
    Batch(#[from] Fault),
    #[error(transparent)]
    Records(#[from] records::Wrong),
    #[error(transparent)]
    OffsetIndex(#[from] offset_index::Wrong),
    #[error(transparent)]
    TimeIndex(#[from] time_index::Wrong),
    #[error(transparent)]
    LeaderEpochs(#[from] epochs::Wrong),
    #[error(transparent)]
    Producers(#[from] producers::Wrong),
    #[error("line {line}: {fault}")]
    Text { line: usize, fault: &'static str },
    #[error("the segment starts at {base_offset}, the one before it ends at {end}")]
    Overlap { base_offset: Offset, end: Offset },
    #[error("positions in an index have 31 bits, the segment has {0} bytes")]
    TooLarge(u64),
}

impl Wrong {
    /// What kind of promise is broken; programs rely on the names.
    pub fn of(&self) -> &'static str {
        match self {
            Self::Batch(_) | Self::Overlap { .. } | Self::TooLarge(_) => "batch",
            Self::Records(_) => "records",
            Self::OffsetIndex(_) => "offset_index",
            Self::TimeIndex(_) => "time_index",
            Self::LeaderEpochs(_) => "leader_epochs",
            Self::Producers(_) => "producers",
            Self::Text { .. } => "text",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flaws {
    pub found: Vec<Flaw>,
    pub n_not_kept: u64,
}

impl Flaws {
    pub(super) fn add(&mut self, file: &Path, position: u64, wrong: impl Into<Wrong>) {
        let of_file = self.found.iter().filter(|flaw| flaw.file == file).count();
        if of_file >= KEPT_PER_FILE {
            self.n_not_kept += 1;
            return;
        }
        self.found.push(Flaw {
            file: file.to_owned(),
            position,
            wrong: wrong.into(),
        });
    }

    /// Takes an error for what it says of the bytes; gives back one that says nothing of them.
    pub(super) fn take(&mut self, error: LogError) -> Result<(), LogError> {
        match error {
            LogError::Corrupt(Corruption {
                file,
                position,
                fault,
                ..
            }) => self.add(&file, position, fault),
            LogError::BadFile { path, line, fault } => {
                self.add(&path, 0, Wrong::Text { line, fault });
            }
            LogError::Io { .. }
            | LogError::Failed { .. }
            | LogError::Locked { .. }
            | LogError::MarkedCorrupt { .. } => return Err(error),
        }
        Ok(())
    }
}

/// Looks at the batches of one segment, or of one log, as they pass.
pub(super) trait Check {
    fn batch(
        &mut self,
        found: &FoundBatch,
        body: &Body<'_>,
        flaws: &mut Flaws,
    ) -> Result<(), LogError>;

    /// No batch follows.
    fn end(&mut self, _flaws: &mut Flaws) -> Result<(), LogError> {
        Ok(())
    }
}
