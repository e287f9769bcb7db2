//! L1: a record acked with `acks=all` is at its offset on every later leader.

use std::collections::BTreeMap;

use drave_protocol::ids::Offset;

use crate::history::{Acks, Fact};
use crate::invariants::{Invariant, Verdict};
use crate::oracle::Known;

const NAME: &str = "L1 acked survives";

#[derive(Debug, Default)]
pub(super) struct AckedSurvives {
    acked: BTreeMap<Offset, u64>,
}

impl Invariant for AckedSurvives {
    fn after(&mut self, known: &Known, fact: &Fact) -> Verdict {
        if known.promise.may_lose {
            return Ok(());
        }
        match fact {
            Fact::Acked {
                content,
                base,
                acks: Acks::All,
                ..
            } => {
                self.acked.insert(*base, *content);
                // It is told where replicas are known at all.
                let is_told = !known.replicas.is_empty();
                let at = known.committed.partition_point(|it| it.last < *base);
                let committed = known.committed.get(at).map(|it| (it.base, it.content));
                if is_told && committed != Some((*base, *content)) {
                    let upto = known.true_high_watermark();
                    let what = format!("acked at {base}, committed below {upto}: {committed:?}");
                    return Err((NAME, what));
                }
                Ok(())
            }
            Fact::TookLead { node, leader_epoch } if known.is_current(*leader_epoch) => {
                let Some(leader) = known.replica(*node) else {
                    return Ok(());
                };
                for (base, content) in &self.acked {
                    let last = known.committed_at(*base).map(|it| it.last);
                    if last.is_some_and(|it| it < leader.log_start) {
                        continue; // that it may start there is for L15 to say
                    }
                    let held = leader.batch_at(*base).map(|it| it.content);
                    if held != Some(*content) {
                        let end = leader.end();
                        let what = format!(
                            "acked at {base}, not there on {node}, which ends at {end} and leads in epoch {leader_epoch}"
                        );
                        return Err((NAME, what));
                    }
                }
                Ok(())
            }
            Fact::LossAccepted { .. } => {
                let upto = known.true_high_watermark();
                self.acked.retain(|base, _| *base < upto);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
