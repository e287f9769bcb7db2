//! How fast throttled replicas are copied: budgets of bytes a second, one for what this broker sends as a
//! leader, one for what it fetches as a follower.
//!
//! A budget holds at most what one second brings. A batch comes whole, so a budget may be overdrawn; then
//! nothing more is copied until the debt is paid. Pure but for the locks.

use std::time::{Duration, Instant};

use drave_protocol::ids::{NodeId, Offset};
use parking_lot::Mutex;

use crate::config::{BrokerConfig, TopicConfig};

use super::partition::{Partition, Role};
use super::read::Fetched;
use super::replicas::Replicas;

/// Kafka's way to say "no limit".
const UNLIMITED: i64 = i64::MAX;
/// A debt is paid back within this, however large the batch was.
const DEBT_MAX: Duration = Duration::from_secs(10);

/// Whether a replica is one of those a topic names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paced {
    sent: bool,
    fetched: bool,
}

impl Paced {
    pub(super) fn of(topic: &TopicConfig, partition: i32, node: NodeId) -> Self {
        let (sent, fetched) = (
            &topic.leader_replication_throttled_replicas,
            &topic.follower_replication_throttled_replicas,
        );
        Self {
            sent: sent.names(partition, node),
            fetched: fetched.names(partition, node),
        }
    }
}

impl Replicas {
    /// What a follower is sent: nothing of a paced replica while the budget is spent, unless the follower is
    /// in sync. As in Kafka what those in sync are sent counts all the same.
    pub(super) fn paced(
        &self,
        partition: &Partition,
        follower: NodeId,
        fetched: Fetched,
    ) -> Fetched {
        if fetched.records.is_none() || !partition.paced().sent {
            return fetched;
        }
        let now = self.clock().now();
        if !partition.has_in_sync(follower) && self.throttle().holds_back(now) {
            return Fetched {
                records: None,
                ..fetched
            };
        }
        self.throttle().sent(fetched.n_bytes(), now);
        fetched
    }

    /// How long a paced replica that is behind its leader waits before it fetches again.
    pub(super) fn pause_after(
        &self,
        partition: &Partition,
        n_bytes: usize,
        leader_high_watermark: Offset,
    ) -> Option<Duration> {
        if n_bytes == 0 || !partition.paced().fetched {
            return None;
        }
        let pause = self.throttle().fetched(n_bytes, self.clock().now());
        let is_behind = partition.lock().log.log_end_offset() < leader_high_watermark;
        pause.filter(|_| is_behind)
    }
}

impl Partition {
    fn paced(&self) -> Paced {
        self.lock().policy.paced
    }

    fn has_in_sync(&self, follower: NodeId) -> bool {
        match &self.lock().role {
            Role::Leader(leader) => leader.isr().contains(&follower),
            Role::Follower { .. } | Role::Idle => false,
        }
    }
}

#[derive(Debug)]
pub(super) struct Throttle {
    sent: Mutex<Budget>,
    fetched: Mutex<Budget>,
}

impl Throttle {
    pub(super) fn new(config: &BrokerConfig, now: Instant) -> Self {
        Self {
            sent: Mutex::new(Budget::new(config.leader_replication_throttled_rate, now)),
            fetched: Mutex::new(Budget::new(config.follower_replication_throttled_rate, now)),
        }
    }

    pub(super) fn set_rates(&self, sent: i64, fetched: i64, now: Instant) {
        self.sent.lock().set_rate(sent, now);
        self.fetched.lock().set_rate(fetched, now);
    }

    /// Whether a follower that is not in sync is to wait.
    pub(super) fn holds_back(&self, now: Instant) -> bool {
        self.sent.lock().wait(now).is_some()
    }

    pub(super) fn sent(&self, n_bytes: usize, now: Instant) {
        self.sent.lock().spend(n_bytes, now);
    }

