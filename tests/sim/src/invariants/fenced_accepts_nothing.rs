//! L17: a broker that was fenced because nobody heard it takes no records: its lease ended before.

use crate::history::Fact;
use crate::invariants::{Invariant, Verdict};
use crate::oracle::Known;

const NAME: &str = "L17 a fenced leader accepts nothing";

#[derive(Debug)]
pub(super) struct FencedAcceptsNothing;

impl Invariant for FencedAcceptsNothing {
    fn before(&mut self, _known: &Known, fact: &Fact) -> Verdict {
        match fact {
            Fact::Accepted {
                node,
                fenced_at: Some(at),
            } => {
                let ms = at / 1000;
                let what = format!("{node} took records in, fenced for its silence at {ms} ms");
                Err((NAME, what))
            }
            _ => Ok(()),
        }
    }
}
