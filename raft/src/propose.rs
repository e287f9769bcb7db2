//! How a proposal can fail, and what its caller then knows.

use thiserror::Error;

use crate::image::ApplyError;
use crate::peer::Peer;

/// Records one proposal may carry, as Kafka's `MAX_RECORDS_PER_BATCH`.
pub const RECORDS_PER_PROPOSAL_MAX: usize = 10_000;
/// Encoded bytes one proposal may carry: larger entries outlive an RPC's patience.
pub const PROPOSAL_BYTES_MAX: usize = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProposeError {
    /// Nothing was proposed.
    #[error("not the leader of the metadata quorum in that term; the leader is {leader:?}")]
    NotLeader { leader: Option<Peer> },
    /// Nothing was proposed: this leader has no quorum at the moment. Retry.
    #[error("the leader has not heard from a quorum lately")]
    Unavailable,
    /// The records may or may not be agreed on.
    #[error("no quorum answered in time, the outcome is unknown")]
    Timeout,
    /// Nothing was proposed.
    #[error("{records} records in {bytes} bytes are too much for one proposal")]
    TooLarge { records: usize, bytes: usize },
    /// Agreed on, and then refused by every node alike: the batch does not fit the image.
    #[error("the batch does not apply: {0}")]
    Rejected(ApplyError),
    /// This node's log or state machine failed; it cannot go on.
    #[error("metadata log failed: {0}")]
    Fatal(String),
}
