//! L4: a batch begins where the one before it ended.

use crate::history::Fact;
use crate::invariants::{Invariant, Verdict};
use crate::oracle::{Known, Replica};

const NAME: &str = "L4 offsets are dense";

#[derive(Debug)]
pub(super) struct OffsetsAreDense;

impl Invariant for OffsetsAreDense {
    fn before(&mut self, known: &Known, fact: &Fact) -> Verdict {
        match fact {
            Fact::Stored { node, batch } => {
                let end = known.replica(*node).map(Replica::end);
                if end.is_some_and(|it| it != batch.base) {
                    let what = format!("{node} ended at {end:?} and stored {batch:?}");
                    return Err((NAME, what));
                }
                Ok(())
            }
            Fact::Opened { node, batches } => {
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
