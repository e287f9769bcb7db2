//! Fetching as a follower: one loop per leading broker, over all partitions it leads for us.

mod request;
mod task;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use drave_protocol::ids::{NodeId, TopicIdPartition};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::partition::Partition;
use super::replicas::Replicas;

/// Which partition is fetched from which broker.
#[derive(Debug, Default)]
pub(super) struct Fetchers {
    by_leader: Mutex<BTreeMap<NodeId, Arc<Assignment>>>,
    leader_of: Mutex<BTreeMap<TopicIdPartition, NodeId>>,
}

/// What one loop fetches; the loop outlives any particular set.
#[derive(Debug, Default)]
pub(super) struct Assignment {
    partitions: Mutex<BTreeMap<TopicIdPartition, Arc<Partition>>>,
    changed: Notify,
}

impl Fetchers {
    /// Fetches `partition` from `leader` from now on, in whatever epoch it is now; `None`: from nobody.
    pub(super) fn place(
        &self,
        replicas: &Replicas,
        partition: &Arc<Partition>,
        leader: Option<NodeId>,
    ) {
        let id = partition.id();
        let before = match leader {
            Some(leader) => self.leader_of.lock().insert(id, leader),
            None => self.leader_of.lock().remove(&id),
        };
        if let Some(before) = before.filter(|it| Some(*it) != leader)
            && let Some(assignment) = self.by_leader.lock().get(&before)
        {
            assignment.partitions.lock().remove(&id);
        }
        if let Some(leader) = leader {
            let assignment = self.assignment(replicas, leader);
            assignment
                .partitions
                .lock()
                .insert(id, Arc::clone(partition));
            assignment.changed.notify_one();
        }
    }

    /// What kept these from being fetched has passed.
    fn wake(&self, partitions: &BTreeSet<TopicIdPartition>) {
        let leader_of = self.leader_of.lock();
        let leaders: BTreeSet<NodeId> = partitions
            .iter()
            .filter_map(|it| leader_of.get(it).copied())
            .collect();
        drop(leader_of);
        let by_leader = self.by_leader.lock();
        for assignment in leaders.iter().filter_map(|it| by_leader.get(it)) {
            assignment.changed.notify_one();
        }
    }

    /// What kept partitions from being fetched has passed.
    pub(super) fn wake_all(&self) {
        for assignment in self.by_leader.lock().values() {
            assignment.changed.notify_one();
        }
    }

    fn assignment(&self, replicas: &Replicas, leader: NodeId) -> Arc<Assignment> {
        let mut by_leader = self.by_leader.lock();
        let known = by_leader.entry(leader);
        let assignment = known.or_insert_with(|| {
            let assignment = Arc::new(Assignment::default());
            let fetching = task::run(replicas.clone(), leader, Arc::clone(&assignment));
            replicas.tasks().spawn("replica fetcher", fetching);
            assignment
        });
        Arc::clone(assignment)
    }
}

/// Wakes the fetchers of replicas whose last bytes reached a slow disk at last.
pub(super) async fn wake_when_durable(replicas: Replicas) {
    let tasks = replicas.tasks().clone();
    loop {
        tokio::select! {
            biased; // nothing to finish
            () = tasks.stopping() => return,
            partitions = replicas.signals().take_fetchable() => replicas.fetchers().wake(&partitions),
        }
    }
}

impl Assignment {
    fn partitions(&self) -> Vec<Arc<Partition>> {
        self.partitions.lock().values().cloned().collect()
    }

    async fn changed(&self) {
        self.changed.notified().await;
    }
}
