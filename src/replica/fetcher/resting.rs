//! Partitions in trouble, or copied at a bounded pace, rest before they are asked for again. Pure.
//!
//! Invariant: whether one rests is judged once for each request, and whoever waits for the next to have rested goes
//! by that moment: a rest that ends between the two would be slept through.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use drave_protocol::ids::TopicIdPartition;

/// A partition in trouble rests, doubling. Short at first: after an election a follower may hear of
/// its leader before the leader does, and produces wait for the follower.
const BACKOFF: Duration = Duration::from_millis(5);
const BACKOFF_MAX: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct Resting {
    by_id: BTreeMap<TopicIdPartition, Rest>,
    judged_at: Instant,
}

/// A partition that is not asked for before `until`.
#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Instant,
    pause: Duration,
}

impl Resting {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            by_id: BTreeMap::new(),
            judged_at: now,
        }
    }

    /// Judges by this moment until the next; those that have rested.
    pub(super) fn judge(&mut self, now: Instant) -> impl Iterator<Item = TopicIdPartition> {
        self.judged_at = now;
        let rested = self.by_id.iter().filter(move |(_, it)| it.until <= now);
        rested.map(|(id, _)| *id)
    }

    pub(super) fn rests(&self, id: TopicIdPartition) -> bool {
        self.by_id
            .get(&id)
            .is_some_and(|it| it.until > self.judged_at)
    }

    /// When the first of those that rest may be asked for again; it may have passed since they were judged.
    pub(super) fn next(&self) -> Option<Instant> {
        let rests = self.by_id.values().map(|it| it.until);
        rests.filter(|it| *it > self.judged_at).min()
    }

    pub(super) fn back_off(&mut self, id: TopicIdPartition, now: Instant) {
        let before = self.by_id.get(&id).map(|it| it.pause * 2);
        let pause = before.unwrap_or(BACKOFF).min(BACKOFF_MAX);
        let until = now + pause;
        self.by_id.insert(id, Rest { until, pause });
    }

    /// Not because of any trouble.
    pub(super) fn pace(&mut self, id: TopicIdPartition, until: Instant) {
        let pause = BACKOFF;
        self.by_id.insert(id, Rest { until, pause });
    }

    pub(super) fn remove(&mut self, id: TopicIdPartition) {
        self.by_id.remove(&id);
    }

    pub(super) fn end_all(&mut self) -> impl Iterator<Item = TopicIdPartition> + use<> {
        std::mem::take(&mut self.by_id).into_keys()
    }
}

#[cfg(test)]
mod tests {
    use drave_protocol::ids::Uuid;

    use super::*;
    use crate::clock::Clock;

    const ID: TopicIdPartition = TopicIdPartition {
        topic_id: Uuid([5; 16]),
        partition: 0,
    };

    #[test]
    fn a_rest_that_ends_after_it_was_judged_is_waited_for_and_then_over() {
        let now = Clock::system().now();
        let mut resting = Resting::new(now);
        resting.back_off(ID, now);
        assert_eq!(resting.judge(now).count(), 0);
        assert!(resting.rests(ID));
        // However late it is by now: nobody was told that it has rested.
        assert_eq!(resting.next(), Some(now + BACKOFF));
        assert!(resting.judge(now + BACKOFF).eq([ID]));
        assert!(!resting.rests(ID));
        assert_eq!(resting.next(), None);
    }

    #[test]
    fn trouble_that_lasts_makes_rests_longer_and_its_end_short_again() {
        let now = Clock::system().now();
        let mut resting = Resting::new(now);
        let rest = |resting: &mut Resting| {
            resting.back_off(ID, now);
            resting.next().unwrap() - now
        };
        let rests: Vec<u128> = (0..8).map(|_| rest(&mut resting).as_millis()).collect();
        assert_eq!(rests, [5, 10, 20, 40, 80, 160, 200, 200]);
        resting.remove(ID);
        assert_eq!(rest(&mut resting), BACKOFF);
    }
}
