//! When a batch is due, by the rate alone: whoever is late does not move what comes after.

use std::time::{Duration, Instant};

#[derive(Clone, Debug)]
pub(super) struct Pace {
    start: Instant,
    /// Between two batches of this client.
    every: Duration,
    n_records: u32,
    n_done: u32,
}

/// A batch that is due: when, and how long before each of its records came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) at: Instant,
    /// The first record has waited this long for its batch, the last not at all.
    pub(super) gathered: Duration,
}

impl Pace {
    /// One of `n_lanes` clients that share `rate` records a second, by turns.
    pub(super) fn new(start: Instant, rate: u32, n_records: u32, lane: u32, n_lanes: u32) -> Self {
        let n_lanes = n_lanes.max(1);
        let seconds = f64::from(n_records) * f64::from(n_lanes) / f64::from(rate);
        let every = Duration::from_secs_f64(seconds);
        Self {
            start: start + every * lane / n_lanes,
            every,
            n_records,
            n_done: 0,
        }
    }

    pub(super) fn next(&mut self) -> Due {
        let at = self.start + self.every * self.n_done;
        self.n_done += 1;
        let gathered = self.every * (self.n_records - 1) / self.n_records;
        Due { at, gathered }
    }
}

impl Due {
    /// All of it came at once.
    pub(super) fn at(at: Instant) -> Self {
        Self {
            at,
            gathered: Duration::ZERO,
        }
    }

    /// When record `i` of `n` came.
    pub(super) fn record_at(&self, i: u32, n: u32) -> Instant {
        let waited = if n > 1 {
            self.gathered * (n - 1 - i) / (n - 1)
        } else {
            Duration::ZERO
        };
        self.at.checked_sub(waited).unwrap_or(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn two_clients_take_turns_and_together_keep_the_rate() {
        let start = Clock::system().now();
        let mut lanes = [0, 1].map(|lane| Pace::new(start, 1000, 10, lane, 2));
        let dues: Vec<u128> = (0..4)
            .flat_map(|_| [0, 1])
            .map(|lane| (lanes[lane].next().at - start).as_millis())
            .collect();
        assert_eq!(dues, [0, 10, 20, 30, 40, 50, 60, 70]);
    }

    #[test]
    fn the_first_record_of_a_batch_came_first() {
        let start = Clock::system().now();
        let mut pace = Pace::new(start, 1000, 11, 0, 1);
        pace.next();
        let due = pace.next();
        let came = |i| (due.record_at(i, 11) - start).as_micros();
        assert_eq!([came(0), came(5), came(10)], [1_000, 6_000, 11_000]);
    }
}
