//! Which old segments a log may drop: by age, by size, or because the log starts behind them. Pure.
//!
//! Invariants: segments go oldest first and none is skipped; none goes that reaches beyond the upper
//! bound, so the log never starts above what is committed; an active segment that is empty stays.
//! A segment whose largest timestamp lies ahead of the clock is young: it waits, as in Kafka.

use drave_protocol::ids::Offset;

use crate::config::LogConfig;

/// Why a segment goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// All of it lies below the log start offset.
    BelowLogStart,
    /// Without it the log is still at least `retention.bytes` large.
    Size,
    /// Its youngest record is older than `retention.ms`.
    Age,
}

impl Expiry {
    /// In a word, for people and their charts.
    pub fn name(self) -> &'static str {
        match self {
            Self::BelowLogStart => "log_start",
            Self::Size => "size",
            Self::Age => "age",
        }
    }
}

/// What is asked of every segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    pub(crate) log_start_offset: Offset,
    /// `None`: age is no reason.
    max_age_ms: Option<i64>,
    max_size: Option<u64>,
    pub(crate) now_ms: i64,
    /// No segment that ends above it goes.
    pub(crate) upper: Offset,
    /// Bytes of the segments that stay.
    left: u64,
}

/// One segment, in the order of offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) next_offset: Offset,
    pub(crate) size: u64,
    /// The one that is appended to.
    pub(crate) is_active: bool,
}

impl Retention {
    /// What `config` asks of a log of `size` bytes.
    pub(crate) fn new(
        config: &LogConfig,
        size: u64,
        log_start_offset: Offset,
        now_ms: i64,
        upper: Offset,
    ) -> Self {
        let deletes = config.cleanup.delete;
        Self {
            log_start_offset,
            max_age_ms: config.retention_ms.filter(|_| deletes),
            max_size: config.retention_bytes.filter(|_| deletes),
            now_ms,
            upper,
            left: size,
        }
    }

    /// Whether the next segment goes, and why; once one stays, so do all after it.
    ///
    /// Its largest timestamp may cost a walk through the file: it is asked for last.
    pub(crate) fn expiry<E>(
        &mut self,
        segment: Candidate,
        largest_timestamp: impl FnOnce() -> Result<i64, E>,
    ) -> Result<Option<Expiry>, E> {
        if segment.next_offset > self.upper || segment.is_active && segment.size == 0 {
            return Ok(None);
        }
        let without = self.left.saturating_sub(segment.size);
        let expiry = if segment.next_offset <= self.log_start_offset && !segment.is_active {
            Some(Expiry::BelowLogStart)
        } else if self.max_size.is_some_and(|max| without >= max) {
            Some(Expiry::Size)
        } else if let Some(max_age_ms) = self.max_age_ms {
            let age_ms = self.now_ms.saturating_sub(largest_timestamp()?);
            (age_ms > max_age_ms).then_some(Expiry::Age)
        } else {
            None
        };
        if expiry.is_some() {
            self.left = without;
        }
        Ok(expiry)
    }
}

#[cfg(test)]
#[path = "retention_test.rs"]
mod tests;
