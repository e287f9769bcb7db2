//! L15: a log's start only rises, and stays at or below the high watermark.

use crate::history::Fact;
use crate::invariants::{Invariant, Verdict};
use crate::oracle::Known;

const NAME: &str = "L15 log starts rise";

#[derive(Debug)]
pub(super) struct LogStartsRise;

impl Invariant for LogStartsRise {
    fn before(&mut self, known: &Known, fact: &Fact) -> Verdict {
        let Fact::LogStart { node, to } = fact else {
            return Ok(());
        };
        let before = known.replica(*node).map(|it| it.log_start);
        let upto = known.true_high_watermark();
        if before.is_some_and(|it| it > *to) || *to > upto {
            let what =
                format!("{node} began at {before:?}, begins at {to}, committed below {upto}");
            return Err((NAME, what));
        }
        Ok(())
    }
}
