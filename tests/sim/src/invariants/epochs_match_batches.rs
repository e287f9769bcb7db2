//! L12: leader epochs and where they start rise strictly, and say what the batches say.

use crate::history::Fact;
use crate::invariants::{Invariant, Verdict};
use crate::oracle::Known;

const NAME: &str = "L12 epochs match batches";

#[derive(Debug)]
pub(super) struct EpochsMatchBatches;

impl Invariant for EpochsMatchBatches {
    fn after(&mut self, known: &Known, fact: &Fact) -> Verdict {
        let Fact::Epochs { node, entries } = fact else {
            return Ok(());
        };
        let falls = entries
            .windows(2)
            .any(|pair| matches!(pair, [one, next] if one.0 >= next.0 || one.1 >= next.1));
        if falls {
            return Err((NAME, format!("{node}: {entries:?}")));
        }
        let Some(replica) = known.replica(*node) else {
            return Ok(());
        };
        for batch in &replica.batches {
            // Of the batch that holds the log's start no more is known than from there on.
            let from = batch.base.max(replica.log_start);
            let n = entries.partition_point(|(_, start)| *start <= from);
            let noted = n.checked_sub(1).and_then(|it| entries.get(it));
            if noted.map(|it| it.0) != Some(batch.leader_epoch) {
                let what = format!("{node} has {batch:?} and the epochs {entries:?}");
                return Err((NAME, what));
            }
        }
        Ok(())
    }
}
