//! L8: what is below a leader's high watermark is held by every member of its ISR and of the agreed one,
//! on disk where that counts; and it rises only while that ISR is large enough. Members keep what they said they
//! hold for whoever led then, until one is elected who may lack it: they follow that one, and the old leader may
//! not have heard of it yet.

use drave_protocol::ids::{NodeId, Offset};

use crate::history::Fact;
use crate::invariants::{Invariant, Verdict};
use crate::oracle::Known;

const NAME: &str = "L8 the high watermark is held";

#[derive(Debug)]
pub(super) struct HighWatermarkIsHeld;

impl Invariant for HighWatermarkIsHeld {
    fn before(&mut self, known: &Known, fact: &Fact) -> Verdict {
        let Fact::HighWatermark {
            node,
            leads,
            partition_epoch,
            to,
        } = fact
        else {
            return Ok(());
        };
        let Some(replica) = known.replica(*node) else {
            return Ok(());
        };
        let end = replica.end();
        if *to > end {
            return Err((NAME, format!("{node}: {to} is above its end {end}")));
        }
        if *to < replica.high_watermark && *leads {
            let before = replica.high_watermark;
            return Err((NAME, format!("it fell on {node} from {before} to {to}")));
        }
        // Who takes over begins with one that was there before. Where records were lost, what is committed says less
        // than what replicas were told since.
        let told = known.replicas.values().map(|it| it.high_watermark).max();
        let known_before = known
            .true_high_watermark()
            .max(told.unwrap_or(Offset::ZERO));
        if !leads || *to <= known_before {
            return Ok(());
        }
        let Some(isr) = known.isr_at.get(partition_epoch) else {
            return Ok(());
        };
        let (n, required) = (isr.len(), known.promise.min_isr);
        if n < required {
            let what = format!("{node} raised it to {to} with {n} of {required} in sync: {isr:?}");
            return Err((NAME, what));
        }
        if known.is_given_up(*partition_epoch) {
            return Ok(());
        }
        for member in isr {
            check_held(known, *member, *to)?;
        }
        Ok(())
    }
}

fn check_held(known: &Known, member: NodeId, to: Offset) -> Verdict {
    let Some(replica) = known.replica(member) else {
        return Ok(());
    };
    // A log that was lost afterwards was held when that was said.
    if replica.begun_anew || replica.is_suspect {
        return Ok(());
    }
    let held = if known.promise.counts_on_disk {
        replica.synced.min(replica.end())
    } else {
        replica.end()
    };
    if held < to {
        let what = format!("it is {to}, but {member}, which is in sync, holds {held} only");
        return Err((NAME, what));
    }
    Ok(())
}
