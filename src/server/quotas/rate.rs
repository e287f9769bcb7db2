//! How much came in the last seconds, as Kafka counts it: the average over a row of short samples. Pure.
//!
//! Promises: an average never covers less time than all samples but the last, so that a burst after a
//! silence counts as part of it; memory is one number for each sample.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Kafka's `quota.window.num` and `quota.window.size.seconds`, as it comes.
const N_SAMPLES: u32 = 11;
const SAMPLE: Duration = Duration::from_secs(1);
/// The longest that throttle times on the wire can say.
const THROTTLE_MAX_SECONDS: f64 = 2_147_483.0;

#[derive(Clone, Debug, Default)]
pub(super) struct Rate {
    /// When each began, and what came in it; oldest first.
    samples: VecDeque<(Instant, f64)>,
}

impl Rate {
    pub(super) fn record(&mut self, amount: f64, now: Instant) {
        self.forget(now);
        match self.samples.back_mut() {
            Some((start, sum)) if now.saturating_duration_since(*start) < SAMPLE => *sum += amount,
            Some(_) | None => self.samples.push_back((now, amount)),
        }
    }

    /// How long nothing may come for the average to be `limit` a second.
    pub(super) fn excess(&mut self, limit: f64, now: Instant) -> Duration {
        self.forget(now);
        let seconds = self.covered(now).as_secs_f64();
        let total: f64 = self.samples.iter().map(|(_, sum)| sum).sum();
        let average = total / seconds;
        if average <= limit {
            return Duration::ZERO;
        }
        let wait = (average - limit) / limit * seconds;
        Duration::from_secs_f64(wait.clamp(0.0, THROTTLE_MAX_SECONDS))
    }

    /// Whether nothing that counts came lately.
    pub(super) fn is_silent(&mut self, now: Instant) -> bool {
        self.forget(now);
        self.samples.is_empty()
    }

    fn forget(&mut self, now: Instant) {
        let is_old = |(start, _): &(Instant, f64)| {
            now.saturating_duration_since(*start) >= SAMPLE * N_SAMPLES
        };
        while self.samples.front().is_some_and(is_old) {
            self.samples.pop_front();
        }
    }

    /// The time the samples stand for.
    fn covered(&self, now: Instant) -> Duration {
        let oldest = self.samples.front().map_or(now, |(start, _)| *start);
        let since = now.saturating_duration_since(oldest);
        // As if all samples but the last were whole.
        since.max(SAMPLE * (N_SAMPLES - 1) + Duration::from_nanos(u64::from(since.subsec_nanos())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn seconds(n: f64) -> Duration {
        Duration::from_secs_f64(n)
    }

    #[test]
    fn what_stays_below_the_limit_waits_for_nothing() {
        let (mut rate, start) = (Rate::default(), Clock::system().now());
        for second in 0..60 {
            let now = start + seconds(f64::from(second));
            rate.record(100.0, now);
            // The newest of eleven samples counts whole in what counts as ten seconds.
            assert_eq!(rate.excess(110.0, now), Duration::ZERO, "{second}");
        }
    }

    #[test]
    fn a_burst_waits_for_what_it_took_too_much() {
        let (mut rate, start) = (Rate::default(), Clock::system().now());
        // 2000 in what counts as ten seconds is 200 a second: twice the limit, so as long again.
        rate.record(2000.0, start);
        let wait = rate.excess(100.0, start);
        assert_eq!(wait, seconds(10.0));
    }

    #[test]
    fn who_waits_as_told_keeps_the_limit_in_the_long_run() {
        let (mut rate, start) = (Rate::default(), Clock::system().now());
        let (mut now, mut sent) = (start, 0.0);
        while now - start < seconds(300.0) {
            rate.record(700.0, now);
            sent += 700.0;
            now += rate.excess(1000.0, now) + seconds(0.05);
        }
        let average = sent / (now - start).as_secs_f64();
        assert!((900.0..1100.0).contains(&average), "{average}");
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let (mut rate, start) = (Rate::default(), Clock::system().now());
        rate.record(1e9, start);
        assert!(!rate.is_silent(start + seconds(10.9)));
        assert!(rate.is_silent(start + seconds(11.0)));
        assert_eq!(rate.excess(1.0, start + seconds(11.0)), Duration::ZERO);
    }

    #[test]
    fn no_wait_is_longer_than_can_be_said() {
        let (mut rate, now) = (Rate::default(), Clock::system().now());
        rate.record(1e300, now);
        assert_eq!(rate.excess(1.0, now), seconds(THROTTLE_MAX_SECONDS));
    }
}
