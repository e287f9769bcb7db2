//! What one writer sent to one partition, what it was told of it, and what became of it.

use std::collections::BTreeMap;

use crate::oracle::event::{Acks, Lane, Promise};
use crate::oracle::verdict::{Kind, Verdict};

/// Where a record was acked: an offset, or one of these.
const NOT_ACKED: i64 = -1;
const ACKED_SOMEWHERE: i64 = -2;

#[derive(Debug, Default)]
pub(super) struct Writes {
    acked_at: Vec<i64>,
    /// By the first number of a batch in flight: what was acked to anybody when it left lies below this.
    floors: BTreeMap<u64, i64>,
}

impl Writes {
    pub(super) fn sent(&mut self, first: u64, n: u32, floor: i64) {
        let end = index(first + u64::from(n));
        if self.acked_at.len() < end {
            self.acked_at.resize(end, NOT_ACKED);
        }
        self.floors.insert(first, floor);
    }

    /// Returns what its offset must reach.
    pub(super) fn acked(&mut self, first: u64, n: u32, offset: Option<i64>) -> i64 {
        for at in 0..n {
            let place = self.acked_at.get_mut(index(first + u64::from(at)));
            if let Some(place) = place {
                *place = offset.map_or(ACKED_SOMEWHERE, |it| it + i64::from(at));
            }
        }
        self.floors.remove(&first).unwrap_or_default()
    }

    /// `kept` has every appearance of this lane's records: number and offset, by offset.
    pub(super) fn close(
        &self,
        lane: Lane,
        promise: Promise,
        kept: &[(u64, i64)],
        verdict: &mut Verdict,
    ) {
        let first_kept = self.first_appearances(lane, promise, kept, verdict);
        for ((acked_at, kept_at), number) in self.acked_at.iter().zip(&first_kept).zip(0_u64..) {
            let is_acked = *acked_at != NOT_ACKED;
            match (is_acked, kept_at, promise.acks) {
                (true, None, Acks::All) => {
                    let what =
                        format!("{lane} record {number} was acked at {acked_at} and is gone");
                    verdict.add(Kind::LostWrite, 1, what);
                }
                (true, None, Acks::Leader) => verdict.n_lost_by_leader += 1,
                _ => {}
            }
        }
        // Order is promised to who is idempotent, or waits for an answer before sending more.
        if promise.acks == Acks::None {
            return;
        }
        let mut last = NOT_ACKED;
        for (kept_at, number) in first_kept.iter().zip(0_u64..) {
            let Some(kept_at) = *kept_at else { continue };
            if kept_at < last {
                let what =
                    format!("{lane} record {number} is kept at {kept_at}, behind one at {last}");
                verdict.add(Kind::NonmonotonicSend, 1, what);
            }
            last = last.max(kept_at);
        }
    }

    fn first_appearances(
        &self,
        lane: Lane,
        promise: Promise,
        kept: &[(u64, i64)],
        verdict: &mut Verdict,
    ) -> Vec<Option<i64>> {
        let mut first_kept = vec![None; self.acked_at.len()];
        for (number, offset) in kept {
            match first_kept.get_mut(index(*number)) {
                None => {
                    let what =
                        format!("{lane} record {number} is kept at {offset} and was never sent");
                    verdict.add(Kind::Phantom, 1, what);
                }
                Some(Some(before)) if promise.idempotent => {
                    let what =
                        format!("{lane} record {number} is kept at {before} and at {offset}");
                    verdict.add(Kind::Duplicate, 1, what);
                }
                Some(Some(_)) => verdict.n_repeated += 1,
                Some(place) => *place = Some(*offset),
            }
        }
        first_kept
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
