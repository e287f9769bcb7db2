//! The storage types under their own names, for openraft's conformance suite in `tests/`. No part
//! of the face: nothing here is stable.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::backend::LogBackend;
use crate::disk::RealDisk;
use crate::history::feed::Feed;
use crate::memory_log::MemoryLog;
use crate::snapshot::SnapshotStore;
use crate::wal::Wal;

pub use crate::log_store::{CacheLimits, LogStore};
pub use crate::state_machine::StateMachine;
pub use crate::types::TypeConfig;

/// A log on disk in `folder`, and an empty machine beside it.
pub fn on_disk(
    folder: &Path,
    segment_bytes: u64,
    limits: CacheLimits,
) -> io::Result<(LogStore, StateMachine)> {
    let salt = Arc::new(|| 7);
    let wal = Wal::open(Arc::new(RealDisk), &folder.join("wal"), segment_bytes, salt);
    let (wal, recovered) = wal.map_err(io::Error::other)?;
    let store = LogStore::new(Arc::new(wal), recovered, limits)?;
    Ok((store, machine(folder)?))
}

/// A log in memory, and an empty machine whose snapshots go to `folder`.
pub fn in_memory(folder: &Path, limits: CacheLimits) -> io::Result<(LogStore, StateMachine)> {
    let log = MemoryLog::default();
    let recovered = log.recovered();
    let backend: Arc<dyn LogBackend> = Arc::new(log);
    let store = LogStore::new(backend, recovered, limits)?;
    Ok((store, machine(folder)?))
}

fn machine(folder: &Path) -> io::Result<StateMachine> {
    let snapshots = SnapshotStore::open(Arc::new(RealDisk), &folder.join("snapshot"));
    let (snapshots, _) = snapshots.map_err(io::Error::other)?;
    let feed = Feed::start(folder.join("history"), 1000)?;
    StateMachine::new(snapshots, feed, None)
}
