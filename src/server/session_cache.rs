//! The fetch sessions of one node, and which of them go when there are too many. Pure.
//!
//! Invariants: there are at most as many sessions as slots, with at most `PARTITIONS_MAX` partitions together.
//! A session in use is safe for its first two minutes; after that a follower's takes the place of a
//! consumer's, and a larger one that of a smaller; one idle for two minutes goes first (KIP-227).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Kafka's `MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS`.
const SAFE_FOR: Duration = Duration::from_mins(2);
/// Bounds what strangers make a node remember: some 200 bytes for each.
const PARTITIONS_MAX: usize = 1_000_000;

/// Whose session it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Privilege {
    Consumer,
    Follower,
}

#[derive(Debug)]
pub(crate) struct SessionCache<S> {
    n_slots: usize,
    kept: BTreeMap<i32, Kept<S>>,
    n_partitions: usize,
}

#[derive(Debug)]
struct Kept<S> {
    session: S,
    privilege: Privilege,
    n_partitions: usize,
    opened: Instant,
    used: Instant,
}

/// A session that wants to be kept.
#[derive(Debug)]
pub(crate) struct Candidate<S> {
    pub(crate) session: S,
    pub(crate) privilege: Privilege,
    pub(crate) n_partitions: usize,
}

/// What became of a candidate.
#[derive(Debug)]
pub(crate) struct Offered<S> {
    /// `None`: there was no room, and the reader goes on without.
    pub(crate) id: Option<i32>,
    pub(crate) evicted: Vec<S>,
}

