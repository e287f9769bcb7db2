//! How much of a log is worth a pass. Pure.

use drave_protocol::ids::Offset;

/// A log as its compaction sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dirt {
    /// Where the last pass ended.
    pub first_dirty_offset: Offset,
    /// From here on nothing may be compacted yet: the active segment, what is not committed or not
    /// decided, what is too young.
    pub first_uncleanable_offset: Offset,
    /// Bytes of segments the last pass went through.
    pub clean_bytes: u64,
    /// Bytes of segments that a pass would go through for the first time.
    pub cleanable_bytes: u64,
    /// Whether a record waits for longer than `max.compaction.lag.ms`.
    pub is_overdue: bool,
    pub min_cleanable_ratio: f64,
}

impl Dirt {
    /// Share of what a pass would read that is new since the last one.
    pub fn ratio(&self) -> f64 {
        let all = self.clean_bytes.saturating_add(self.cleanable_bytes);
        if all == 0 {
            return 0.0;
        }
        approximate(self.cleanable_bytes) / approximate(all)
    }

    pub fn deserves_a_pass(&self) -> bool {
        self.cleanable_bytes > 0 && (self.is_overdue || self.ratio() > self.min_cleanable_ratio)
    }
}

#[allow(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a share of sizes needs no more than the 53 bits a float has"
)]
fn approximate(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirt(clean_bytes: u64, cleanable_bytes: u64, is_overdue: bool) -> Dirt {
        Dirt {
            first_dirty_offset: Offset(0),
            first_uncleanable_offset: Offset(100),
            clean_bytes,
            cleanable_bytes,
            is_overdue,
            min_cleanable_ratio: 0.5,
        }
    }

    #[test]
    fn a_log_deserves_a_pass_when_enough_is_new_or_something_waits_too_long() {
        for (clean, cleanable, is_overdue, deserves) in [
            (0, 0, false, false),
            (0, 0, true, false),
            (0, 1, false, true),
            (50, 50, false, false),
            (50, 51, false, true),
            (1_000, 1, true, true),
            (1_000, 0, true, false),
        ] {
            let dirt = dirt(clean, cleanable, is_overdue);
            assert_eq!(dirt.deserves_a_pass(), deserves, "{dirt:?}");
        }
    }
}
