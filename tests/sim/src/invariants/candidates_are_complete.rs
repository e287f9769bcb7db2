//! L13: whoever may be elected holds all that is committed, from where its log starts on: members of the ISR and
//! of the ELR, and above all whoever leads.

use drave_protocol::ids::NodeId;

use crate::history::Fact;
use crate::invariants::{Invariant, Verdict};
use crate::oracle::Known;

const NAME: &str = "L13 candidates are complete";

#[derive(Debug)]
pub(super) struct CandidatesAreComplete;

impl Invariant for CandidatesAreComplete {
    fn after(&mut self, known: &Known, fact: &Fact) -> Verdict {
        if known.promise.may_lose {
            return Ok(());
        }
        match fact {
            Fact::TookLead { node, leader_epoch } if known.is_current(*leader_epoch) => {
                check(known, *node, "which leads")
            }
            Fact::Agreed(_)
            | Fact::Opened { .. }
            | Fact::Truncated { .. }
            | Fact::HighWatermark { leads: true, .. } => {
                let Some(agreed) = &known.agreed else {
                    return Ok(());
                };
                for member in agreed.isr.iter().chain(&agreed.elr) {
                    let replica = known.replica(*member);
                    // What it lost, the controller is told when it registers.
                    let is_judged = replica.is_some_and(|it| it.runs && !it.is_suspect);
                    if is_judged {
                        check(known, *member, "which may be elected")?;
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn check(known: &Known, node: NodeId, why: &str) -> Verdict {
    let Some(replica) = known.replica(node) else {
        return Ok(());
    };
    let n = known.n_committed_in(replica);
    if let Some(missing) = known.committed.get(n) {
        let held = replica.batch_at(missing.last);
        let what = format!("{node}, {why}, lacks {missing:?} and has {held:?} there");
        return Err((NAME, what));
    }
    Ok(())
}
