//! The logs of one directory that have bytes to sync: those whose turn has come, in the order they came,
//! and those that may wait until a time.
//!
//! Invariants: a log stands in each at most once, so both are bounded by the logs of the directory; a log
//! is synced by one worker at a time, and once more for what was appended meanwhile; there are never more
//! than `N_WORKERS_MAX` workers, and none while nothing waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use drave_protocol::ids::TopicIdPartition;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::partition::Partition;

/// Files synced at once. They share the file system's journal commits: more gain nothing, each is a thread.
const N_WORKERS_MAX: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Unsynced {
    queue: Mutex<Queue<Arc<Partition>>>,
    later: Mutex<BTreeMap<(Instant, TopicIdPartition), Arc<Partition>>>,
    changed: Notify,
}

impl Unsynced {
    /// To be synced as soon as there is a worker.
    pub(super) fn mark(&self, partition: &Arc<Partition>) {
        let is_new = self
            .queue
            .lock()
            .mark(partition.id(), || Arc::clone(partition));
        if is_new {
            self.changed.notify_one();
        }
    }

    /// To be synced at that time.
    pub(super) fn mark_for(&self, due: Instant, partition: &Arc<Partition>) {
        let mut later = self.later.lock();
        let is_first = later.first_key_value().is_none_or(|((it, _), _)| due < *it);
        later.insert((due, partition.id()), Arc::clone(partition));
        drop(later);
        if is_first {
            self.changed.notify_one();
        }
    }

    /// As if it had not been marked for that time.
    pub(super) fn unmark(&self, due: Instant, partition: &Partition) {
        self.later.lock().remove(&(due, partition.id()));
    }

    /// Those whose time has come are marked. Returns when the next one's comes.
    pub(super) fn mark_due(&self, now: Instant) -> Option<Instant> {
        loop {
            let mut later = self.later.lock();
            let first = later.first_entry()?;
            let (due, _) = *first.key();
            if due > now {
                return Some(due);
            }
            let partition = first.remove();
            drop(later);
            if partition.offline().is_none() {
                self.mark(&partition);
            }
        }
    }

    /// The first log for a new worker, if one waits and one more worker may be.
    pub(super) fn begin(&self) -> Option<Arc<Partition>> {
        self.queue.lock().begin()
    }

    /// The next log for a worker that is done with one; `None`: it ends.
    pub(super) fn go_on(&self, done: &Partition) -> Option<Arc<Partition>> {
        self.queue.lock().go_on(done.id())
    }

    /// A worker ends in the middle of a log.
    pub(super) fn give_up(&self, partition: &Partition) {
        self.queue.lock().give_up(partition.id());
        self.changed.notify_one();
    }

    /// There is more to do than before.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// Where a log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Waits,
    IsSynced,
    /// What is being synced does not hold all of it.
    IsSyncedAndWaits,
}

#[derive(Debug)]
struct Queue<L> {
    /// In the order of their turns.
    waiting: VecDeque<TopicIdPartition>,
    standing: BTreeMap<TopicIdPartition, (Standing, L)>,
    n_workers: usize,
}

impl<L> Default for Queue<L> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            standing: BTreeMap::new(),
            n_workers: 0,
        }
    }
}

impl<L: Clone> Queue<L> {
    /// Whether it waits now and did not before, and a new worker might take it.
    fn mark(&mut self, id: TopicIdPartition, log: impl FnOnce() -> L) -> bool {
        match self.standing.get_mut(&id) {
            None => {
                self.standing.insert(id, (Standing::Waits, log()));
                self.waiting.push_back(id);
                self.n_workers < N_WORKERS_MAX
            }
            Some((standing, held)) => {
                // One that left and came back under the same name is another log.
                *held = log();
                if *standing == Standing::IsSynced {
                    *standing = Standing::IsSyncedAndWaits;
                }
                false
            }
        }
    }

    fn begin(&mut self) -> Option<L> {
        if self.n_workers == N_WORKERS_MAX {
            return None;
        }
        let log = self.next()?;
        self.n_workers += 1;
        Some(log)
    }

