//! Counts and latencies of a run, one slot a client so that none waits for another.

use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

/// A latency is kept in microseconds, to three digits, up to this.
const LATENCY_MAX_US: u64 = 600_000_000;
const DIGITS: u8 = 3;

#[derive(Debug)]
pub(super) struct Meter {
    slots: Vec<Mutex<Tally>>,
}

/// What was counted, by one client or by all.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) n_requests: u64,
    pub(super) n_records: u64,
    pub(super) n_bytes: u64,
    pub(super) n_failed: u64,
    pub(super) first_failure: Option<String>,
    pub(super) latency: Histogram<u64>,
    /// From the start of what is counted to the last that was.
    pub(super) span: Duration,
}

impl Tally {
    fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX_US, DIGITS);
        Self {
            n_requests: 0,
            n_records: 0,
            n_bytes: 0,
            n_failed: 0,
            first_failure: None,
            latency: latency.expect("the bounds are a histogram's"),
            span: Duration::ZERO,
        }
    }

    pub(super) fn delay(&mut self, latency: Duration, n: u64) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latency.saturating_record_n(micros.max(1), n);
    }

    fn add(&mut self, other: &Self) {
        self.n_requests += other.n_requests;
        self.n_records += other.n_records;
        self.n_bytes += other.n_bytes;
        self.n_failed += other.n_failed;
        self.span = self.span.max(other.span);
        if self.first_failure.is_none() {
            self.first_failure.clone_from(&other.first_failure);
        }
        // Both have the same bounds.
        let _ = self.latency.add(&other.latency);
    }
}

impl Meter {
    pub(super) fn new(n_clients: u16) -> Self {
        let slots = (0..n_clients).map(|_| Mutex::new(Tally::new()));
        Self {
            slots: slots.collect(),
        }
    }

    pub(super) fn count(&self, client: usize, change: impl FnOnce(&mut Tally)) {
        if let Some(slot) = self.slots.get(client) {
            change(&mut slot.lock());
        }
    }

    pub(super) fn failed(&self, client: usize, why: &str) {
        self.count(client, |tally| {
            tally.n_failed += 1;
            tally.first_failure.get_or_insert_with(|| why.to_owned());
        });
    }

    pub(super) fn sum(&self) -> Tally {
        let mut sum = Tally::new();
        for slot in &self.slots {
            sum.add(&slot.lock());
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_of_all_clients() {
        let meter = Meter::new(2);
        for client in 0..2 {
            meter.count(client, |tally| {
                tally.n_records += 5;
                tally.delay(
                    Duration::from_millis(10 + 80 * u64::try_from(client).unwrap()),
                    5,
                );
            });
        }
        meter.failed(1, "refused");
        meter.failed(1, "again");
        let sum = meter.sum();
        assert_eq!((sum.n_records, sum.n_failed), (10, 2));
        assert_eq!(sum.first_failure.as_deref(), Some("refused"));
        assert!(sum.latency.value_at_quantile(0.5) < 11_000);
        assert!(sum.latency.max() >= 90_000);
    }
}
