//! Group commit: one loop per log directory makes appended bytes durable. Logs are synced beside each other,
//! each told as soon as its own bytes are on disk; a sync covers all that was appended before it began.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::tasks::{self, Tasks};

use super::entered::Entered;
use super::homes::Home;
use super::partition::Partition;
use super::purgatory::WaitFor;

/// Logs closed at once.
const N_CLOSED_AT_ONCE: usize = 16;
/// A directory that is done waits so long for the others, or as long again as it took.
const GRACE: Duration = Duration::from_millis(10);

/// Cancellation: stopping leaves bytes unsynced, and workers to end with the syncs they are at.
pub(super) async fn run(home: Arc<Home>, clock: Clock, tasks: Tasks) {
    loop {
        let next_due = home.unsynced.mark_due(clock.now());
        while let Some(first) = home.unsynced.begin() {
            let worker = Worker {
                home: Arc::clone(&home),
                clock: clock.clone(),
                at: Some(first),
            };
            tasks.start_blocking(move || worker.run());
        }
        tokio::select! {
            biased; // a node that stops syncs its logs itself, once, at the end
            () = tasks.stopping() => return,
            () = home.unsynced.changed() => {}
            () = clock.sleep_until(next_due.unwrap_or(clock.now())), if next_due.is_some() => {}
        }
    }
}

/// Syncs one log after another, as long as any waits.
struct Worker {
    home: Arc<Home>,
    clock: Clock,
    at: Option<Arc<Partition>>,
}

impl Worker {
    fn run(mut self) {
        while let Some(partition) = &self.at {
            sync_now(partition, &self.clock);
            self.at = self.home.unsynced.go_on(partition);
        }
    }
}

impl Drop for Worker {
    /// A panic takes one log's turn along, not the worker's place.
    fn drop(&mut self) {
        if let Some(partition) = &self.at {
            self.home.unsynced.give_up(partition);
        }
    }
}

/// Syncs a log off its lock and tells it, if it has anything to sync now. Blocks.
fn sync_now(partition: &Arc<Partition>, clock: &Clock) {
    if let Some(request) = partition.prepare_sync(clock.now()) {
        let outcome = request.run();
        partition.synced(outcome, clock.now());
    }
}

/// Resolves once what these logs hold now is on disk, where that counts, or they are offline; or once that is
/// so of all in one directory, and others are slow: those are left out of fetches until they are done, and
/// keep nobody else waiting.
///
/// Cancellation: they are synced all the same.
pub(super) async fn sync(partitions: &[Arc<Partition>], clock: &Clock) {
    let waiting: Vec<Arc<Partition>> = partitions
        .iter()
        .filter(|it| it.note_appended(clock.now()))
        .cloned()
        .collect();
    if waiting.is_empty() {
        return;
    }
    let entered = Entered::new(&waiting, WaitFor::Durable);
    let ends: Vec<_> = waiting.iter().map(|it| it.log_end_offset()).collect();
    let mut left: Vec<_> = waiting.iter().zip(ends).collect();
    let n_homes = n_homes(waiting.iter());
    let began = clock.now();
    let mut until = None;
    loop {
        left.retain(|(partition, end)| !partition.is_settled_below(*end));
        if left.is_empty() {
            return;
        }
        if until.is_none() && self::n_homes(left.iter().map(|(it, _)| *it)) < n_homes {
            let took = clock.now().saturating_duration_since(began);
            until = Some(clock.now() + took.max(GRACE));
        }
        tokio::select! {
            () = entered.woken() => {}
            () = clock.sleep_until(until.unwrap_or(began)), if until.is_some() => return,
        }
    }
}

fn n_homes<'a>(partitions: impl Iterator<Item = &'a Arc<Partition>>) -> usize {
    let homes: BTreeSet<_> = partitions.map(|it| it.home().directory()).collect();
    homes.len()
}

/// The last sync and snapshot of each log. Blocks.
pub(super) fn close(partitions: &[Arc<Partition>], clock: &Clock) {
    tasks::in_parallel(partitions, N_CLOSED_AT_ONCE, |partition| {
        sync_now(partition, clock);
        partition.close();
    });
}

#[cfg(test)]
#[path = "flusher_test.rs"]
mod tests;
