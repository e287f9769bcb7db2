//! L16: each change of a partition raises its epoch by one.

use crate::history::Fact;
use crate::invariants::{Invariant, Verdict};
use crate::oracle::Known;

const NAME: &str = "L16 partition epochs step";

#[derive(Debug)]
pub(super) struct PartitionEpochsStep;

impl Invariant for PartitionEpochsStep {
    fn before(&mut self, known: &Known, fact: &Fact) -> Verdict {
        let (Fact::Agreed(agreed), Some(before)) = (fact, &known.agreed) else {
            return Ok(());
        };
        if agreed.partition_epoch <= before.partition_epoch {
            return Err((NAME, format!("{before:?}, then {agreed:?}")));
        }
        Ok(())
    }
}
