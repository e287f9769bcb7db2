//! L11: a leader epoch belongs to one broker, and epochs rise.

use std::collections::BTreeMap;

use drave_protocol::ids::{LeaderEpoch, NodeId};

use crate::history::Fact;
use crate::invariants::{Invariant, Verdict};
use crate::oracle::Known;

const NAME: &str = "L11 one leader per epoch";

#[derive(Debug, Default)]
pub(super) struct OneLeaderPerEpoch {
    leader_of: BTreeMap<LeaderEpoch, NodeId>,
}

impl OneLeaderPerEpoch {
    fn lead(&mut self, epoch: LeaderEpoch, node: NodeId) -> Verdict {
        let first = *self.leader_of.entry(epoch).or_insert(node);
        if first != node {
            return Err((NAME, format!("{first} and {node} lead in epoch {epoch}")));
        }
        Ok(())
    }
}

impl Invariant for OneLeaderPerEpoch {
    fn before(&mut self, known: &Known, fact: &Fact) -> Verdict {
        match fact {
            Fact::Agreed(agreed) => {
                if let Some(before) = &known.agreed {
                    let changed = agreed.leader != before.leader;
                    let rose = agreed.leader_epoch > before.leader_epoch;
                    if agreed.leader_epoch < before.leader_epoch || (changed && !rose) {
                        let what = format!("{before:?}, then {agreed:?}");
                        return Err((NAME, what));
                    }
                }
                match agreed.leader {
                    Some(leader) => self.lead(agreed.leader_epoch, leader),
                    None => Ok(()),
                }
            }
            Fact::TookLead { node, leader_epoch } => self.lead(*leader_epoch, *node),
            _ => Ok(()),
        }
    }
}
