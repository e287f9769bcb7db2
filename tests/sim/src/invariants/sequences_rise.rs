//! L5: of one producer, offsets rise in the order it sent; but for what may come again (L3).

use std::collections::BTreeMap;

use drave_protocol::ids::Offset;

use crate::history::Fact;
use crate::invariants::{Invariant, Verdict};
use crate::oracle::Known;

const NAME: &str = "L5 sequences rise";

#[derive(Debug, Default)]
pub(super) struct SequencesRise {
    /// Sequence and offset.
    last: BTreeMap<i64, (i32, Offset)>,
}

impl Invariant for SequencesRise {
    fn after(&mut self, known: &Known, fact: &Fact) -> Verdict {
        if known.promise.may_lose {
            return Ok(());
        }
        if let Fact::LossAccepted { .. } = fact {
            let left = known.committed.iter();
            let left = left.filter_map(|it| Some((it.sequence?, it.base)));
            self.last = left.map(|((id, n), base)| (id, (n, base))).collect();
        }
        for batch in known.committed.iter().skip(known.newly_committed) {
            let Some((producer, sequence)) = batch.sequence else {
                continue;
            };
            let base = batch.base;
            let before = self.last.insert(producer, (sequence, base));
            if before.is_some_and(|(n, at)| n >= sequence && at >= known.begun_at) {
                let what = format!("producer {producer}: {sequence} at {base} after {before:?}");
                return Err((NAME, what));
            }
        }
        Ok(())
    }
}
