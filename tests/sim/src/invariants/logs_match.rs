//! L10: the same offset and epoch mean the same bytes on every replica.

use std::collections::BTreeMap;

use drave_protocol::ids::{LeaderEpoch, Offset};

use crate::history::{Batch, Fact};
use crate::invariants::{Invariant, Verdict};
use crate::oracle::Known;

const NAME: &str = "L10 logs match";

#[derive(Debug, Default)]
pub(super) struct LogsMatch {
    first: BTreeMap<(LeaderEpoch, Offset), Batch>,
}

impl LogsMatch {
    fn compare(&mut self, batch: &Batch) -> Verdict {
        let name = (batch.leader_epoch, batch.base);
        let first = self.first.entry(name).or_insert(*batch);
        if first != batch {
            return Err((NAME, format!("{first:?} and {batch:?}")));
        }
        Ok(())
    }
}

impl Invariant for LogsMatch {
    fn after(&mut self, known: &Known, fact: &Fact) -> Verdict {
        // A leader that lost its tail may write the same offsets again in its next epoch only; but one
        // of an ISR that lost everything begins anew.
        if known.promise.may_lose {
            return Ok(());
        }
        match fact {
            Fact::Stored { batch, .. } => self.compare(batch),
            Fact::Opened { batches, .. } => batches.iter().try_for_each(|it| self.compare(it)),
            _ => Ok(()),
        }
    }
}
