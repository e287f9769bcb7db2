//! P1: a retry of one of a producer's last five batches is answered with the offset it has.

use crate::history::Fact;
use crate::invariants::{Invariant, Verdict};
use crate::oracle::Known;

const NAME: &str = "P1 retries are known";

#[derive(Debug)]
pub(super) struct RetriesAreKnown;

impl Invariant for RetriesAreKnown {
    fn before(&mut self, known: &Known, fact: &Fact) -> Verdict {
        match fact {
            Fact::RetryRefused {
                producer,
                sequence,
                why,
            } if !known.promise.may_lose => {
                let what = format!("producer {producer}, sequence {sequence}: {why}");
                Err((NAME, what))
            }
            _ => Ok(()),
        }
    }
}