impl<S: Clone> SessionCache<S> {
    pub(crate) fn new(n_slots: usize) -> Self {
        Self {
            n_slots,
            kept: BTreeMap::new(),
            n_partitions: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(crate) fn n_partitions(&self) -> usize {
        self.n_partitions
    }

    pub(crate) fn find(&self, id: i32) -> Option<S> {
        self.kept.get(&id).map(|it| it.session.clone())
    }

    /// A request was begun in the session, which now has so many partitions. One that grew beyond all bounds
    /// is returned: it is kept no longer.
    pub(crate) fn used(&mut self, id: i32, n_partitions: usize, now: Instant) -> Option<S> {
        let kept = self.kept.get_mut(&id)?;
        self.n_partitions = self.n_partitions - kept.n_partitions + n_partitions;
        kept.n_partitions = n_partitions;
        kept.used = now;
        if self.n_partitions > PARTITIONS_MAX {
            return self.remove(id);
        }
        None
    }

    pub(crate) fn remove(&mut self, id: i32) -> Option<S> {
        let kept = self.kept.remove(&id)?;
        self.n_partitions -= kept.n_partitions;
        Some(kept.session)
    }

    /// `draw` gives any number.
    pub(crate) fn offer(
        &mut self,
        candidate: Candidate<S>,
        now: Instant,
        mut draw: impl FnMut() -> u64,
    ) -> Offered<S> {
        let mut evicted = Vec::new();
        while !self.has_room_for(candidate.n_partitions) {
            let Some(id) = self.evictable_for(&candidate, now) else {
                return Offered { id: None, evicted };
            };
            evicted.extend(self.remove(id));
        }
        let id = loop {
            // Positive, and hard to hit for whoever did not open it.
            let id = i32::try_from(draw() >> 33).unwrap_or_default();
            if id > 0 && !self.kept.contains_key(&id) {
                break id;
            }
        };
        self.n_partitions += candidate.n_partitions;
        let kept = Kept {
            session: candidate.session,
            privilege: candidate.privilege,
            n_partitions: candidate.n_partitions,
            opened: now,
            used: now,
        };
        self.kept.insert(id, kept);
        let id = Some(id);
        Offered { id, evicted }
    }

    fn has_room_for(&self, n_partitions: usize) -> bool {
        self.kept.len() < self.n_slots && self.n_partitions + n_partitions <= PARTITIONS_MAX
    }

    fn evictable_for(&self, candidate: &Candidate<S>, now: Instant) -> Option<i32> {
        let (idle, least_used) = self.kept.iter().min_by_key(|(_, it)| it.used)?;
        if now.saturating_duration_since(least_used.used) > SAFE_FOR {
            return Some(*idle);
        }
        let old = self.kept.iter().filter(|(_, it)| {
            let is_reachable = it.privilege <= candidate.privilege;
            is_reachable && now.saturating_duration_since(it.opened) > SAFE_FOR
        });
        let (id, least) = old.min_by_key(|(_, it)| it.worth())?;
        (least.worth() < (candidate.privilege, candidate.n_partitions)).then_some(*id)
    }
}

impl<S> Kept<S> {
    fn worth(&self) -> (Privilege, usize) {
        (self.privilege, self.n_partitions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Story {
        cache: SessionCache<&'static str>,
        now: Instant,
        drawn: u64,
        evicted: Vec<&'static str>,
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "any starting point will do; it is moved by hand"
    )]
    fn cache_of(n_slots: usize) -> Story {
        Story {
            cache: SessionCache::new(n_slots),
            now: Instant::now(),
            drawn: 0,
            evicted: Vec::new(),
        }
    }

    impl Story {
        fn offer(&mut self, name: &'static str, privilege: Privilege, size: usize) -> Option<i32> {
            let candidate = Candidate {
                session: name,
                privilege,
                n_partitions: size,
            };
            let drawn = &mut self.drawn;
            let offered = self.cache.offer(candidate, self.now, || {
                *drawn += 1 << 33;
                *drawn
            });
            self.evicted.extend(offered.evicted);
            assert!(self.cache.len() <= self.cache.n_slots);
            offered.id
        }

        fn passes(&mut self, time: Duration) {
            self.now += time;
        }

        fn use_all(&mut self) {
            let all: Vec<(i32, usize)> = self
                .cache
                .kept
                .iter()
                .map(|(id, it)| (*id, it.n_partitions))
                .collect();
            for (id, size) in all {
                assert_eq!(self.cache.used(id, size, self.now), None);
            }
        }
    }

    use Privilege::{Consumer, Follower};

    #[test]
    fn a_young_session_in_use_is_safe_from_everyone() {
        let mut story = cache_of(1);
        assert!(story.offer("first", Consumer, 1).is_some());
        story.passes(SAFE_FOR);
        story.use_all();
        assert_eq!(story.offer("follower", Follower, 1000), None);
        assert_eq!(story.evicted, [""; 0]);
    }

    #[test]
    fn a_larger_session_takes_the_place_of_a_smaller_once_that_is_old() {
        let mut story = cache_of(2);
        let small = story.offer("small", Consumer, 3).unwrap();
        story.offer("large", Consumer, 30).unwrap();
        story.passes(SAFE_FOR + Duration::from_millis(1));
        story.use_all();
        assert_eq!(story.offer("as small", Consumer, 3), None);
        assert!(story.offer("larger", Consumer, 4).is_some());
        assert_eq!(story.cache.find(small), None);
        assert_eq!(story.evicted, ["small"]);
        assert_eq!(story.cache.n_partitions(), 34);
    }

    #[test]
    fn a_followers_session_goes_for_no_consumer_and_a_consumers_for_any_follower() {
        let mut story = cache_of(2);
        let consumer = story.offer("consumer", Consumer, 500).unwrap();
        let follower = story.offer("follower", Follower, 1).unwrap();
        story.passes(SAFE_FOR * 2);
        story.use_all();
        assert!(story.offer("another follower", Follower, 1).is_some());
        assert_eq!(story.cache.find(consumer), None);
        story.passes(SAFE_FOR * 2);
        story.use_all();
        assert_eq!(story.offer("consumer", Consumer, 900), None);
        assert!(story.cache.find(follower).is_some());
        assert!(story.offer("a larger follower", Follower, 2).is_some());
    }

    #[test]
    fn an_idle_session_goes_first_whoever_it_is() {
        let mut story = cache_of(2);
        let follower = story.offer("follower", Follower, 500).unwrap();
        story.passes(SAFE_FOR);
        story.offer("consumer", Consumer, 1).unwrap();
        story.passes(Duration::from_millis(1));
        assert!(story.offer("new", Consumer, 1).is_some());
        assert_eq!(story.cache.find(follower), None);
    }

    #[test]
    fn all_sessions_together_hold_a_bounded_number_of_partitions() {
        let mut story = cache_of(10);
        let first = story.offer("first", Consumer, PARTITIONS_MAX - 1).unwrap();
        assert_eq!(story.offer("second", Consumer, 2), None);
        let other = story.offer("third", Consumer, 1).unwrap();
        assert_eq!(
            story.cache.used(other, 2, story.now),
            Some("third"),
            "grown too large"
        );
        assert!(story.cache.find(first).is_some());
        assert_eq!(story.cache.n_partitions(), PARTITIONS_MAX - 1);
    }

    #[test]
    fn no_slots_means_no_sessions() {
        let mut story = cache_of(0);
        assert_eq!(story.offer("first", Follower, 1), None);
    }

    #[test]
    fn an_id_that_is_taken_or_not_positive_is_drawn_again() {
        let mut story = cache_of(2);
        let mut drawn = [0, 5 << 33, 5 << 33, u64::MAX].into_iter();
        let mut offer = |session| {
            let candidate = Candidate {
                session,
                privilege: Consumer,
                n_partitions: 1,
            };
            let draw = || drawn.next().unwrap();
            story.cache.offer(candidate, story.now, draw).id
        };
        assert_eq!(offer("first"), Some(5));
        assert_eq!(offer("second"), Some(i32::MAX));
    }
}
