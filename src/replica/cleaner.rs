//! Compacts logs, the dirtiest first: a few loops for the whole node, none for a partition.
//!
//! Invariants: a log is compacted by one loop at a time, and only below what is committed and decided;
//! its lock is held to plan and to swap, never to read or write. A log that cannot be compacted is left
//! alone until the node starts again, and counted: its disk fills, and somebody must look. Logs whose
//! bytes rotted, or whose directory fails, go the way of all such logs.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drave_log::compaction::{CompactionError, Dirt, HashKey, Io, OffsetMap, Pace, Passed};
use drave_log::{LogError, Swapped, fs};
use drave_protocol::ids::{Offset, TopicIdPartition};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tracing::{error, info, warn};

use super::partition::Partition;
use super::replicas::Replicas;

/// What the loops share: the logs that are being compacted.
type Cleaning = Arc<Mutex<BTreeSet<TopicIdPartition>>>;

/// Starts as many loops as were asked for.
pub(super) fn start(replicas: &Replicas) {
    let config = replicas.config();
    if !config.log_cleaner_enable {
        return;
    }
    let cleaning = Cleaning::default();
    for _ in 0..config.log_cleaner_threads {
        let run = run(replicas.clone(), Arc::clone(&cleaning));
        replicas.tasks().spawn("log cleaner", run);
    }
}

async fn run(replicas: Replicas, cleaning: Cleaning) {
    let tasks = replicas.tasks().clone();
    let backoff = replicas.config().log_cleaner_backoff;
    loop {
        tokio::select! {
            biased; // a pass that is stopped leaves the log as it was
            () = tasks.stopping() => return,
            () = replicas.clock().sleep_until(replicas.clock().now() + backoff) => {
                let (replicas, cleaning) = (replicas.clone(), Arc::clone(&cleaning));
                tasks.run_blocking(move || clean_all(&replicas, &cleaning)).await;
            }
        }
    }
}

/// Until no log deserves a pass, or one could not have its own.
fn clean_all(replicas: &Replicas, cleaning: &Cleaning) {
    while !replicas.tasks().is_stopping() {
        let now_ms = replicas.believed_ms();
        let Some(partition) = take_dirtiest(replicas, cleaning, now_ms) else {
            return;
        };
        let outcome = partition.compact(replicas, now_ms);
        let is_done = note(replicas, &partition, outcome);
        cleaning.lock().remove(&partition.id());
        if !is_done {
            return;
        }
    }
}

fn take_dirtiest(replicas: &Replicas, cleaning: &Cleaning, now_ms: i64) -> Option<Arc<Partition>> {
    let all = replicas.all();
    let mut busy = cleaning.lock();
    let mut n_uncleanable = 0;
    let mut dirtiest: Option<(Dirt, Arc<Partition>)> = None;
    for partition in all {
        if partition.is_uncleanable() {
            n_uncleanable += 1;
            continue;
        }
        if busy.contains(&partition.id()) {
            continue;
        }
        let Some(dirt) = partition.dirt(now_ms).filter(Dirt::deserves_a_pass) else {
            continue;
        };
        let is_dirtier = dirtiest.as_ref().is_none_or(|(other, _)| {
            (dirt.is_overdue, dirt.ratio()) > (other.is_overdue, other.ratio())
        });
        if is_dirtier {
            dirtiest = Some((dirt, partition));
        }
    }
    replicas
        .metrics()
        .uncleanable_partitions
        .set_count(n_uncleanable);
    let (_, partition) = dirtiest?;
    busy.insert(partition.id());
    Some(partition)
}

