//! Stands in for the crate of this name, with the part of it that openraft uses.
//!
//! openraft counts the sizes of its batches in histograms. On first use the original computes and
//! keeps lookup tables of sixteen widths: 26 MB of every node, measured, more than all the rest.
//! This one has a bucket per power of two, so its percentiles are right to a factor of two, in half
//! a kilobyte. `Cargo.toml` puts it in the other's place; openraft is pinned exactly, so an update
//! that asks for more of it does not compile, rather than misbehave.

use std::fmt;
use std::marker::PhantomData;

/// One for each number of significant bits of a `u64`: 0, 1, 2 to 3, 4 to 7, …
const N_BUCKETS: usize = 65;

/// How often values of each magnitude were recorded. `T` is what the original attaches to slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    buckets: [u64; N_BUCKETS],
    slots: PhantomData<T>,
}

impl<T> Histogram<T> {
    #[must_use]
    pub fn new() -> Self {
        Self {
            buckets: [0; N_BUCKETS],
            slots: PhantomData,
        }
    }

    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// The same value `n` times.
    pub fn record_n(&mut self, value: u64, n: u64) {
        let significant_bits = u64::BITS - value.leading_zeros();
        let bucket = usize::try_from(significant_bits).unwrap_or(N_BUCKETS - 1);
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count = count.saturating_add(n);
        }
    }

    #[must_use]
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats {
            samples: self.samples(),
            p0_1: self.permille(1),
            p1: self.permille(10),
            p5: self.permille(50),
            p10: self.permille(100),
            p50: self.permille(500),
            p90: self.permille(900),
            p99: self.permille(990),
            p99_9: self.permille(999),
        }
    }

    fn samples(&self) -> u64 {
        self.buckets
            .iter()
            .fold(0, |sum, it| sum.saturating_add(*it))
    }

    /// The largest value of the bucket in which that share of the samples is reached; 0 when empty.
    fn permille(&self, share: u64) -> u64 {
        let wanted = u128::from(self.samples()) * u128::from(share);
        let mut seen = 0;
        for (n_bits, count) in (0_u32..).zip(&self.buckets) {
            seen += u128::from(*count) * 1000;
            if *count > 0 && seen >= wanted {
                return u64::MAX.checked_shr(u64::BITS - n_bits).unwrap_or(0);
            }
        }
        0
    }
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// What a histogram says in nine numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PercentileStats {
    pub samples: u64,
    pub p0_1: u64,
    pub p1: u64,
    pub p5: u64,
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            samples,
            p50,
            p99,
            p99_9,
            ..
        } = self;
        write!(
            f,
            "[samples: {samples}, P50: {p50}, P99: {p99}, P99.9: {p99_9}]"
        )
    }
}

/// Several histograms under their names, a line each.
#[derive(Clone, Debug, Default)]
pub struct AsciiChart {
    lines: Vec<(String, PercentileStats)>,
}

impl AsciiChart {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    #[allow(
        clippy::should_implement_trait,
        clippy::needless_pass_by_value,
        reason = "the original's name and form"
    )]
    pub fn add(mut self, name: &str, histogram: Histogram) -> Self {
        self.lines
            .push((name.to_owned(), histogram.percentile_stats()));
        self
    }
}

impl fmt::Display for AsciiChart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, stats) in &self.lines {
            writeln!(f, "{name}: {stats}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_a_factor_of_two() {
        let mut histogram = Histogram::<()>::new();
        assert_eq!(histogram.percentile_stats().p99, 0);
        for value in 1..=1000 {
            histogram.record(value);
        }
        let stats = histogram.percentile_stats();
        assert_eq!(stats.samples, 1000);
        assert!((500..1000).contains(&stats.p50), "{stats}");
        assert!((990..1980).contains(&stats.p99), "{stats}");
    }

    #[test]
    fn the_smallest_and_the_largest_value_have_a_bucket() {
        let mut histogram = Histogram::<()>::new();
        histogram.record(0);
        assert_eq!(histogram.percentile_stats().p50, 0);
        histogram.record(u64::MAX);
        assert_eq!(histogram.percentile_stats().p99_9, u64::MAX);
    }
}
