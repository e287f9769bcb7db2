//! L7: where a new consumer begins never falls, from one leader to the next included.

use std::collections::BTreeMap;

use drave_protocol::ids::{LeaderEpoch, Offset};

use crate::history::Fact;
use crate::invariants::{Invariant, Verdict};
use crate::oracle::Known;

const NAME: &str = "L7 the latest offset never falls";

#[derive(Debug, Default)]
pub(super) struct LatestNeverFalls {
    highest: BTreeMap<LeaderEpoch, Offset>,
}

impl Invariant for LatestNeverFalls {
    fn after(&mut self, known: &Known, fact: &Fact) -> Verdict {
        if let Fact::LossAccepted { .. } = fact {
            let upto = known.true_high_watermark();
            for highest in self.highest.values_mut() {
                *highest = (*highest).min(upto);
            }
        }
        let Fact::Latest {
            offset,
            leader_epoch,
        } = fact
        else {
            return Ok(());
        };
        if known.promise.may_lose {
            return Ok(());
        }
        // A leader that is no more may answer late; it owes nothing to those after it.
        for (epoch, highest) in self.highest.range(..=*leader_epoch) {
            if highest > offset {
                let what = format!("{highest} in epoch {epoch}, then {offset} in {leader_epoch}");
                return Err((NAME, what));
            }
        }
        let highest = self.highest.entry(*leader_epoch).or_insert(*offset);
        *highest = (*highest).max(*offset);
        Ok(())
    }
}
