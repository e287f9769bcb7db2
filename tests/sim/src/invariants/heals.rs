//! C1: once faults end, the ISR is full, replicas are byte-identical, and records are taken. And no
//! assertion of production code fails.

use crate::history::Fact;
use crate::invariants::{Invariant, Verdict};
use crate::oracle::Known;

const NAME: &str = "C1 the partition heals";

#[derive(Debug)]
pub(super) struct Heals;

impl Invariant for Heals {
    fn before(&mut self, _known: &Known, fact: &Fact) -> Verdict {
        match fact {
            Fact::NotHealed { what } => Err((NAME, what.clone())),
            Fact::Panicked { message } => Err(("no assertion fails", message.clone())),
            Fact::Healed { digests } => {
                let differs = digests
                    .windows(2)
                    .any(|pair| matches!(pair, [(_, one), (_, other)] if one != other));
                if differs {
                    return Err((NAME, format!("the bytes differ: {digests:?}")));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