    fn go_on(&mut self, done: TopicIdPartition) -> Option<L> {
        self.settle(done);
        let log = self.next();
        if log.is_none() {
            self.n_workers -= 1;
        }
        log
    }

    fn give_up(&mut self, id: TopicIdPartition) {
        self.settle(id);
        self.n_workers -= 1;
    }

    fn next(&mut self) -> Option<L> {
        let id = self.waiting.pop_front()?;
        let (standing, log) = self.standing.get_mut(&id).expect("what waits stands here");
        *standing = Standing::IsSynced;
        Some(log.clone())
    }

    fn settle(&mut self, done: TopicIdPartition) {
        match self.standing.get_mut(&done) {
            Some((standing @ Standing::IsSyncedAndWaits, _)) => {
                *standing = Standing::Waits;
                self.waiting.push_back(done);
            }
            Some((Standing::IsSynced, _)) => drop(self.standing.remove(&done)),
            Some((Standing::Waits, _)) | None => panic!("{done:?} is not being synced"),
        }
    }
}

#[cfg(test)]
mod tests {
    use drave_protocol::ids::Uuid;

    use super::*;

    fn id(partition: i32) -> TopicIdPartition {
        TopicIdPartition {
            topic_id: Uuid([1; 16]),
            partition,
        }
    }

    fn marked(queue: &mut Queue<i32>, partition: i32) -> bool {
        queue.mark(id(partition), || partition)
    }

    #[test]
    fn logs_have_their_turns_in_the_order_they_came() {
        let mut queue = Queue::default();
        assert!(marked(&mut queue, 7) && marked(&mut queue, 3));
        assert!(!marked(&mut queue, 7), "it stands here already");
        assert_eq!(queue.begin(), Some(7));
        assert_eq!(queue.go_on(id(7)), Some(3));
        assert_eq!(queue.go_on(id(3)), None);
        assert!(queue.standing.is_empty() && queue.n_workers == 0);
    }

    #[test]
    fn what_comes_while_a_log_is_synced_has_a_turn_of_its_own_after_those_that_wait() {
        let mut queue = Queue::default();
        marked(&mut queue, 1);
        assert_eq!(queue.begin(), Some(1));
        marked(&mut queue, 2);
        assert!(!marked(&mut queue, 1), "no second worker for one log");
        assert_eq!(queue.go_on(id(1)), Some(2));
        assert_eq!(queue.begin(), Some(1), "another worker may take it now");
        assert_eq!(queue.go_on(id(2)), None);
        assert_eq!(queue.go_on(id(1)), None);
        assert!(queue.standing.is_empty() && queue.n_workers == 0);
    }

    #[test]
    fn there_are_never_more_workers_than_are_allowed() {
        let mut queue = Queue::default();
        let n_logs = i32::try_from(N_WORKERS_MAX).unwrap() + 1;
        for partition in 0..n_logs {
            marked(&mut queue, partition);
        }
        let begun: Vec<i32> = std::iter::from_fn(|| queue.begin()).collect();
        assert_eq!(begun.len(), N_WORKERS_MAX);
        assert!(!marked(&mut queue, n_logs), "nobody is to be called");
        assert_eq!(queue.go_on(id(0)), Some(n_logs - 1), "and nobody is needed");
    }

    #[test]
    fn a_log_begun_anew_takes_the_place_of_the_one_before() {
        let mut queue = Queue::default();
        assert!(queue.mark(id(1), || "old"));
        assert!(!queue.mark(id(1), || "new"));
        assert_eq!(queue.begin(), Some("new"), "while it waits");
        assert!(!queue.mark(id(1), || "newer"));
        assert_eq!(queue.go_on(id(1)), Some("newer"), "and while it is synced");
        assert_eq!(queue.go_on(id(1)), None);
    }

    #[test]
    fn a_worker_that_ends_in_the_middle_of_a_log_leaves_the_place_to_another() {
        let mut queue = Queue::default();
        marked(&mut queue, 1);
        assert_eq!(queue.begin(), Some(1));
        marked(&mut queue, 1);
        queue.give_up(id(1));
        assert_eq!(queue.n_workers, 0);
        assert_eq!(queue.begin(), Some(1));
    }
}
