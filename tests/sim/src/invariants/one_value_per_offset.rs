//! L2: an offset that was acked or read means one record for ever.

use std::collections::BTreeMap;

use drave_protocol::ids::Offset;

use crate::history::{Acks, Fact};
use crate::invariants::{Invariant, Verdict};
use crate::oracle::Known;

const NAME: &str = "L2 one value per offset";

#[derive(Debug, Default)]
pub(super) struct OneValuePerOffset {
    content_at: BTreeMap<Offset, u64>,
}

impl Invariant for OneValuePerOffset {
    fn after(&mut self, known: &Known, fact: &Fact) -> Verdict {
        if known.promise.may_lose {
            return Ok(());
        }
        let (base, content) = match fact {
            Fact::Acked {
                content,
                base,
                acks: Acks::All,
                ..
            } => (*base, *content),
            Fact::Read { batch, .. } => (batch.base, batch.content),
            Fact::LossAccepted { .. } => {
                let upto = known.true_high_watermark();
                self.content_at.retain(|base, _| *base < upto);
                return Ok(());
            }
            _ => return Ok(()),
        };
        let first = *self.content_at.entry(base).or_insert(content);
        if first != content {
            let what = format!("at {base} was {first:016x}, is {content:016x}");
            return Err((NAME, what));
        }
        Ok(())
    }
}
