//! L14: a truncation takes nothing that is committed from who may be elected. Others may follow a leader that does not
//! know yet that it is none, and have taken from them what was committed meanwhile.

use crate::history::Fact;
use crate::invariants::{Invariant, Verdict};
use crate::oracle::Known;

const NAME: &str = "L14 committed is not cut";

#[derive(Debug)]
pub(super) struct CommittedIsNotCut;

impl Invariant for CommittedIsNotCut {
    fn before(&mut self, known: &Known, fact: &Fact) -> Verdict {
        let Fact::Truncated { node, to } = fact else {
            return Ok(());
        };
        if known.promise.may_lose {
            return Ok(());
        }
        let agreed = known.agreed.as_ref();
        let is_candidate = agreed.is_none_or(|it| it.isr.contains(node) || it.elr.contains(node));
        let Some(replica) = known.replica(*node).filter(|_| is_candidate) else {
            return Ok(());
        };
        let n = known.n_committed_in(replica);
        let lost = known.committed.iter().take(n).find(|it| it.last >= *to);
        match lost {
            Some(batch) => Err((NAME, format!("{node} cut to {to}, and with it {batch:?}"))),
            None => Ok(()),
        }
    }
}
