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
        let counter = |it: &RemovedSegment| {
            let metrics = replicas.metrics();
            metrics
                .removed_segments
                .with(&[it.expiry.name()])
                .increment();
            metrics
                .removed_bytes
                .with(&[it.expiry.name()])
                .add(it.bytes);
        };
        partition
            .remove_old_segments(now_ms)
            .iter()
            .for_each(counter);
    }
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
    /// The lock is given back between a few segments and the next: each costs a sync of the folder.
    fn remove_old_segments(self: &Arc<Self>, now_ms: i64) -> Vec<RemovedSegment> {
        let mut all = Vec::new();
        loop {
            let mut state = self.lock();
            if state.failure().is_some() {
                return all;
            }
            let upper = state.high_watermark();
            match state.log.remove_old_segments(now_ms, upper) {
                Ok(removed) if removed.is_empty() => return all,
                Ok(removed) => {
                    for RemovedSegment {
                        base_offset,
                        bytes,
                        expiry,
                    } in &removed
                    {
                        info!(partition = %self.name(), segment = %base_offset, n_bytes = bytes, reason = expiry.name(), "removed an old segment");
                    }
                    all.extend(removed);
                }
                Err(error) if self.home().takes_for_full(&error) => return all,
                Err(error) => {
                    error!(partition = %self.name(), %error, "old segments could not be removed");
                    self.fail(&mut state, &error);
                    return all;
                }
            }
        }
    }
}
