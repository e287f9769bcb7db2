//! Remembers high watermarks, recovery points, log starts and producers every few seconds and at a clean stop,
//! so that a restart scans little and a new leader starts near the truth; log starts also whenever records were deleted, before anybody
//! is told so.

use std::sync::Arc;

use drave_log::{LogError, Trouble};

use crate::tasks;

use super::homes::Home;
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

/// Logs written to at once.
const N_AT_ONCE: usize = 16;

/// Writes the checkpoints of each log directory. Returns whether all were written.
pub(super) fn write(replicas: &Replicas) -> bool {
    let all = replicas.all();
    let unwritten: Vec<Arc<Partition>> = all
        .iter()
        .filter(|it| it.has_unwritten_epochs())
        .cloned()
        .collect();
    tasks::in_parallel(&unwritten, N_AT_ONCE, |it| it.write_down_epochs());
    let mut all_written = true;
    for home in replicas.homes().well() {
        let here: Vec<&Arc<Partition>> = all
            .iter()
            .filter(|it| Arc::ptr_eq(it.home(), home))
            .collect();
        if let Err(error) = home.write_checkpoints(&here) {
            failed(replicas, home, &error);
            all_written = false;
        }
    }
    for partition in &all {
        partition.snapshot_producers();
    }
    all_written
}

/// Makes the log starts of these partitions durable; `State::durable_log_start` says of which that succeeded.
pub(super) async fn note_log_starts(replicas: &Replicas, partitions: Vec<Arc<Partition>>) {
    let all = replicas.clone();
    let write = move || {
        for home in all.homes().well() {
            let here: Vec<&Arc<Partition>> = partitions
                .iter()
                .filter(|it| Arc::ptr_eq(it.home(), home))
                .collect();
            if !here.is_empty()
                && let Err(error) = home.write_log_starts(&here)
            {
                failed(&all, home, &error);
            }
        }
    };
    // A lost pool means the process is ending: what was not noted is not claimed.
    replicas.tasks().run_blocking(write).await;
}

fn failed(replicas: &Replicas, home: &Home, error: &LogError) {
    if !home.takes_for_full(error) && error.trouble() == Trouble::Directory {
        home.fail(&error.to_string());
        replicas.signals().tell_offline();
    }
}
