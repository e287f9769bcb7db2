//! How long a partition was without an ack, and which faults there were meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Gaps shorter than this are how acks come.
const NOTICED: Duration = Duration::from_millis(250);
/// Upper bounds of the histogram's rows, in milliseconds.
const BOUNDS_MS: [u64; 6] = [500, 1_000, 2_000, 5_000, 10_000, u64::MAX];

#[derive(Debug, Default)]
pub(super) struct Windows {
    last_ack: BTreeMap<i32, Instant>,
    faults: Vec<Span>,
    counts: [u64; BOUNDS_MS.len()],
    longest: Duration,
    longest_by_fault: BTreeMap<&'static str, Duration>,
}

#[derive(Debug)]
struct Span {
    number: usize,
    kind: &'static str,
    from: Instant,
    to: Option<Instant>,
}

impl Windows {
    pub(super) fn acked(&mut self, partition: i32, at: Instant) {
        let Some(before) = self.last_ack.insert(partition, at) else {
            return;
        };
        let gap = at.saturating_duration_since(before);
        if gap < NOTICED {
            return;
        }
        let millis = u64::try_from(gap.as_millis()).unwrap_or(u64::MAX);
        let mut rows = self.counts.iter_mut().zip(BOUNDS_MS);
        if let Some((count, _)) = rows.find(|(_, bound)| millis < *bound) {
            *count += 1;
        }
        self.longest = self.longest.max(gap);
        for kind in self.kinds_between(before, at) {
            let longest = self.longest_by_fault.entry(kind).or_default();
            *longest = (*longest).max(gap);
        }
    }

    pub(super) fn began(&mut self, number: usize, kind: &'static str, at: Instant) {
        self.faults.push(Span {
            number,
            kind,
            from: at,
            to: None,
        });
    }

    pub(super) fn ended(&mut self, number: usize, at: Instant) {
        let mut faults = self.faults.iter_mut();
        if let Some(span) = faults.find(|it| it.number == number) {
            span.to = Some(at);
        }
    }

    /// Partitions that wait for an ack just now, and the longest of the waits.
    pub(super) fn open(&self, now: Instant) -> (usize, Duration) {
        let waits = self.last_ack.values();
        let waits = waits.map(|it| now.saturating_duration_since(*it));
        let waits: Vec<Duration> = waits.filter(|it| *it >= NOTICED).collect();
        (waits.len(), waits.into_iter().max().unwrap_or_default())
    }

    pub(super) fn longest(&self) -> Duration {
        self.longest
    }

    pub(super) fn rows(&self) -> Vec<(String, u64)> {
        let mut from = u64::try_from(NOTICED.as_millis()).unwrap_or(u64::MAX);
        let row = |(count, bound): (&u64, u64)| {
            let name = if bound == u64::MAX {
                format!("{from} ms and more")
            } else {
                format!("{from} to {bound} ms")
            };
            from = bound;
            (name, *count)
        };
        self.counts.iter().zip(BOUNDS_MS).map(row).collect()
    }

    pub(super) fn longest_by_fault(&self) -> &BTreeMap<&'static str, Duration> {
        &self.longest_by_fault
    }

    pub(super) fn json(&self) -> Value {
        let rows = self.rows().into_iter();
        let by_fault = self.longest_by_fault.iter();
        json!({
            "longest_ms": millis(self.longest),
            "histogram": rows.map(|(name, n)| json!({"window": name, "n": n})).collect::<Vec<_>>(),
            "longest_ms_by_fault": by_fault
                .map(|(kind, it)| ((*kind).to_owned(), json!(millis(*it))))
                .collect::<serde_json::Map<_, _>>(),
        })
    }

    fn kinds_between(&self, from: Instant, to: Instant) -> BTreeSet<&'static str> {
        let meets = |it: &&Span| it.from < to && it.to.is_none_or(|end| end > from);
        self.faults.iter().filter(meets).map(|it| it.kind).collect()
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_gap_is_put_down_to_the_faults_that_were_there() {
        let start = Clock::system().now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut windows = Windows::default();
        windows.acked(0, at(0));
        windows.acked(0, at(100));
        windows.began(0, "pause", at(150));
        windows.ended(0, at(180));
        windows.began(1, "kill", at(200));
        assert_eq!(windows.open(at(1_300)).0, 1);
        windows.acked(0, at(1_300));
        assert_eq!(windows.longest(), Duration::from_millis(1_200));
        let n: Vec<u64> = windows.rows().into_iter().map(|(_, n)| n).collect();
        assert_eq!(n, [0, 0, 1, 0, 0, 0]);
        let kinds: Vec<_> = windows.longest_by_fault().keys().copied().collect();
        assert_eq!(kinds, ["kill", "pause"]);
        windows.ended(1, at(1_400));
        windows.acked(0, at(1_700));
        assert_eq!(
            windows.longest_by_fault()["pause"],
            Duration::from_millis(1_200)
        );
    }
}
