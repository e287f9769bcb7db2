//! The deadlines of one shard in one order, so that thousands of members need one timer.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use crate::coordinator::decision::{TimerChange, TimerKey};

/// Invariant: a key has one deadline at most, and is in both maps or in none.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_deadline: BTreeSet<(Instant, TimerKey)>,
    deadlines: HashMap<TimerKey, Instant>,
}

impl Timers {
    pub(super) fn apply(&mut self, change: TimerChange) {
        match change {
            TimerChange::Set { key, at } => {
                self.cancel(&key);
                self.deadlines.insert(key.clone(), at);
                self.by_deadline.insert((at, key));
            }
            TimerChange::Cancel { key } => self.cancel(&key),
        }
    }

    fn cancel(&mut self, key: &TimerKey) {
        if let Some(at) = self.deadlines.remove(key) {
            self.by_deadline.remove(&(at, key.clone()));
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.by_deadline.first().map(|(at, _)| *at)
    }

    /// Takes one that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<TimerKey> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.by_deadline.pop_first()?;
        self.deadlines.remove(&key);
        Some(key)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.deadlines.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::coordinator::decision::TimerKind;

    #[test]
    fn the_last_word_on_a_deadline_counts() {
        let start = Clock::system().now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let key = |member: &str| TimerKey::of_member("g", member, TimerKind::Session);
        let set = |member, seconds| TimerChange::Set {
            key: key(member),
            at: at(seconds),
        };
        let mut timers = Timers::default();
        for change in [set("a", 5), set("b", 3), set("a", 9), set("c", 1)] {
            timers.apply(change);
        }
        timers.apply(TimerChange::Cancel { key: key("c") });
        assert_eq!((timers.next(), timers.len()), (Some(at(3)), 2));
        assert_eq!(timers.take_due(at(2)), None);
        assert_eq!(timers.take_due(at(5)), Some(key("b")));
        assert_eq!(timers.take_due(at(8)), None, "a was heard of meanwhile");
        assert_eq!(timers.take_due(at(9)), Some(key("a")));
        assert_eq!((timers.next(), timers.len()), (None, 0));
    }
}
