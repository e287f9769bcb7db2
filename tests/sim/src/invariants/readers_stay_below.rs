//! L9: a consumer is given only what is committed.

use crate::history::Fact;
use crate::invariants::{Invariant, Verdict};
use crate::oracle::Known;

const NAME: &str = "L9 readers stay below the high watermark";

#[derive(Debug)]
pub(super) struct ReadersStayBelow;

impl Invariant for ReadersStayBelow {
    fn after(&mut self, known: &Known, fact: &Fact) -> Verdict {
        let Fact::Read { batch, .. } = fact else {
            return Ok(());
        };
        if known.promise.may_lose || known.replicas.is_empty() {
            return Ok(());
        }
        let at = known.committed.partition_point(|it| it.last < batch.base);
        let committed = known.committed.get(at);
        if committed != Some(batch) {
            let upto = known.true_high_watermark();
            let what = format!("{batch:?} was read, committed below {upto}: {committed:?}");
            return Err((NAME, what));
        }
        Ok(())
    }
}
