//! L4: a batch begins where the one before it ended; the first one holds the log's start.

use crate::history::Fact;
use crate::invariants::{Invariant, Verdict};
use crate::oracle::Known;

const NAME: &str = "L4 offsets are dense";

#[derive(Debug)]
pub(super) struct OffsetsAreDense;

impl Invariant for OffsetsAreDense {
    fn before(&mut self, known: &Known, fact: &Fact) -> Verdict {
        match fact {
            Fact::Stored { node, batch } => {
                if let Some(replica) = known.replica(*node)
                    && !replica.takes(batch)
                {
                    let (start, end) = (replica.log_start, replica.end());
                    let what = format!("{node} was {start} to {end} and stored {batch:?}");
                    return Err((NAME, what));
                }
                Ok(())
            }
            Fact::Opened {
                node,
                start,
                batches,
            } => {
                let first = batches.first();
                if first.is_some_and(|it| it.base > *start || it.last < *start) {
                    let what = format!("{node} opened at {start} with {first:?}");
                    return Err((NAME, what));
                }
                let gap = batches
                    .windows(2)
                    .find(|pair| matches!(pair, [one, next] if one.last + 1 != next.base));
                match gap {
                    Some([one, next]) => {
                        Err((NAME, format!("{node} opened with {one:?}, then {next:?}")))
                    }
                    Some(_) | None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
