//! Fetching as a follower: one loop per leading broker, over all partitions it leads for us.

mod request;
mod resting;
mod session;
mod task;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use drave_protocol::ids::{LeaderEpoch, NodeId, TopicIdPartition};
use parking_lot::Mutex;

use super::fetch::Watching;
use super::partition::Partition;
use super::purgatory::{WaitFor, Watch};
use super::replicas::Replicas;

/// Which partition is fetched from which broker.
#[derive(Debug, Default)]
pub(super) struct Fetchers {
    by_leader: Mutex<BTreeMap<NodeId, Arc<Assignment>>>,
    leader_of: Mutex<BTreeMap<TopicIdPartition, NodeId>>,
}

/// What one loop fetches, and what of it changed; the loop outlives any particular set.
#[derive(Debug, Default)]
pub(super) struct Assignment {
    assigned: Mutex<Assigned>,
    watch: Arc<Watch>,
}

#[derive(Debug, Default)]
struct Assigned {
    by_id: BTreeMap<TopicIdPartition, Placed>,
    by_place: BTreeMap<u32, TopicIdPartition>,
    next_place: u32,
    /// Those that came, went, or follow in another epoch since they were last asked for.
    changed: BTreeSet<TopicIdPartition>,
}

#[derive(Debug)]
struct Placed {
    partition: Arc<Partition>,
    leader_epoch: LeaderEpoch,
    place: u32,
    _watching: Watching,
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
            assignment.remove(id);
        }
        if let Some(leader) = leader {
            self.assignment(replicas, leader).insert(partition);
        }
    }

    /// What kept these from being fetched has passed.
    fn wake(&self, partitions: &BTreeSet<TopicIdPartition>) {
        let leader_of = self.leader_of.lock();
        let mut by_leader: BTreeMap<NodeId, Vec<TopicIdPartition>> = BTreeMap::new();
        for id in partitions {
            if let Some(leader) = leader_of.get(id) {
                by_leader.entry(*leader).or_default().push(*id);
            }
        }
        drop(leader_of);
        let assignments = self.by_leader.lock();
        for (leader, ids) in by_leader {
            if let Some(assignment) = assignments.get(&leader) {
                assignment.change(ids);
            }
        }
    }

    /// What kept partitions from being fetched has passed.
    pub(super) fn wake_all(&self) {
        for assignment in self.by_leader.lock().values() {
            assignment.change_all();
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
    /// News of what is the same as before changes nothing.
    fn insert(&self, partition: &Arc<Partition>) {
        let (id, leader_epoch) = (partition.id(), partition.leader_epoch());
        let mut assigned = self.assigned.lock();
        if let Some(known) = assigned.by_id.get_mut(&id)
            && Arc::ptr_eq(&known.partition, partition)
        {
            let before = std::mem::replace(&mut known.leader_epoch, leader_epoch);
            if before == leader_epoch {
                return;
            }
        } else {
            assigned.remove(id);
            let place = assigned.next_place;
            assigned.next_place = place.wrapping_add(1);
            let placed = Placed {
                partition: Arc::clone(partition),
                leader_epoch,
                place,
                _watching: Watching::enter(partition, WaitFor::Position, (&self.watch, place)),
            };
            assigned.by_place.insert(place, id);
            assigned.by_id.insert(id, placed);
        }
        assigned.changed.insert(id);
        drop(assigned);
        self.watch.wake();
    }

    fn remove(&self, id: TopicIdPartition) {
        let mut assigned = self.assigned.lock();
        assigned.remove(id);
        assigned.changed.insert(id);
    }

    fn change(&self, ids: Vec<TopicIdPartition>) {
        self.assigned.lock().changed.extend(ids);
        self.watch.wake();
    }

    fn change_all(&self) {
        let assigned = self.assigned.lock();
        let all: Vec<TopicIdPartition> = assigned.by_id.keys().copied().collect();
        drop(assigned);
        self.change(all);
    }

    fn partition(&self, id: TopicIdPartition) -> Option<Arc<Partition>> {
        let assigned = self.assigned.lock();
        assigned.by_id.get(&id).map(|it| Arc::clone(&it.partition))
    }

    /// Those whose position may not be what it was when this was last asked.
    fn take_changed(&self) -> BTreeSet<TopicIdPartition> {
        let marked = self.watch.take_marked();
        let mut assigned = self.assigned.lock();
        let mut changed = std::mem::take(&mut assigned.changed);
        let ids = marked.iter().filter_map(|it| assigned.by_place.get(it));
        changed.extend(ids.copied());
        changed
    }

    async fn changed(&self) {
        self.watch.woken().await;
    }
}

impl Assigned {
    fn remove(&mut self, id: TopicIdPartition) {
        if let Some(gone) = self.by_id.remove(&id) {
            self.by_place.remove(&gone.place);
        }
    }
}
