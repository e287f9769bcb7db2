//! L5: of one producer, offsets rise in the order it sent.

use std::collections::BTreeMap;

use crate::history::Fact;
use crate::invariants::{Invariant, Verdict};
use crate::oracle::Known;

const NAME: &str = "L5 sequences rise";

#[derive(Debug, Default)]
pub(super) struct SequencesRise {
    last: BTreeMap<i64, i32>,
}

impl Invariant for SequencesRise {
    fn after(&mut self, known: &Known, fact: &Fact) -> Verdict {
        if known.promise.may_lose {
            return Ok(());
        }
        if let Fact::LossAccepted { .. } = fact {
            let left = known.committed.iter().filter_map(|it| it.sequence);
            self.last = left.collect();
        }
        for batch in known.committed.iter().skip(known.newly_committed) {
            let Some((producer, sequence)) = batch.sequence else {
                continue;
            };
            let before = self.last.insert(producer, sequence);
            if before.is_some_and(|it| it >= sequence) {
                let base = batch.base;
                let what = format!("producer {producer}: {sequence} at {base} after {before:?}");
                return Err((NAME, what));
            }
        }
        Ok(())
    }
}
