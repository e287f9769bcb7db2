//! L3: what an idempotent producer sent is committed at one offset only. One who began after records were deleted
//! knows nothing of who wrote them: what lies before where anybody began so may come again, as in Kafka.

use std::collections::BTreeMap;

use drave_protocol::ids::Offset;

use crate::history::Fact;
use crate::invariants::{Invariant, Verdict};
use crate::oracle::Known;

const NAME: &str = "L3 stored once";

#[derive(Debug, Default)]
pub(super) struct StoredOnce {
    at: BTreeMap<(i64, i32), Offset>,
}

impl Invariant for StoredOnce {
    fn after(&mut self, known: &Known, fact: &Fact) -> Verdict {
        if known.promise.may_lose {
            return Ok(());
        }
        if let Fact::LossAccepted { .. } = fact {
            let upto = known.true_high_watermark();
            self.at.retain(|_, base| *base < upto);
        }
        for batch in known.committed.iter().skip(known.newly_committed) {
            let Some(sequence) = batch.sequence else {
                continue;
            };
            if let Some(first) = self.at.insert(sequence, batch.base)
                && first >= known.begun_at
            {
                let again = batch.base;
                let what = format!("{sequence:?} is at {first} and at {again}");
                return Err((NAME, what));
            }
        }
        Ok(())
    }
}
