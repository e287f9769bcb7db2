//! openraft's own suite for storages, over the write-ahead file and over its twin in memory, with a
//! cache that holds everything and with one that holds almost nothing.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use drave_raft::conformance::{
    CacheLimits, LogStore, StateMachine, TypeConfig, in_memory, on_disk,
};
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

const TINY: CacheLimits = CacheLimits {
    entries: 2,
    bytes: 100,
};

#[derive(Clone, Copy)]
enum Log {
    /// Small segments, so that rolling and deleting are part of the test.
    Disk,
    Memory,
}

struct Builder {
    log: Log,
    limits: CacheLimits,
}

impl StoreBuilder<TypeConfig, LogStore, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
        let folder = TempDir::new().unwrap();
        let (store, machine) = match self.log {
            Log::Disk => on_disk(folder.path(), 512, self.limits),
            Log::Memory => in_memory(folder.path(), self.limits),
        }
        .unwrap();
        Ok((folder, store, machine))
    }
}

async fn suite(log: Log, limits: CacheLimits) {
    Suite::test_all(Builder { log, limits }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_write_ahead_log_conforms() {
    suite(Log::Disk, CacheLimits::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_write_ahead_log_conforms_when_read_from_disk() {
    suite(Log::Disk, TINY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_in_memory_conforms() {
    suite(Log::Memory, CacheLimits::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_in_memory_conforms_when_read_from_its_backend() {
    suite(Log::Memory, TINY).await;
}
