//! What opening a log had to repair: for the operator, and for whoever explains a missing record.

use std::fmt;
use std::path::PathBuf;

use drave_protocol::ids::Offset;

use crate::error::Fault;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// Bytes read again because nothing said they were durable.
    pub scanned_bytes: u64,
    pub repairs: Vec<Repair>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// The unsynced end of a segment did not survive whole.
    TailCut {
        file: PathBuf,
        from_offset: Offset,
        position: u64,
        bytes: u64,
        fault: Fault,
    },
    /// A segment after such an end: without what came before it, it is no part of the log.
    SegmentDropped {
        file: PathBuf,
        base_offset: Offset,
        bytes: u64,
    },
    /// The epoch file was unreadable and was made anew from the batches.
    LeaderEpochsRebuilt,
    /// All records lay below the log start offset.
    StartedOver { log_start_offset: Offset },
}

impl RepairReport {
    pub fn is_clean(&self) -> bool {
        self.repairs.is_empty()
    }
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TailCut {
                file,
                from_offset,
                position,
                bytes,
                fault,
            } => write!(
                f,
                "cut {bytes} bytes from {} at byte {position}, offset {from_offset}: {fault}",
                file.display()
            ),
            Self::SegmentDropped {
                file,
                base_offset,
                bytes,
            } => write!(
                f,
                "dropped {} with {bytes} bytes from offset {base_offset}: what precedes it is lost",
                file.display()
            ),
            Self::LeaderEpochsRebuilt => write!(f, "made the leader epochs anew from the batches"),
            Self::StartedOver { log_start_offset } => {
                write!(
                    f,
                    "started over at {log_start_offset}: all records lay below it"
                )
            }
        }
    }
}
