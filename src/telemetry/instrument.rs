//! Counters, gauges and histograms, alone or by label, and their Prometheus text.
//!
//! Invariants: a counter and a histogram never fall; a histogram's `+Inf` bucket equals its count.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

/// Something that can be written as Prometheus text under a name and labels.
pub trait Instrument: Default {
    /// `counter`, `gauge` or `histogram`.
    const KIND: &'static str;

    fn render(&self, name: &str, labels: &str, page: &mut String);
}

/// Counts up.
#[derive(Debug, Default)]
pub struct Counter {
    value: AtomicU64,
}

impl Counter {
    pub fn increment(&self) {
        self.add(1);
    }

    pub fn add(&self, n: u64) {
        self.value.fetch_add(n, Ordering::Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}

impl Instrument for Counter {
    const KIND: &'static str = "counter";

    fn render(&self, name: &str, labels: &str, page: &mut String) {
        sample(page, name, labels, self.value());
    }
}

/// Goes up and down.
#[derive(Debug, Default)]
pub struct Gauge {
    value: AtomicI64,
}

impl Gauge {
    pub fn set(&self, value: i64) {
        self.value.store(value, Ordering::Relaxed);
    }

    /// Sets a count of things, or an index.
    pub fn set_count<N: TryInto<i64>>(&self, n: N) {
        self.set(n.try_into().unwrap_or(i64::MAX));
    }

    pub fn add(&self, n: i64) {
        self.value.fetch_add(n, Ordering::Relaxed);
    }

    pub fn value(&self) -> i64 {
        self.value.load(Ordering::Relaxed)
    }
}

impl Instrument for Gauge {
    const KIND: &'static str = "gauge";

    fn render(&self, name: &str, labels: &str, page: &mut String) {
        sample(page, name, labels, self.value());
    }
}

/// Upper bounds of the buckets, in microseconds, and as Prometheus shows them, in seconds.
const BUCKETS: [(u64, &str); 14] = [
    (100, "0.0001"),
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (1_000_000, "1"),
    (5_000_000, "5"),
    (30_000_000, "30"),
];

/// How long things took, in seconds.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Counts of the buckets alone; they are summed when shown.
    buckets: [AtomicU64; BUCKETS.len()],
    beyond: AtomicU64,
    sum_us: AtomicU64,
}

impl Histogram {
    pub fn observe(&self, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bounds = BUCKETS.iter().zip(&self.buckets);
        let bucket = bounds.into_iter().find(|((bound, _), _)| took_us <= *bound);
        let count = bucket.map_or(&self.beyond, |(_, count)| count);
        count.fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(took_us, Ordering::Relaxed);
    }

    pub fn count(&self) -> u64 {
        let buckets: u64 = self
            .buckets
            .iter()
            .map(|it| it.load(Ordering::Relaxed))
            .sum();
        buckets + self.beyond.load(Ordering::Relaxed)
    }
}

impl Instrument for Histogram {
    const KIND: &'static str = "histogram";

    fn render(&self, name: &str, labels: &str, page: &mut String) {
        let bucket = format!("{name}_bucket");
        let comma = if labels.is_empty() { "" } else { "," };
        let mut total = 0;
        for ((_, bound), count) in BUCKETS.iter().zip(&self.buckets) {
            total += count.load(Ordering::Relaxed);
            sample(
                page,
                &bucket,
                &format!("{labels}{comma}le=\"{bound}\""),
                total,
            );
        }
        total += self.beyond.load(Ordering::Relaxed);
        sample(page, &bucket, &format!("{labels}{comma}le=\"+Inf\""), total);
        let sum_us = self.sum_us.load(Ordering::Relaxed);
        let sum = format!("{}.{:06}", sum_us / 1_000_000, sum_us % 1_000_000);
        sample(page, &format!("{name}_sum"), labels, sum);
        sample(page, &format!("{name}_count"), labels, total);
    }
}

/// One instrument for each combination of label values.
#[derive(Debug)]
pub struct ByLabel<T> {
    names: &'static [&'static str],
    /// In the order of the values: found by borrowed ones, which no map of owned ones allows.
    by_values: RwLock<Vec<(Vec<String>, Arc<T>)>>,
}

