//! One partition's bytes on disk, in Apache Kafka's file formats.
//!
//! Synchronous; no network, no tasks, no clock, no word of replication. [`PartitionLog`] is the
//! door: [`log_dir::LogDir`] finds and opens them, [`fs`] is the only way to files.
//!
//! A log folder holds `<base offset>.log`, `.index` and `.timeindex` for each segment, `.snapshot` and
//! `.txnindex` for what producers did, `leader-epoch-checkpoint`, `partition.metadata`, and, after a
//! truncation, `recovery-point-limit`; `offset-holes-allowed` when compaction took batches out of its
//! middle; `damage` when its bytes were found corrupt.

mod batch_check;
pub mod checkpoint;
pub mod compaction;
pub mod config;
mod damage_mark;
mod density;
pub mod error;
mod file_names;
pub mod fs;
mod index_file;
pub mod inspect;
pub mod leader_epochs;
mod listing;
pub mod log_dir;
pub mod offset_checkpoints;
mod offset_index;
pub mod partition_log;
mod partition_metadata;
pub mod planted;
mod producer_snapshots;
pub mod producer_state;
mod recovery;
mod recovery_limit;
pub mod refused_records;
pub mod repair_report;
mod reserve;
pub mod retention;
mod scrub;
mod segment;
mod segments;
pub mod side_by_side;
mod slice;
pub mod sync;
mod time_index;
pub mod timestamps;
mod transaction_index;
pub mod validate;

pub use config::LogConfig;
pub use error::{AppendError, LogError, ReadError, Trouble};
pub use leader_epochs::LeaderEpochs;
pub use log_dir::{FolderOwner, LogDir, LogFolder};
pub use offset_checkpoints::{Checkpoint, Checkpoints, NotedOffsets};
pub use partition_log::{
    Appended, PartitionLog, RemovedSegment, SnapshotRequest, Swapped, Unsettled,
};
pub use producer_state::error::ProducerError;
pub use producer_state::{AbortedTransaction, ActiveProducer, ProducerStates};
pub use repair_report::RepairReport;
pub use scrub::{ScrubFrom, ScrubPart, Scrubbed};
pub use slice::LogSlice;
pub use sync::{SyncRequest, Synced};
pub use timestamps::TimestampedOffset;
