//! Keeping the last record of each key, and giving back the space of the others.
//!
//! | file | what it is |
//! |---|---|
//! | `dirt` | how much of a log is worth a pass |
//! | `offset_map` | the last offset of each key, in fixed memory |
//! | `filter`, `transactions` | what stays of a batch |
//! | `grouping` | which segments become one |
//! | `source`, `output` | reading segments, writing one |
//! | `pass` | one pass: map, then rewrite group by group |
//! | `swap` | putting a rewritten segment in the place of its sources, so that any crash leaves one or the others |
//!
//! A pass maps the keys of the dirty part, from where the last one ended up to what may be compacted,
//! as far as the memory goes; then every segment below is written anew without what is replaced.
//! The last batch of a group stays, empty if need be: so no segment is ever empty, a rewritten one ends
//! where its sources ended, and a reader at any offset in it finds what comes next.
//!
//! The log is locked only to plan and to swap. What it did meanwhile counts: a truncation, or sources
//! that went, void what was rewritten.

pub(crate) mod dirt;
pub(crate) mod filter;
pub(crate) mod grouping;
pub mod offset_map;
mod output;
pub mod pass;
pub(crate) mod source;
pub(crate) mod swap;
pub(crate) mod transactions;

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;

use drave_protocol::ids::Offset;
use drave_protocol::record::record::RecordError;
use thiserror::Error;

use crate::error::LogError;

pub use dirt::Dirt;
pub use offset_map::{HashKey, OffsetMap};
pub use pass::{CompactionPlan, Pass, Passed, Rewritten};

/// Bytes on their way from or to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    Read(u64),
    Written(u64),
}

/// Told of every piece before the next: it may wait, and it may end the work.
pub trait Pace {
    fn spend(&mut self, io: Io) -> ControlFlow<()>;
}

/// Nobody waits.
#[derive(Clone, Copy, Debug, Default)]
pub struct FullSpeed;

impl Pace for FullSpeed {
    fn spend(&mut self, _: Io) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

#[derive(Debug, Error)]
pub enum CompactionError {
    /// Whoever sets the pace ended it; nothing is changed.
    #[error("compaction was stopped")]
    Stopped,
    /// Its files went while it was read: the log was cut, shortened or deleted.
    #[error("what was to be compacted is gone")]
    Gone,
    #[error(transparent)]
    Storage(LogError),
    #[error("the batch at offset {offset} in {} cannot be unpacked: {source}", file.display())]
    Unreadable {
        file: PathBuf,
        offset: Offset,
        source: RecordError,
    },
}

impl From<LogError> for CompactionError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Io { ref source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Self::Gone
            }
            LogError::Io { .. }
            | LogError::Corrupt(_)
            | LogError::MarkedCorrupt { .. }
            | LogError::Failed { .. }
            | LogError::Locked { .. }
            | LogError::BadFile { .. } => Self::Storage(error),
        }
    }
}
