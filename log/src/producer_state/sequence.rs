//! Sequence numbers: one for each record of a producer, 0 again after `i32::MAX`.
//!
//! A batch names its first one; the others follow from the number of its offsets.

use std::fmt;

use drave_protocol::record::batch::BatchHeader;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sequence(pub i32);

impl Sequence {
    /// Of batches that carry none, and of a producer that has written nothing.
    pub const NONE: Self = Self(-1);
    pub const FIRST: Self = Self(0);

    /// First and last sequence of a batch.
    pub(crate) fn range_of(header: &BatchHeader) -> (Self, Self) {
        let first = Self(header.base_sequence);
        (first, first.plus(header.last_offset_delta))
    }

    /// The sequence `n` records on; none stays none.
    pub(crate) fn plus(self, n: i32) -> Self {
        if self.0 < 0 {
            return Self::NONE;
        }
        Self::wrapped(i64::from(self.0) + i64::from(n))
    }

    /// The sequence `n` records back.
    pub(crate) fn minus(self, n: i32) -> Self {
        if self.0 < 0 {
            return Self::NONE;
        }
        Self::wrapped(i64::from(self.0) - i64::from(n))
    }

    fn wrapped(unbounded: i64) -> Self {
        let n_sequences = i64::from(i32::MAX) + 1;
        let wrapped = unbounded.rem_euclid(n_sequences);
        Self(i32::try_from(wrapped).expect("a remainder by 2^31 fits 31 bits"))
    }

    pub(crate) fn is_followed_by(self, next: Self) -> bool {
        let follows = if self == Self::NONE {
            Self::FIRST
        } else {
            self.plus(1)
        };
        next == follows
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_start_again_at_zero_after_the_largest() {
        let largest = Sequence(i32::MAX);
        assert_eq!(largest.plus(1), Sequence(0));
        assert_eq!(Sequence(i32::MAX - 2).plus(5), Sequence(2));
        assert_eq!(Sequence(2).minus(5), Sequence(i32::MAX - 2));
        assert_eq!(Sequence(0).minus(1), largest);
        assert_eq!(Sequence(7).plus(i32::MAX).minus(i32::MAX), Sequence(7));
        assert!(largest.is_followed_by(Sequence(0)));
        assert!(!largest.is_followed_by(Sequence(1)));
    }

    #[test]
    fn after_nothing_comes_zero_and_no_sequence_has_no_successor() {
        assert!(Sequence::NONE.is_followed_by(Sequence(0)));
        assert!(!Sequence::NONE.is_followed_by(Sequence(1)));
        assert_eq!(Sequence::NONE.plus(3), Sequence::NONE);
    }
}
