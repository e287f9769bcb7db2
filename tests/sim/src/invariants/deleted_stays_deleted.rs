//! L18: once it is answered that records are deleted, nobody who leads has them, or gives them to a consumer.

use drave_protocol::ids::Offset;

use crate::history::Fact;
use crate::invariants::{Invariant, Verdict};
use crate::oracle::Known;

const NAME: &str = "L18 deleted stays deleted";

#[derive(Debug, Default)]
pub(super) struct DeletedStaysDeleted {
    answered: Offset,
}

impl Invariant for DeletedStaysDeleted {
    fn after(&mut self, known: &Known, fact: &Fact) -> Verdict {
        if known.promise.may_lose {
            return Ok(());
        }
        match fact {
            Fact::Deleted { to } => self.answered = self.answered.max(*to),
            Fact::LossAccepted { .. } => self.answered = self.answered.min(known.deleted_to),
            Fact::TookLead { node, leader_epoch } if known.is_current(*leader_epoch) => {
                let start = known.replica(*node).map(|it| it.log_start);
                let answered = self.answered;
                if start.is_some_and(|it| it < answered) {
                    let what = format!("{node} leads from {start:?} on, deleted below {answered}");
                    return Err((NAME, what));
                }
            }
            Fact::Read {
                batch,
                leader_epoch,
            } if known.is_current(*leader_epoch) && batch.last < self.answered => {
                let answered = self.answered;
                return Err((
                    NAME,
                    format!("{batch:?} was read, deleted below {answered}"),
                ));
            }
            _ => {}
        }
        Ok(())
    }
}
