//! Somebody who waits on several partitions at once.

use std::sync::Arc;

use super::partition::Partition;
use super::purgatory::{WaitFor, Waiter};

/// Leaves every partition it entered, also when the wait is given up half-way.
pub(super) struct Entered<'a> {
    waiter: Arc<Waiter>,
    partitions: &'a [Arc<Partition>],
}

impl<'a> Entered<'a> {
    pub(super) fn new(partitions: &'a [Arc<Partition>], what: WaitFor) -> Self {
        let waiter = Arc::default();
        for partition in partitions {
            partition.enter(what, &waiter);
        }
        Self { waiter, partitions }
    }

    /// Something moved in one of them since the last call.
    pub(super) async fn woken(&self) {
        self.waiter.woken().await;
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        for partition in self.partitions {
            partition.leave(&self.waiter);
        }
    }
}
