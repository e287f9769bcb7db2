//! What producer state needs to know of a batch, whoever brought it.

use drave_protocol::ids::{Offset, ProducerId};
use drave_protocol::record::batch::BatchHeader;
use drave_protocol::record::record;

use crate::producer_state::sequence::Sequence;

/// A batch of a producer that has an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerBatch {
    pub(crate) producer_id: ProducerId,
    pub(crate) epoch: i16,
    pub(crate) base_offset: Offset,
    pub(crate) last_offset: Offset,
    pub(crate) max_timestamp: i64,
    pub(crate) contents: Contents,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    Records {
        first: Sequence,
        last: Sequence,
        is_transactional: bool,
    },
    End(EndMarker),
}

/// Ends a producer's transaction in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndMarker {
    pub(crate) outcome: Outcome,
    /// Of the coordinator that decided; an older one's word does not count.
    pub(crate) coordinator_epoch: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Aborted,
    Committed,
}

impl ProducerBatch {
    /// `None` for batches that change no producer's state: those without an id, and control batches
    /// that end nothing (whose marker was compacted away, or whose type is none we know).
    ///
    /// `bytes` is the whole batch; of batches with records only the header is looked at.
    pub fn of(header: &BatchHeader, bytes: &[u8]) -> Option<Self> {
        if header.producer_id < ProducerId(0) {
            return None;
        }
        let contents = if header.is_control() {
            Contents::End(EndMarker::parse(bytes)?)
        } else {
            let (first, last) = Sequence::range_of(header);
            // Compaction keeps the last batch of a producer without its records: nothing in it waits
            // for the end of a transaction, whose marker may be gone too.
            let is_transactional = header.is_transactional() && header.records_count > 0;
            Contents::Records {
                first,
                last,
                is_transactional,
            }
        };
        Some(Self {
            producer_id: header.producer_id,
            epoch: header.producer_epoch,
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            max_timestamp: header.max_timestamp,
            contents,
        })
    }
}

impl EndMarker {
    /// Key: version i16, type i16. Value: version i16, coordinator epoch i32. Later versions only add
    /// to the end.
    fn parse(control_batch: &[u8]) -> Option<Self> {
        let marker = record::iter(control_batch).ok()?.next()?.ok()?;
        let (key, value) = (marker.key?, marker.value?);
        let [_, _, kind @ ..] = key.first_chunk::<4>()?;
        let outcome = match i16::from_be_bytes(*kind) {
            0 => Outcome::Aborted,
            1 => Outcome::Committed,
            _ => return None,
        };
        let [_, _, epoch @ ..] = value.first_chunk::<6>()?;
        Some(Self {
            outcome,
            coordinator_epoch: i32::from_be_bytes(*epoch),
        })
    }
}
