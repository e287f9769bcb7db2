//! Somebody who waits on several partitions at once.

use std::sync::Arc;

use super::fetch::Watching;
use super::partition::Partition;
use super::purgatory::{WaitFor, Watch};

/// Leaves every partition it entered, also when the wait is given up half-way.
pub(super) struct Entered {
    watch: Arc<Watch>,
    _watching: Vec<Watching>,
}

impl Entered {
    pub(super) fn new(partitions: &[Arc<Partition>], what: WaitFor) -> Self {
        let watch = Arc::default();
        // Whichever moves, all are looked at: one place is enough.
        let watching = partitions
            .iter()
            .map(|it| Watching::enter(it, what, (&watch, 0)));
        Self {
            _watching: watching.collect(),
            watch,
        }
    }

    /// Something moved in one of them since the last call.
    pub(super) async fn woken(&self) {
        self.watch.woken().await;
    }
}
