//! Remembers high watermarks, recovery points, log starts and producers every few seconds and at a clean stop,
//! so that a restart scans little and a new leader starts near the truth.

use std::collections::BTreeMap;
use std::sync::Arc;

use drave_log::{Checkpoint, LogDir};
use drave_protocol::ids::{Offset, TopicPartition};
use tracing::error;

use super::flusher;
use super::partition::Partition;
use super::replicas::Replicas;

pub(super) async fn run(replicas: Replicas) {
    let tasks = replicas.tasks().clone();
    let interval = replicas.config().replica_high_watermark_checkpoint_interval;
    loop {
        tokio::select! {
            biased; // the node writes the last ones itself, after its last sync
            () = tasks.stopping() => return,
            () = replicas.clock().sleep_until(replicas.clock().now() + interval) => {
                let replicas = replicas.clone();
                tasks.run_blocking(move || write(&replicas)).await;
            }
        }
    }
}

/// Syncs what only the page cache holds, then writes the three checkpoints of each log directory.
///
/// Returns whether all were written.
pub(super) fn write(replicas: &Replicas) -> bool {
    let all = replicas.all();
    let lazy: Vec<Arc<Partition>> = all
        .iter()
        .filter(|it| !it.counts_on_disk())
        .cloned()
        .collect();
    flusher::sync_now(&lazy, replicas.clock());
    let mut all_written = true;
    for dir in replicas.log_dirs() {
        if let Err(error) = write_dir(dir, &all) {
            error!(dir = %dir.path().display(), %error, "checkpoints could not be written");
            all_written = false;
        }
    }
    for partition in &all {
        partition.snapshot_producers();
    }
    all_written
}

fn write_dir(dir: &LogDir, all: &[Arc<Partition>]) -> Result<(), drave_log::LogError> {
    let mut high_watermarks: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
    let mut recovery_points = BTreeMap::new();
    let mut log_starts = BTreeMap::new();
    for partition in all.iter().filter(|it| it.is_in(dir.path())) {
        let state = partition.lock();
        let name = partition.name().clone();
        high_watermarks.insert(name.clone(), state.high_watermark());
        recovery_points.insert(name.clone(), state.log.recovery_point());
        log_starts.insert(name, state.log.log_start_offset());
    }
    dir.write_checkpoint(Checkpoint::RecoveryPoint, &recovery_points)?;
    dir.write_checkpoint(Checkpoint::LogStartOffset, &log_starts)?;
    dir.write_checkpoint(Checkpoint::ReplicationOffset, &high_watermarks)
}
