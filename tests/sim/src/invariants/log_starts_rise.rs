//! L15: a log's start only rises, by what was asked to be deleted; a crash takes it back no further than to what its
//! broker said of it.

use drave_protocol::ids::Offset;

use crate::history::Fact;
use crate::invariants::{Invariant, Verdict};
use crate::oracle::Known;

const NAME: &str = "L15 log starts rise";

#[derive(Debug)]
pub(super) struct LogStartsRise;

impl Invariant for LogStartsRise {
    fn before(&mut self, known: &Known, fact: &Fact) -> Verdict {
        if known.promise.may_lose {
            return Ok(());
        }
        let (node, to, noted) = match fact {
            Fact::Opened { node, start, .. } => (node, *start, Offset::ZERO),
            Fact::LogStart {
                node, to, noted, ..
            } => (node, *to, *noted),
            _ => return Ok(()),
        };
        let Some(before) = known.replica(*node) else {
            return Ok(());
        };
        if before.may_fall {
            return Ok(());
        }
        let least = match fact {
            Fact::Opened { .. } => before.noted_start,
            _ => before.log_start,
        };
        let upto = known.deleted_to;
        if to < least || to > upto || noted > to {
            let what = format!("{node} begins at {to}, and began at {least}; deleted below {upto}");
            return Err((NAME, what));
        }
        Ok(())
    }
}
