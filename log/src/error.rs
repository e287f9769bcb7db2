//! What the log refuses and what befalls it: one enum per operation.

use std::io;
use std::path::{Path, PathBuf};

use drave_protocol::ids::Offset;
use drave_protocol::record::batch::BatchError;
use drave_protocol::record::record::RecordError;
use thiserror::Error;

use crate::fs;
use crate::producer_state::error::ProducerError;
use crate::refused_records::RefusedRecords;

/// The disk or what lies on it; none of these is the client's doing.
#[derive(Debug, Error)]
pub enum LogError {
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// Bytes that were durable once are not what was written. Never cut silently: another replica
    /// has them.
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    /// A sync failed earlier. Nothing says which bytes reached the disk, so nothing more is
    /// appended until the log is opened anew.
    #[error("{} failed earlier and takes no more writes", dir.display())]
    Failed { dir: PathBuf },
    #[error("{} is in use by another process", path.display())]
    Locked { path: PathBuf },
    /// Damage was found before, and the log is not opened again as it is.
    #[error(
        "{what} (found earlier and noted in {}; delete that file once the folder is whole again)",
        mark.display()
    )]
    MarkedCorrupt { what: String, mark: PathBuf },
    #[error("{}, line {line}: {fault}", path.display())]
    BadFile {
        path: PathBuf,
        line: usize,
        fault: &'static str,
    },
}

/// What a failure says of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The directory cannot be written or synced: every log in it is in doubt.
    Directory,
    /// This log's bytes are not there, or not as they were written; another replica has them.
    Damage,
    /// Neither: no space or no handles left, or a consequence of what was told before.
    Neither,
}

impl LogError {
    /// Whether the disk, or its quota, is full.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if fs::is_full(source))
    }

    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Corrupt(_) | Self::BadFile { .. } | Self::MarkedCorrupt { .. } => Trouble::Damage,
            Self::Failed { .. } => Trouble::Neither,
            Self::Locked { .. } => Trouble::Directory,
            Self::Io { action, source, .. } => {
                // After a failed sync nobody knows what is on the disk, whatever the reason.
                if *action == "sync" {
                    return Trouble::Directory;
                }
                let is_reading = matches!(*action, "open" | "read");
                let is_missing = matches!(
                    source.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof
                );
                if is_missing || (is_reading && fs::is_device_error(source)) {
                    Trouble::Damage
                } else if is_reading || fs::is_passing(source) {
                    Trouble::Neither
                } else {
                    Trouble::Directory
                }
            }
        }
    }
}

/// Where a log's bytes are not what they must be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{} is corrupt at byte {position}, offset {offset}: {fault}", file.display())]
pub struct Corruption {
    pub file: PathBuf,
    pub position: u64,
    pub offset: Offset,
    pub fault: Fault,
}

/// What is wrong with the bytes where a batch should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    #[error(transparent)]
    Shape(#[from] BatchError),
    #[error("the checksum is wrong")]
    Checksum,
    #[error("the next offset is {expected}, the batch starts at {got}")]
    NotNext { expected: Offset, got: Offset },
    #[error("the leader epoch falls from {previous} to {got}")]
    EpochFell { previous: i32, got: i32 },
    #[error("the last offset delta is {0}")]
    BadOffsetDelta(i32),
    #[error("the log ends here, below its recovery point {recovery_point}")]
    EndsEarly { recovery_point: Offset },
    #[error("no batch holds this offset")]
    Hole,
    #[error("the next segment starts at {next_segment}")]
    Gap { next_segment: Offset },
}

#[derive(Debug, Error)]
pub enum AppendError {
    #[error("corrupt batch: {0}")]
    CorruptBatch(#[from] Fault),
    #[error("invalid record: {0}")]
    InvalidRecord(#[from] InvalidRecord),
    #[error("the batch has {size} bytes, {max} are allowed")]
    TooLarge { size: usize, max: usize },
    #[error("message format {magic} is not supported, only 2 is")]
    UnsupportedFormat { magic: i8 },
    #[error("the compressed records take more than {max} bytes unpacked")]
    UnpacksTooLarge { max: usize },
    #[error("timestamp {timestamp_ms} is not within {earliest_ms}..={latest_ms}")]
    InvalidTimestamp {
        timestamp_ms: i64,
        earliest_ms: i64,
        latest_ms: i64,
    },
    #[error("only the broker stamps records with the time of appending")]
    NotTheClientsTimestampType,
    #[error("{0}")]
    RefusedRecords(RefusedRecords),
    #[error("the next offset is {expected}, not {got}")]
    NotNext { expected: Offset, got: Offset },
    #[error(transparent)]
    Producer(#[from] ProducerError),
    #[error(transparent)]
    Storage(#[from] LogError),
    /// Nothing of the batch stays; appends go on when space returns.
    #[error("the disk is full")]
    Full,
}

/// A well-formed batch a client may not append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidRecord {
    #[error("exactly one batch is expected")]
    NotOneBatch,
    #[error("clients do not write control records")]
    Control,
    #[error("{count} records cannot have last offset delta {last_offset_delta}")]
    Count { count: i32, last_offset_delta: i32 },
    #[error("attributes {0:#x} name no known compression")]
    UnknownCompression(i16),
    #[error("producer id {producer_id} with epoch {epoch} and sequence {sequence}")]
    Producer {
        producer_id: i64,
        epoch: i16,
        sequence: i32,
    },
    #[error("record {expected} says it is record {got}")]
    OffsetDelta { expected: i32, got: i32 },
    #[error(transparent)]
    Record(#[from] RecordError),
}

#[derive(Debug, Error)]
pub enum ReadError {
    #[error("offset {offset} is outside {log_start_offset}..{log_end_offset}")]
    OffsetOutOfRange {
        offset: Offset,
        log_start_offset: Offset,
        log_end_offset: Offset,
    },
    #[error(transparent)]
    Storage(#[from] LogError),
}

/// Names the action and the file an I/O error befell.
pub(crate) trait During<T> {
    fn during(self, action: &'static str, path: &Path) -> Result<T, LogError>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, action: &'static str, path: &Path) -> Result<T, LogError> {
        self.map_err(|source| LogError::Io {
            action,
            path: path.to_owned(),
            source,
        })
    }
}