    /// Counts what was fetched; how long a replica that is behind is to wait before it fetches more.
    pub(super) fn fetched(&self, n_bytes: usize, now: Instant) -> Option<Duration> {
        let mut budget = self.fetched.lock();
        budget.spend(n_bytes, now);
        budget.wait(now)
    }
}

/// A token bucket.
#[derive(Debug)]
struct Budget {
    rate: i64,
    left: i64,
    filled_at: Instant,
}

impl Budget {
    fn new(rate: i64, now: Instant) -> Self {
        Self {
            rate,
            left: rate,
            filled_at: now,
        }
    }

    fn set_rate(&mut self, rate: i64, now: Instant) {
        if rate != self.rate {
            *self = Self::new(rate, now);
        }
    }

    fn spend(&mut self, n_bytes: usize, now: Instant) {
        if self.rate == UNLIMITED {
            return;
        }
        self.fill(now);
        let spent = i64::try_from(n_bytes).unwrap_or(i64::MAX);
        let seconds = i64::try_from(DEBT_MAX.as_secs()).unwrap_or(1);
        let debt_max = self.rate.saturating_mul(seconds);
        self.left = self.left.saturating_sub(spent).max(-debt_max);
    }

    /// How long until something is left; `None`: now.
    fn wait(&mut self, now: Instant) -> Option<Duration> {
        if self.rate == UNLIMITED {
            return None;
        }
        self.fill(now);
        if self.left > 0 {
            return None;
        }
        let missing = u64::try_from(1 - self.left).unwrap_or(u64::MAX);
        let rate = u64::try_from(self.rate).unwrap_or(0);
        let ms = missing.saturating_mul(1000).checked_div(rate);
        Some(
            ms.map_or(DEBT_MAX, |it| Duration::from_millis(it + 1))
                .min(DEBT_MAX),
        )
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled_at).as_millis();
        let passed = i64::try_from(passed).unwrap_or(i64::MAX).min(60_000);
        let earned = self.rate.saturating_mul(passed) / 1000;
        if earned > 0 {
            self.left = self.left.saturating_add(earned).min(self.rate);
            self.filled_at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(
        clippy::disallowed_methods,
        reason = "any starting point will do; it is moved by hand"
    )]
    fn start() -> Instant {
        Instant::now()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn over_many_seconds_the_rate_is_kept() {
        let mut now = start();
        let mut budget = Budget::new(1_000_000, now);
        let (began, mut n_bytes) = (now, 0_u64);
        while now < began + 20 * SECOND {
            if let Some(wait) = budget.wait(now) {
                now += wait;
            } else {
                budget.spend(300_000, now);
                n_bytes += 300_000;
            }
        }
        // What was there at the start, and what one batch overdraws, come on top.
        assert!((20_000_000..=21_500_000).contains(&n_bytes), "{n_bytes}");
    }

    #[test]
    fn nothing_is_saved_up_and_a_debt_has_its_bounds() {
        let now = start();
        let mut budget = Budget::new(1000, now);
        budget.spend(1000, now);
        assert!(budget.wait(now).is_some());
        assert_eq!(budget.wait(now + 100 * SECOND), None);
        assert_eq!(budget.left, 1000);
        budget.spend(100_000_000, now + 100 * SECOND);
        assert_eq!(budget.wait(now + 100 * SECOND), Some(DEBT_MAX));
    }

    #[test]
    fn no_rate_is_no_limit_and_a_rate_of_nothing_holds_everything_back() {
        let now = start();
        let config = BrokerConfig::from_pairs([]).unwrap();
        let throttle = Throttle::new(&config, now);
        assert_eq!(throttle.fetched(usize::MAX, now), None);
        throttle.sent(usize::MAX, now);
        assert!(!throttle.holds_back(now));
        throttle.set_rates(0, 0, now);
        assert!(throttle.holds_back(now + 100 * SECOND));
        assert_eq!(throttle.fetched(1, now), Some(DEBT_MAX));
        throttle.set_rates(UNLIMITED, UNLIMITED, now);
        assert!(!throttle.holds_back(now));
    }
}
