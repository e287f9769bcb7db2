//! Looks again, slowly, at what lies on the disks, and at once where something seems to be wrong.
//!
//! Invariants: no lock is held across a read of the disk, except for the second look that turns a
//! suspicion into a fact; a replica whose bytes rotted is offline from then on, marked on disk, and
//! never served again as it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use drave_log::{LogError, ScrubFrom, Scrubbed, Trouble};
use drave_protocol::ids::Offset;
use tracing::{debug, error, info};

use super::partition::{Partition, State};
use super::replicas::Replicas;

/// Read at once.
const PART_BYTES: usize = 1 << 20;
/// What was read beyond its share of time is slept off when it comes to so much.
const SLEEP_MIN: Duration = Duration::from_millis(20);

/// Which of a log's bytes are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// What was durable once.
    Durable,
    /// All there is: a follower was sent it.
    Appended,
}

pub(super) async fn run(replicas: Replicas) {
    let tasks = replicas.tasks().clone();
    tokio::select! {
        biased; // a pass is begun anew after a restart
        () = tasks.stopping() => {}
        () = passes(&replicas) => {}
    }
}

/// Looks at once at what is suspected, whether or not there are passes.
pub(super) async fn look_at_suspects(replicas: Replicas) {
    let tasks = replicas.tasks().clone();
    loop {
        tokio::select! {
            biased; // what is suspected of a stopping node is looked at by its next scrub
            () = tasks.stopping() => return,
            (partition, offset) = replicas.signals().suspected() => {
                let looking = replicas.clone();
                tasks
                    .run_blocking(move || partition.scrub(&looking, ScrubFrom::Within(offset), Reach::Appended))
                    .await;
            }
        }
    }
}

async fn passes(replicas: &Replicas) {
    let rate = replicas.config().log_scrub_bytes_per_second;
    if rate == 0 {
        return;
    }
    let interval = replicas.config().log_scrub_interval;
    loop {
        let begun = replicas.clock().now();
        let n_bytes = pass(replicas, rate).await;
        let took = replicas.clock().now().saturating_duration_since(begun);
        replicas.metrics().scrub_passes.increment();
        let elapsed_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        debug!(n_bytes, elapsed_ms, "looked at all logs");
        replicas.clock().sleep_until(begun + interval).await;
    }
}

async fn pass(replicas: &Replicas, rate: u64) -> u64 {
    let mut all = replicas.all();
    // A node that never runs as long as a pass takes must not always look at the same logs.
    let start = replicas
        .broker_epoch()
        .and_then(|it| usize::try_from(it.0).ok());
    let n = all.len().max(1);
    all.rotate_left(start.unwrap_or(0) % n);
    let mut n_bytes = 0;
    let mut due = replicas.clock().now();
    for partition in all {
        let mut from = ScrubFrom::Within(Offset::ZERO);
        while let Some(scrubbed) = look(replicas, &partition, from).await {
            from = ScrubFrom::Boundary(scrubbed.next);
            n_bytes += scrubbed.bytes;
            replicas.metrics().scrubbed_bytes.add(scrubbed.bytes);
            due = pause(replicas, due, scrubbed.bytes, rate).await;
        }
    }
    n_bytes
}

async fn look(
    replicas: &Replicas,
    partition: &Arc<Partition>,
    from: ScrubFrom,
) -> Option<Scrubbed> {
    let (looking, partition) = (replicas.clone(), Arc::clone(partition));
    let look = move || partition.scrub(&looking, from, Reach::Durable);
    replicas.tasks().run_blocking(look).await.flatten()
}

/// Keeps to the rate; returns when the bytes read so far are paid for.
async fn pause(replicas: &Replicas, due: Instant, n_bytes: u64, rate: u64) -> Instant {
    let now = replicas.clock().now();
    let share = Duration::from_nanos(n_bytes.saturating_mul(1_000_000_000) / rate);
    let due = due.max(now.checked_sub(SLEEP_MIN).unwrap_or(now)) + share;
    if due > now + SLEEP_MIN {
        replicas.clock().sleep_until(due).await;
    }
    due
}

impl Partition {
    /// Looks at some batches from `from` on; `None` at the end, or where the replica went offline.
    fn scrub(
        self: &Arc<Self>,
        replicas: &Replicas,
        from: ScrubFrom,
        reach: Reach,
    ) -> Option<Scrubbed> {
        let part = {
            let state = self.lock();
            if state.failure().is_some() {
                return None;
            }
            state.log.scrub_part(from, reach.of(&state), PART_BYTES)
        };
        let suspicion = match part {
            Ok(part) => match part?.check() {
                Ok(scrubbed) => return Some(scrubbed),
                Err(error) => error,
            },
            Err(error) => error,
        };
        debug!(partition = %self.name(), error = %suspicion, "looks a second time");
        self.confirm(replicas, from, reach)
    }

    /// The second look, under the lock: nothing is cut or swapped meanwhile.
    fn confirm(
        self: &Arc<Self>,
        replicas: &Replicas,
        from: ScrubFrom,
        reach: Reach,
    ) -> Option<Scrubbed> {
        let mut state = self.lock();
        if state.failure().is_some() {
            return None;
        }
        let found = state.log.scrub_part(from, reach.of(&state), PART_BYTES);
        match found.and_then(|part| part.map(|it| it.check()).transpose()) {
            Ok(scrubbed) => scrubbed,
            Err(error) => {
                self.found_wrong(replicas, &mut state, &error);
                None
            }
        }
    }

    fn found_wrong(&self, replicas: &Replicas, state: &mut State, error: &LogError) {
        if error.trouble() == Trouble::Neither {
            info!(partition = %self.name(), %error, "a log could not be looked at");
            return;
        }
        error!(
            partition = %self.name(),
            %error,
            "records on disk are not what was written; check the disk. Once another replica leads, this \
             one is fetched anew from it; when it is the only one, bring its folder back from a copy"
        );
        replicas.metrics().damaged_logs.increment();
        self.fail(state, error);
    }
}

impl Reach {
    fn of(self, state: &State) -> Offset {
        match self {
            Self::Durable => state.log.recovery_point(),
            Self::Appended => state.log.log_end_offset(),
        }
    }
}
