//! Which records of a batch were refused, and why.
//!
//! Invariant: at most [`LISTED_MAX`] are named, however many there are: an answer must not outgrow
//! the question.

use std::fmt;

use thiserror::Error;

/// How many refused records of one batch are named; all are counted.
pub const LISTED_MAX: usize = 1_000;

/// How many of them a message shows.
const SHOWN_MAX: usize = 3;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefusedRecords {
    listed: Vec<RefusedRecord>,
    n_refused: usize,
    has_bad_time: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedRecord {
    /// Its place in the batch, from 0.
    pub index: i32,
    pub fault: RecordFault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecordFault {
    /// Without a key it could never be replaced.
    #[error("it has no key, and this log is compacted")]
    NoKey,
    #[error("its timestamp {timestamp_ms} is not within {earliest_ms}..={latest_ms}")]
    Timestamp {
        timestamp_ms: i64,
        earliest_ms: i64,
        latest_ms: i64,
    },
}

impl RefusedRecords {
    pub(crate) fn add(&mut self, index: i32, fault: RecordFault) {
        self.n_refused += 1;
        self.has_bad_time |= matches!(fault, RecordFault::Timestamp { .. });
        if self.listed.len() < LISTED_MAX {
            self.listed.push(RefusedRecord { index, fault });
        }
    }

    pub fn is_empty(&self) -> bool {
        self.n_refused == 0
    }

    /// The first of them, in order.
    pub fn listed(&self) -> &[RefusedRecord] {
        &self.listed
    }

    /// Whether a timestamp is among the faults; Kafka then names the whole refusal after it.
    pub fn has_bad_time(&self) -> bool {
        self.has_bad_time
    }
}

impl fmt::Display for RefusedRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records of the batch are refused", self.n_refused)?;
        for (at, refused) in self.listed.iter().take(SHOWN_MAX).enumerate() {
            let separator = if at == 0 { ": " } else { "; " };
            write!(f, "{separator}record {}: {}", refused.index, refused.fault)?;
        }
        Ok(())
    }
}