impl<T: Instrument> ByLabel<T> {
    pub fn new(names: &'static [&'static str]) -> Self {
        Self {
            names,
            by_values: RwLock::default(),
        }
    }

    /// The instrument for these values, in the order of the labels. Costs no memory once it is there.
    pub fn with(&self, values: &[&str]) -> Arc<T> {
        debug_assert_eq!(values.len(), self.names.len(), "a value for each label");
        if let Ok(found) = find(&self.by_values.read(), values) {
            return found;
        }
        let mut known = self.by_values.write();
        find(&known, values).unwrap_or_else(|place| {
            let owned = values.iter().map(|it| (*it).to_owned()).collect();
            let new = Arc::<T>::default();
            known.insert(place, (owned, Arc::clone(&new)));
            new
        })
    }

    /// Forgets every combination whose first value is this: a deleted topic leaves no ghost.
    pub fn forget(&self, first_value: &str) {
        let mut by_values = self.by_values.write();
        by_values.retain(|(values, _)| values.first().is_none_or(|it| it != first_value));
    }

    pub(super) fn render(&self, name: &str, page: &mut String) {
        for (values, instrument) in self.by_values.read().iter() {
            let pair = |(label, value): (&&str, &String)| format!("{label}=\"{}\"", escaped(value));
            let labels: Vec<String> = self.names.iter().zip(values).map(pair).collect();
            instrument.render(name, &labels.join(","), page);
        }
    }
}

/// What is there under these values, or its place.
fn find<T>(known: &[(Vec<String>, Arc<T>)], values: &[&str]) -> Result<Arc<T>, usize> {
    let place = known.binary_search_by(|(it, _)| {
        let known = it.iter().map(String::as_str);
        known.cmp(values.iter().copied())
    })?;
    known.get(place).map(|(_, it)| Arc::clone(it)).ok_or(place)
}

fn escaped(value: &str) -> String {
    let backslashes = value.replace('\\', "\\\\");
    backslashes.replace('"', "\\\"").replace('\n', "\\n")
}

fn sample(page: &mut String, name: &str, labels: &str, value: impl fmt::Display) {
    // Writing to a string cannot fail.
    let _ = if labels.is_empty() {
        writeln!(page, "{name} {value}")
    } else {
        writeln!(page, "{name}{{{labels}}} {value}")
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_each_observation_once_and_sums_its_buckets() {
        let histogram = Histogram::default();
        for ms in [1, 1, 70_000] {
            histogram.observe(Duration::from_millis(ms));
        }
        let mut page = String::new();
        histogram.render("took", "api=\"Fetch\"", &mut page);
        assert!(
            page.contains("took_bucket{api=\"Fetch\",le=\"0.0005\"} 0\n"),
            "{page}"
        );
        assert!(
            page.contains("took_bucket{api=\"Fetch\",le=\"0.001\"} 2\n"),
            "{page}"
        );
        assert!(
            page.contains("took_bucket{api=\"Fetch\",le=\"+Inf\"} 3\n"),
            "{page}"
        );
        assert!(
            page.contains("took_sum{api=\"Fetch\"} 70.002000\n"),
            "{page}"
        );
        assert!(page.contains("took_count{api=\"Fetch\"} 3\n"), "{page}");
    }

    #[test]
    fn labels_are_escaped_and_forgotten_with_their_topic() {
        let by_topic = ByLabel::<Counter>::new(&["topic"]);
        by_topic.with(&["a\"b"]).add(2);
        by_topic.with(&["gone"]).increment();
        by_topic.forget("gone");
        let mut page = String::new();
        by_topic.render("in", &mut page);
        assert_eq!(page, "in{topic=\"a\\\"b\"} 2\n");
    }
}