/// Whether it is worth looking for the next one now.
fn note(
    replicas: &Replicas,
    partition: &Arc<Partition>,
    outcome: Result<Option<(Offset, Passed)>, CompactionError>,
) -> bool {
    let metrics = replicas.metrics();
    let error = match outcome {
        Ok(Some((end, passed))) => {
            metrics.cleaner_runs.increment();
            metrics
                .cleaner_freed_bytes
                .add(passed.bytes_before.saturating_sub(passed.bytes_after));
            info!(
                partition = %partition.name(),
                offset = %end,
                n_bytes_before = passed.bytes_before,
                n_bytes_after = passed.bytes_after,
                n_keys = passed.n_keys,
                n_without_key = passed.n_without_key,
                "compacted a log"
            );
            return true;
        }
        // The log went on meanwhile: a later pass finds it as it is then.
        Ok(None) | Err(CompactionError::Stopped | CompactionError::Gone) => return false,
        Err(error) => error,
    };
    metrics.cleaner_failures.increment();
    if let CompactionError::Storage(LogError::Io { source, .. }) = &error
        && fs::is_full(source)
    {
        warn!(partition = %partition.name(), %error, "no room to compact a log; it is tried again");
        return false;
    }
    error!(partition = %partition.name(), %error, "a log cannot be compacted, and is left as it is until the node starts again");
    let mut state = partition.lock();
    state.uncleanable = Some(error.to_string());
    if let CompactionError::Storage(error) = &error {
        partition.fail(&mut state, error);
    }
    true
}

impl Partition {
    fn is_uncleanable(&self) -> bool {
        self.lock().uncleanable.is_some()
    }

    fn dirt(&self, now_ms: i64) -> Option<Dirt> {
        let state = self.lock();
        if state.failure().is_some() {
            return None;
        }
        let stable = state.log.last_stable_offset(state.high_watermark());
        // Where it cannot be told, the pass itself will say why.
        state.log.dirt(now_ms, stable).ok()?
    }

    /// One pass; says where it ended. `None` when the log changed too much meanwhile.
    fn compact(
        &self,
        replicas: &Replicas,
        now_ms: i64,
    ) -> Result<Option<(Offset, Passed)>, CompactionError> {
        let plan = {
            let mut state = self.lock();
            let stable = state.log.last_stable_offset(state.high_watermark());
            state.log.plan_compaction(now_ms, stable)?
        };
        let Some(plan) = plan else { return Ok(None) };
        let config = replicas.config();
        let memory_bytes =
            config.log_cleaner_dedupe_buffer_size / config.log_cleaner_threads.max(1);
        let random = replicas.random();
        let key = HashKey([random.u64(), random.u64()]);
        let map = OffsetMap::new(memory_bytes, plan.n_keys_at_most(), key);
        let mut pace = Throttle::new(replicas);
        let mut pass = plan.start(map, &mut pace)?;
        while let Some(rewritten) = pass.next_group(&mut pace)? {
            let swapped = self.lock().log.swap_in(&rewritten)?;
            if swapped == Swapped::Voided {
                return Ok(None);
            }
        }
        self.lock().log.compacted(&pass)?;
        Ok(Some((pass.end(), pass.passed())))
    }
}

/// Counts what a pass reads and writes, and holds it back to what the node may spend on it.
struct Throttle<'r> {
    replicas: &'r Replicas,
    started: Instant,
    bytes_per_second: f64,
    n_spent: f64,
}

impl<'r> Throttle<'r> {
    fn new(replicas: &'r Replicas) -> Self {
        let config = replicas.config();
        let n_threads = u32::try_from(config.log_cleaner_threads).unwrap_or(u32::MAX);
        Self {
            replicas,
            started: replicas.clock().now(),
            bytes_per_second: config.log_cleaner_io_max_bytes_per_second
                / f64::from(n_threads.max(1)),
            n_spent: 0.0,
        }
    }
}

impl Pace for Throttle<'_> {
    fn spend(&mut self, io: Io) -> ControlFlow<()> {
        let metrics = self.replicas.metrics();
        let bytes = match io {
            Io::Read(bytes) => {
                metrics.cleaner_read_bytes.add(bytes);
                bytes
            }
            Io::Written(bytes) => {
                metrics.cleaner_written_bytes.add(bytes);
                bytes
            }
        };
        self.n_spent += f64::from(u32::try_from(bytes).unwrap_or(u32::MAX));
        let due = Duration::try_from_secs_f64(self.n_spent / self.bytes_per_second);
        let due = self.started + due.unwrap_or_default();
        let (tasks, clock) = (self.replicas.tasks(), self.replicas.clock());
        if due > clock.now() {
            // On a thread that may block: the runtime only wakes it.
            Handle::current().block_on(async {
                tokio::select! {
                    () = tasks.stopping() => {}
                    () = clock.sleep_until(due) => {}
                }
            });
        }
        if tasks.is_stopping() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}
