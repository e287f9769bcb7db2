//! Why a producer's batch is not appended.

use drave_protocol::ids::ProducerId;
use thiserror::Error;

use crate::producer_state::batch::ProducerBatch;
use crate::producer_state::sequence::Sequence;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("producer {producer_id} in epoch {epoch}: {refused}")]
pub struct ProducerError {
    pub producer_id: ProducerId,
    pub epoch: i16,
    pub refused: Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    #[error("sequence {last} is followed by {got}: what lies between is missing")]
    OutOfOrder { last: Sequence, got: Sequence },
    /// Appended once, but its offset is no longer known.
    #[error("sequences {first} to {last} were appended already, longer ago than is remembered")]
    OldDuplicate { first: Sequence, last: Sequence },
    #[error("a new epoch starts at sequence 0, not {got}")]
    NewEpochInTheMiddle { got: Sequence },
    #[error("epoch {current} is in use")]
    OldEpoch { current: i16 },
    #[error("its transaction is open, and this batch is not part of it")]
    OutsideTransaction,
    #[error("the coordinator of epoch {got} was replaced by that of {current}")]
    OldCoordinator { current: i32, got: i32 },
}

impl ProducerError {
    pub(crate) fn new(batch: &ProducerBatch, refused: Refused) -> Self {
        Self {
            producer_id: batch.producer_id,
            epoch: batch.epoch,
            refused,
        }
    }
}
