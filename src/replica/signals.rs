//! What partitions tell the loops around them, without ever waiting: which ISR changes to propose, which
//! logs have segments nobody reads, that replicas went offline or can be fetched again. Which have bytes to sync: `unsynced`.
//!
//! Bounded by construction: each partition stands in each set at most once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use drave_protocol::ids::{Offset, TopicIdPartition};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::leader::Proposal;
use super::partition::Partition;

#[derive(Debug, Default)]
pub(super) struct Signals {
    proposals: Mutex<BTreeMap<TopicIdPartition, (Arc<Partition>, Proposal)>>,
    proposal_added: Notify,
    offline: Notify,
    let_go: Mutex<BTreeMap<TopicIdPartition, Arc<Partition>>>,
    let_go_added: Notify,
    fetchable: Mutex<BTreeSet<TopicIdPartition>>,
    fetchable_added: Notify,
    retry: Notify,
    suspects: Mutex<BTreeMap<TopicIdPartition, (Arc<Partition>, Offset)>>,
    suspect_added: Notify,
    failure: Mutex<Option<String>>,
    failed: Notify,
}

impl Signals {
    pub(super) fn propose(&self, partition: &Arc<Partition>, proposal: Proposal) {
        let entry = (Arc::clone(partition), proposal);
        self.proposals.lock().insert(partition.id(), entry);
        self.proposal_added.notify_one();
    }

    pub(super) async fn take_proposals(&self) -> Vec<(Arc<Partition>, Proposal)> {
        loop {
            let taken = self.drain_proposals();
            if !taken.is_empty() {
                return taken;
            }
            self.proposal_added.notified().await;
        }
    }

    /// All there are, none perhaps.
    pub(super) fn drain_proposals(&self) -> Vec<(Arc<Partition>, Proposal)> {
        let taken = std::mem::take(&mut *self.proposals.lock());
        taken.into_values().collect()
    }

    /// Lets go of the partitions nobody took: they hold these signals, too.
    pub(super) fn clear(&self) {
        self.proposals.lock().clear();
        self.let_go.lock().clear();
        self.suspects.lock().clear();
    }

    /// The partition's log starts later than it did: there may be segments to remove.
    pub(super) fn let_go(&self, partition: &Arc<Partition>) {
        self.let_go
            .lock()
            .insert(partition.id(), Arc::clone(partition));
        self.let_go_added.notify_one();
    }

    pub(super) async fn take_let_go(&self) -> Vec<Arc<Partition>> {
        loop {
            let taken = std::mem::take(&mut *self.let_go.lock());
            if !taken.is_empty() {
                return taken.into_values().collect();
            }
            self.let_go_added.notified().await;
        }
    }

    /// A replica that was left out of its fetcher's fetches need not be any more.
    pub(super) fn can_be_fetched(&self, id: TopicIdPartition) {
        self.fetchable.lock().insert(id);
        self.fetchable_added.notify_one();
    }

    pub(super) async fn take_fetchable(&self) -> BTreeSet<TopicIdPartition> {
        loop {
            let taken = std::mem::take(&mut *self.fetchable.lock());
            if !taken.is_empty() {
                return taken;
            }
            self.fetchable_added.notified().await;
        }
    }

    /// Replicas went offline, or came back.
    pub(super) fn tell_offline(&self) {
        self.offline.notify_one();
    }

    pub(super) async fn offline_changed(&self) {
        self.offline.notified().await;
    }

    /// Something seems to be wrong with what lies at `offset`.
    pub(super) fn suspect(&self, partition: &Arc<Partition>, offset: Offset) {
        let entry = (Arc::clone(partition), offset);
        self.suspects.lock().insert(partition.id(), entry);
        self.suspect_added.notify_one();
    }

    pub(super) async fn suspected(&self) -> (Arc<Partition>, Offset) {
        loop {
            let first = self.suspects.lock().pop_first();
            if let Some((_, suspect)) = first {
                return suspect;
            }
            self.suspect_added.notified().await;
        }
    }

    /// Replicas whose trouble may have passed are to be opened again.
    pub(super) fn tell_retry(&self) {
        self.retry.notify_one();
    }

    pub(super) async fn to_retry(&self) {
        self.retry.notified().await;
    }

    /// The node must not go on. The first failure is kept: it is the cause, the rest follow from it.
    pub(super) fn node_failed(&self, reason: String) {
        self.failure.lock().get_or_insert(reason);
        self.failed.notify_waiters();
        self.failed.notify_one();
    }

    pub(super) async fn disk_failure(&self) -> String {
        loop {
            let waiting = self.failed.notified();
            if let Some(reason) = self.failure.lock().clone() {
                return reason;
            }
            waiting.await;
        }
    }
}
