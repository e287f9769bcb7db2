//! Tokens that come with time and go with use, as Kafka counts changes of metadata (KIP-599). Pure.
//!
//! Promise: over any time no more is taken than the limit gives in it, but for one full bucket and one request.

use std::time::{Duration, Instant};

/// What a bucket holds, in seconds of its limit: Kafka's `quota.window.num`, as it comes.
const BURST_SECONDS: f64 = 11.0;
/// The longest that throttle times on the wire can say.
const THROTTLE_MAX_SECONDS: f64 = 2_147_483.0;

#[derive(Clone, Debug)]
pub(super) struct Bucket {
    /// Below zero: more was taken than there was.
    tokens: f64,
    at: Instant,
    limit: f64,
}

impl Bucket {
    /// A full one.
    pub(super) fn of(limit: f64, now: Instant) -> Self {
        Self {
            tokens: limit * BURST_SECONDS,
            at: now,
            limit,
        }
    }

    /// Whether nothing is left. Whoever finds some may take more than that.
    pub(super) fn is_empty(&mut self, limit: f64, now: Instant) -> bool {
        self.fill(limit, now);
        self.tokens < 0.0
    }

    pub(super) fn take(&mut self, amount: f64, limit: f64, now: Instant) {
        self.fill(limit, now);
        self.tokens -= amount;
    }

    /// How long until there is something again.
    pub(super) fn wait(&self) -> Duration {
        let seconds = -self.tokens / self.limit;
        Duration::from_secs_f64(seconds.clamp(0.0, THROTTLE_MAX_SECONDS))
    }

    /// Whether it is as if nobody had taken anything.
    pub(super) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(self.limit, now);
        self.tokens >= self.limit * BURST_SECONDS
    }

    fn fill(&mut self, limit: f64, now: Instant) {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.limit = limit;
        self.tokens = (self.tokens + since * limit).min(limit * BURST_SECONDS);
        self.at = now;
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
    fn a_full_bucket_may_be_taken_at_once_and_then_it_comes_slowly() {
        let start = Clock::system().now();
        let mut bucket = Bucket::of(2.0, start);
        bucket.take(22.0, 2.0, start);
        assert!(!bucket.is_empty(2.0, start), "to the last token");
        bucket.take(4.0, 2.0, start);
        assert!(bucket.is_empty(2.0, start));
        assert_eq!(bucket.wait(), seconds(2.0));
        assert!(bucket.is_empty(2.0, start + seconds(1.9)));
        assert!(!bucket.is_empty(2.0, start + seconds(2.1)));
    }

    #[test]
    fn it_never_holds_more_than_a_burst_and_is_full_again_in_time() {
        let start = Clock::system().now();
        let mut bucket = Bucket::of(1.0, start);
        bucket.take(5.0, 1.0, start);
        assert!(!bucket.is_full(start + seconds(4.9)));
        assert!(bucket.is_full(start + seconds(5.1)));
        let late = start + seconds(1e6);
        bucket.take(12.0, 1.0, late);
        assert!(bucket.is_empty(1.0, late));
    }

    #[test]
    fn no_wait_is_longer_than_can_be_said() {
        let start = Clock::system().now();
        let mut bucket = Bucket::of(1e-9, start);
        bucket.take(1e12, 1e-9, start);
        assert_eq!(bucket.wait(), seconds(THROTTLE_MAX_SECONDS));
    }
}
