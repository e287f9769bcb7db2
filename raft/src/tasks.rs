//! The crate's only way to start a task; everything started ends with the node.

use std::future::Future;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::JoinSet;

/// Clones start tasks in one set.
#[derive(Clone, Debug)]
pub(crate) struct Tasks {
    set: Arc<Mutex<Option<JoinSet<()>>>>,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self {
            set: Arc::new(Mutex::new(Some(JoinSet::new()))),
        }
    }

    /// Does nothing once the node stops.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(set) = self.set.lock().as_mut() {
            while set.try_join_next().is_some() {}
            set.spawn(task);
        }
    }

    /// Ends every task at its next await, without waiting.
    pub(crate) fn abort(&self) {
        drop(self.set.lock().take());
    }

    /// Ends every task at its next await, and waits for that.
    pub(crate) async fn stop(&self) {
        let set = self.set.lock().take();
        if let Some(mut set) = set {
            set.shutdown().await;
        }
    }
}

/// Runs work that waits for a disk where it delays nobody.
#[allow(
    clippy::disallowed_methods,
    reason = "this is the door; short work that must finish even when the node stops"
)]
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)
}

/// A last task that outlives its starter; none where no runtime is left to run it.
pub(crate) fn detached(task: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        drop(runtime.spawn(task));
    }
}
