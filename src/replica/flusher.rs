//! Group commit: one loop per node makes appended bytes durable; every round covers all that were
//! appended while the round before was at the disk.

use std::sync::Arc;

use crate::clock::Clock;
use crate::tasks::Tasks;

use super::homes::Home;
use super::partition::Partition;

/// Cancellation: stopping between rounds leaves bytes unsynced, never half a round unreported.
pub(super) async fn run(home: Arc<Home>, clock: Clock, tasks: Tasks) {
    loop {
        tokio::select! {
            biased; // a node that stops syncs its logs itself, once, at the end
            () = tasks.stopping() => return,
            partitions = home.unsynced.take() => sync(partitions, &clock, &tasks).await,
        }
    }
}

/// Syncs each log off its lock and tells it; returns when all are told.
pub(super) async fn sync(partitions: Vec<Arc<Partition>>, clock: &Clock, tasks: &Tasks) {
    let clock = clock.clone();
    // A lost pool means the process is ending: nothing is acked, so nothing is promised.
    tasks
        .run_blocking(move || sync_now(&partitions, &clock))
        .await;
}

/// The same, on a thread that may block.
pub(super) fn sync_now(partitions: &[Arc<Partition>], clock: &Clock) {
    for partition in partitions {
        if let Some(request) = partition.prepare_sync() {
            let outcome = request.run();
            partition.synced(outcome, clock.now());
        }
    }
}
