//! L6: what was acked before another was sent lies before it.

use drave_protocol::ids::Offset;

use crate::history::{Acks, Fact, Moment};
use crate::invariants::{Invariant, Verdict};
use crate::oracle::Known;

const NAME: &str = "L6 appends keep real time";

#[derive(Debug, Default)]
pub(super) struct AppendsKeepRealTime {
    /// When something was acked, and the highest offset acked by then.
    acked: Vec<(Moment, Offset)>,
}

impl Invariant for AppendsKeepRealTime {
    fn after(&mut self, known: &Known, fact: &Fact) -> Verdict {
        if let Fact::LossAccepted { .. } = fact {
            let upto = known.true_high_watermark();
            self.acked.retain(|(_, highest)| *highest < upto);
        }
        let Fact::Acked {
            base,
            acks: Acks::All,
            sent_at,
            ..
        } = fact
        else {
            return Ok(());
        };
        if known.promise.may_lose {
            return Ok(());
        }
        let n_before = self.acked.partition_point(|(at, _)| at < sent_at);
        let before = n_before.checked_sub(1).and_then(|it| self.acked.get(it));
        if let Some((at, offset)) = before
            && offset > base
        {
            let what = format!("{offset} acked at {at}, then {base} sent at {sent_at}");
            return Err((NAME, what));
        }
        let highest = self.acked.last().map_or(*base, |it| it.1.max(*base));
        self.acked.push((known.now, highest));
        Ok(())
    }
}
