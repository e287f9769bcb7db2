//! What a cut of the power may take where acks do not wait for disks (`log.flush.mode=async`), and what it took.
//!
//! Promise: a record counts as allowed to go only if it was acked less than `allowed` before the next cut.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cli::verify::windows::millis;
use crate::oracle::event::{Event, Item, Lane};
use crate::oracle::verdict::{Kind, Verdict};

#[derive(Debug)]
pub(super) struct Losses {
    allowed: Duration,
    acked: BTreeMap<(Lane, u64), Instant>,
    kept: BTreeSet<(u32, i32, u64)>,
    cuts: Vec<Instant>,
}

/// What went with the power, and was allowed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) n: u64,
    /// Of the record that was acked longest before the power went.
    pub(super) oldest: Duration,
    pub(super) allowed: Duration,
}

impl Losses {
    pub(super) fn new(allowed: Duration) -> Self {
        Self {
            allowed,
            acked: BTreeMap::new(),
            kept: BTreeSet::new(),
            cuts: Vec::new(),
        }
    }

    pub(super) fn power_went(&mut self, at: Instant) {
        self.cuts.push(at);
    }

    /// Returns what the oracle is to see: it takes an offset that was acked for one that stays.
    pub(super) fn see(&mut self, event: &Event, now: Instant) -> Event {
        match event {
            Event::Acked { lane, first, n, .. } => {
                for number in (*first..).take(usize::try_from(*n).unwrap_or_default()) {
                    self.acked.insert((*lane, number), now);
                }
                Event::Acked {
                    lane: *lane,
                    first: *first,
                    n: *n,
                    offset: None,
                }
            }
            Event::Kept {
                partition, items, ..
            } => {
                for item in items {
                    if let Item::Record(producer, number) = item {
                        self.kept.insert((*producer, *partition, *number));
                    }
                }
                event.clone()
            }
            Event::Producer { .. }
            | Event::Sent { .. }
            | Event::Read { .. }
            | Event::Marks { .. }
            | Event::Led { .. } => event.clone(),
        }
    }

    /// Takes out of the verdict what was allowed to go.
    pub(super) fn judge(&self, verdict: &mut Verdict) -> Loss {
        verdict.counts.remove(&Kind::LostWrite);
        verdict.told.retain(|it| it.kind != Kind::LostWrite);
        let mut loss = Loss {
            allowed: self.allowed,
            ..Loss::default()
        };
        for ((lane, number), acked) in &self.acked {
            if self
                .kept
                .contains(&(lane.producer, lane.partition, *number))
            {
                continue;
            }
            let next = self.cuts.iter().find(|it| *it >= acked);
            let age = next.map(|it| it.saturating_duration_since(*acked));
            match age {
                Some(age) if age <= self.allowed => {
                    loss.n += 1;
                    loss.oldest = loss.oldest.max(age);
                }
                Some(age) => {
                    let what = format!(
                        "{lane} record {number} was acked {} ms before the power went and is gone",
                        age.as_millis()
                    );
                    verdict.add(Kind::LostWrite, 1, what);
                }
                None => {
                    let what = format!(
                        "{lane} record {number} was acked after the last cut of the power and is gone"
                    );
                    verdict.add(Kind::LostWrite, 1, what);
                }
            }
        }
        loss
    }
}

impl Loss {
    pub(super) fn json(&self) -> Value {
        json!({
            "n": self.n,
            "oldest_ms": millis(self.oldest),
            "allowed_ms": millis(self.allowed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const LANE: Lane = Lane {
        producer: 0,
        partition: 0,
    };

    fn acked(first: u64) -> Event {
        Event::Acked {
            lane: LANE,
            first,
            n: 1,
            offset: Some(7),
        }
    }

    #[test]
    fn what_was_acked_just_before_the_power_went_may_go_and_nothing_else() {
        let start = Clock::system().now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut losses = Losses::new(Duration::from_secs(5));
        losses.see(&acked(0), at(0));
        losses.see(&acked(1), at(1));
        losses.see(&acked(2), at(8));
        losses.power_went(at(10));
        losses.see(&acked(3), at(11));
        let kept = Event::Kept {
            partition: 0,
            base: 0,
            items: vec![Item::Record(0, 0)],
        };
        losses.see(&kept, at(12));
        let mut verdict = Verdict::default();
        let loss = losses.judge(&mut verdict);
        assert_eq!((loss.n, loss.oldest), (1, Duration::from_secs(2)));
        assert_eq!(verdict.count(Kind::LostWrite), 2, "{:?}", verdict.told);
    }
}
