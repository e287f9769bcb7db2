//! The wall clock as retention and compaction believe it. Pure.
//!
//! Records are deleted by comparing their times with the clock's. A clock set years ahead by mistake
//! would make all of them old at once, and what is deleted does not come back when the clock does. So
//! a leap forward is believed only after it stood for an hour, time enough for time daemons and people;
//! until then time passes as the monotonic clock counts it. A clock that falls is believed at once:
//! nothing is lost by keeping records longer.

use std::time::{Duration, Instant};

use tracing::warn;

/// A clock may be ahead by this much without being suspected.
const TOLERANCE_MS: i64 = 5 * 60 * 1000;
/// How long a leap must stand before it is believed.
const PATIENCE: Duration = Duration::from_hours(1);

#[derive(Debug)]
pub(super) struct SteadyClock {
    believed_at: Instant,
    believed_ms: i64,
    leapt_at: Option<Instant>,
}

impl SteadyClock {
    /// `seen_ms`: a wall time known to have passed, as when this node last wrote a checkpoint. A clock
    /// set wrong while the node was down is noticed by it, though a long rest looks the same.
    pub(super) fn new(now: Instant, wall_ms: i64, seen_ms: Option<i64>) -> Self {
        let mut clock = Self {
            believed_at: now,
            believed_ms: seen_ms.unwrap_or(wall_ms),
            leapt_at: None,
        };
        clock.believe(now, wall_ms);
        clock
    }

    /// The time to judge records by, given what both clocks say.
    pub(super) fn believe(&mut self, now: Instant, wall_ms: i64) -> i64 {
        let passed = now.saturating_duration_since(self.believed_at).as_millis();
        let passed_ms = i64::try_from(passed).unwrap_or(i64::MAX);
        let expected_ms = self.believed_ms.saturating_add(passed_ms);
        let is_leap = wall_ms > expected_ms.saturating_add(TOLERANCE_MS);
        let leapt_at = is_leap.then(|| self.leapt_at.unwrap_or(now));
        let stands = leapt_at.is_some_and(|it| now.saturating_duration_since(it) >= PATIENCE);
        match (self.leapt_at, leapt_at) {
            (None, Some(_)) => warn!(
                from = expected_ms,
                to = wall_ms,
                "the wall clock leapt ahead, or this node was down or suspended; no record ages by the leap for an hour"
            ),
            (Some(_), None) => warn!(to = wall_ms, "the wall clock came back"),
            (Some(_), Some(_)) if stands => {
                warn!(
                    from = expected_ms,
                    to = wall_ms,
                    "the wall clock is believed again"
                );
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
        self.leapt_at = leapt_at.filter(|_| !stands);
        self.believed_at = now;
        self.believed_ms = if self.leapt_at.is_some() {
            expected_ms
        } else {
            wall_ms
        };
        self.believed_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const YEAR_MS: i64 = 365 * 86_400_000;
    const NOW_MS: i64 = 1_700_000_000_000;

    fn minutes(n: u64) -> Duration {
        Duration::from_mins(n)
    }

    fn minutes_ms(n: i64) -> i64 {
        60_000 * n
    }

    #[test]
    fn a_clock_that_walks_is_believed() {
        let start = Clock::system().now();
        let mut clock = SteadyClock::new(start, NOW_MS, None);
        for n in 1..100 {
            // A little fast, as after a correction.
            let wall_ms = NOW_MS + minutes_ms(n) + n * 1000;
            let now = start + minutes(n.unsigned_abs());
            assert_eq!(clock.believe(now, wall_ms), wall_ms);
        }
    }

    #[test]
    fn a_leap_ahead_is_believed_once_it_stood_for_an_hour() {
        let start = Clock::system().now();
        let mut clock = SteadyClock::new(start, NOW_MS, None);
        let leapt = |n| NOW_MS + YEAR_MS + minutes_ms(n);
        assert_eq!(
            clock.believe(start + minutes(5), leapt(5)),
            NOW_MS + minutes_ms(5)
        );
        assert_eq!(
            clock.believe(start + minutes(64), leapt(64)),
            NOW_MS + minutes_ms(64)
        );
        assert_eq!(clock.believe(start + minutes(65), leapt(65)), leapt(65));
        assert_eq!(clock.believe(start + minutes(70), leapt(70)), leapt(70));
    }

    #[test]
    fn a_leap_that_is_taken_back_costs_nothing() {
        let start = Clock::system().now();
        let mut clock = SteadyClock::new(start, NOW_MS, None);
        clock.believe(start + minutes(5), NOW_MS + YEAR_MS);
        let back = NOW_MS + minutes_ms(10);
        assert_eq!(clock.believe(start + minutes(10), back), back);
        // The next one waits its own hour.
        let again = clock.believe(start + minutes(69), NOW_MS + YEAR_MS);
        assert_eq!(again, NOW_MS + minutes_ms(69));
    }

    #[test]
    fn a_clock_that_falls_is_believed_at_once() {
        let start = Clock::system().now();
        let mut clock = SteadyClock::new(start, NOW_MS, None);
        let fallen = NOW_MS - YEAR_MS;
        assert_eq!(clock.believe(start + minutes(1), fallen), fallen);
    }

    #[test]
    fn a_clock_set_ahead_while_the_node_was_down_is_noticed() {
        let start = Clock::system().now();
        let mut clock = SteadyClock::new(start, NOW_MS + YEAR_MS, Some(NOW_MS));
        assert_eq!(clock.believe(start, NOW_MS + YEAR_MS), NOW_MS);
        let mut clock = SteadyClock::new(start, NOW_MS + 1_000, Some(NOW_MS));
        assert_eq!(clock.believe(start, NOW_MS + 1_000), NOW_MS + 1_000);
    }
}
