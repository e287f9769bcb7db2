//! Removes old segments of all partitions, leaders' and followers' alike: every few minutes, and soon after
//! records were deleted.
//!
//! Invariant: nothing above the high watermark goes; what goes is logged and counted, with its reason.

use std::sync::Arc;

use drave_log::{Checkpoint, RemovedSegment};
use tracing::{error, info};

use crate::clock::Clock;

use super::homes::{Home, Homes};
use super::partition::Partition;
use super::purgatory::Change;
use super::replicas::Replicas;
use super::steady_clock::SteadyClock;

pub(super) async fn run(replicas: Replicas) {
    let tasks = replicas.tasks().clone();
    let interval = replicas.config().log_retention_check_interval;
    let mut next = replicas.clock().now() + interval;
    loop {
        tokio::select! {
            biased; // nothing to finish: what is too old stays so
            () = tasks.stopping() => return,
            let_go = replicas.signals().take_let_go() => {
                let replicas = replicas.clone();
                tasks.run_blocking(move || check(&replicas, &let_go)).await;
            }
            () = replicas.clock().sleep_until(next) => {
                next = replicas.clock().now() + interval;
                let replicas = replicas.clone();
                tasks.run_blocking(move || check(&replicas, &replicas.all())).await;
            }
        }
    }
}

fn check(replicas: &Replicas, partitions: &[Arc<Partition>]) {
    let now_ms = replicas.believed_ms();
    for partition in partitions {
        if replicas.tasks().is_stopping() {
            return;
        }
        loop {
            let removed = partition.remove_old_segments(now_ms);
            if removed.is_empty() {
                break;
            }
            for segment in removed {
                tell(replicas, partition, &segment);
            }
        }
    }
}

fn tell(replicas: &Replicas, partition: &Partition, removed: &RemovedSegment) {
    let RemovedSegment {
        base_offset,
        bytes,
        expiry,
        ..
    } = removed;
    let reason = expiry.name();
    let metrics = replicas.metrics();
    metrics.removed_segments.with(&[reason]).increment();
    metrics.removed_bytes.with(&[reason]).add(*bytes);
    info!(partition = %partition.name(), segment = %base_offset, n_bytes = bytes, reason, "removed an old segment");
}

/// A clock that knows when this node last wrote a checkpoint.
pub(super) fn steady_clock(clock: &Clock, homes: &Homes) -> SteadyClock {
    let written = |home: &Arc<Home>| {
        home.dir
            .checkpoint_written_ms(Checkpoint::ReplicationOffset)
    };
    let seen_ms = homes.present().iter().filter_map(written).max();
    SteadyClock::new(clock.now(), clock.wall_ms(), seen_ms)
}

impl Partition {
    /// A few of them, until none is left: each costs a sync of the folder, and the lock is given back in
    /// between. Off the lock the caller gives back their blocks.
    fn remove_old_segments(self: &Arc<Self>, now_ms: i64) -> Vec<RemovedSegment> {
        let mut state = self.lock();
        if state.failure().is_some() {
            return Vec::new();
        }
        let upper = state.high_watermark();
        match state.log.remove_old_segments(now_ms, upper) {
            Ok(removed) => {
                if !removed.is_empty() {
                    state.watchers.tell(Change::LogStart);
                }
                removed
            }
            Err(error) => {
                if !self.home().takes_for_full(&error) {
                    error!(partition = %self.name(), %error, "old segments could not be removed");
                    self.fail(&mut state, &error);
                }
                Vec::new()
            }
        }
    }
}
