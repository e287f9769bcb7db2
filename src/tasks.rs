//! The one door to concurrency: every task and thread has a name and an owner that can stop it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, warn};

/// The task set of one node. Clones share it.
#[derive(Clone)]
pub struct Tasks {
    shared: Arc<Shared>,
}

struct Shared {
    running: Mutex<JoinSet<()>>,
    stop: watch::Sender<bool>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    pub fn new() -> Self {
        let (stop, _) = watch::channel(false);
        Self {
            shared: Arc::new(Shared {
                running: Mutex::new(JoinSet::new()),
                stop,
            }),
        }
    }

    /// Runs `task` until it ends or `drain` gives up on it.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        // A future that awaits another one it was given holds its memory twice.
        let task = Box::pin(task);
        let mut running = self.shared.running.lock();
        // Ended tasks are forgotten here, so that the set follows what runs, not what ever ran.
        while let Some(ended) = running.try_join_next() {
            log_end(ended);
        }
        running.spawn(async move {
            task.await;
            debug!(task = name, "task ended");
        });
    }

    /// Runs `work`, which may block on the disk, on the blocking pool.
    ///
    /// Returns `None` when the pool is shutting down or `work` panicked.
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    pub async fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        tokio::task::spawn_blocking(work).await.ok()
    }

    /// Begins `work`, which may block on the disk, on the blocking pool. Nobody waits for its end, and a stop
    /// does not either.
    ///
    /// # Panics
    /// Outside of the runtime.
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    pub fn start_blocking(&self, work: impl FnOnce() + Send + 'static) {
        drop(tokio::task::spawn_blocking(work));
    }

    /// Asks every task that waits on `stopping` to end.
    pub fn stop(&self) {
        self.shared.stop.send_replace(true);
    }

    pub fn is_stopping(&self) -> bool {
        *self.shared.stop.borrow()
    }

    /// Resolves once `stop` was called.
    pub async fn stopping(&self) {
        let mut stop = self.shared.stop.subscribe();
        // The sender lives in `shared`, which `self` holds: the wait cannot fail.
        let _ = stop.wait_for(|stopped| *stopped).await;
    }

    /// Stops all tasks, waits up to `patience`, then aborts the rest.
    pub async fn drain(&self, patience: Duration) {
        self.stop();
        let mut running = std::mem::take(&mut *self.shared.running.lock());
        let all = async {
            while let Some(ended) = running.join_next().await {
                log_end(ended);
            }
        };
        if tokio::time::timeout(patience, all).await.is_err() {
            debug!(n_tasks = running.len(), "tasks still running are aborted");
            running.shutdown().await;
        }
    }
}

/// Runs `work`, which computes for long, on this thread; tasks that wait for the thread move to
/// another. Unlike with the blocking pool, the caller need not wait asynchronously.
pub fn in_place<T>(work: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|it| it.runtime_flavor());
    if matches!(flavor, Ok(RuntimeFlavor::MultiThread)) {
        tokio::task::block_in_place(work)
    } else {
        work() // nothing else could run here anyway
    }
}

/// Does `work` to each of these, up to `n_at_once` at a time, and returns when all are done. Blocks.
pub fn in_parallel<T: Sync>(all: &[T], n_at_once: usize, work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let run = || {
        while let Some(it) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(it);
        }
    };
    thread::scope(|scope| {
        for _ in 1..n_at_once.min(all.len()) {
            scope.spawn(run);
        }
        run();
    });
}

fn log_end(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        warn!(%error, "a task panicked");
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks")
            .field("stopping", &self.is_stopping())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_in_parallel_is_done_to_each_once() {
        let all: Vec<AtomicUsize> = (0..100).map(AtomicUsize::new).collect();
        in_parallel(&all, 7, |it| {
            it.fetch_add(1000, Ordering::Relaxed);
        });
        in_parallel(&[], 7, |(): &()| panic!("there is nothing to do"));
        let done = all.iter().map(|it| it.load(Ordering::Relaxed));
        assert!(done.eq(1000..1100));
    }

    #[tokio::test]
    async fn drain_ends_the_polite_and_aborts_the_stubborn() {
        let tasks = Tasks::new();
        let polite = tasks.clone();
        tasks.spawn("polite", async move { polite.stopping().await });
        tasks.spawn("stubborn", std::future::pending());
        tasks.drain(Duration::from_millis(20)).await;
        assert!(tasks.is_stopping());
    }
}
