//! Proposing records, and what its caller knows when that fails.

use drave_protocol::ids::MetadataOffset;
use openraft::errors::{ClientWriteError, ForwardReason, ForwardToLeader};
use openraft::impls::ProgressResponder;
use thiserror::Error;
use tokio::time::timeout;

use crate::codec::encode_records;
use crate::image::ApplyError;
use crate::node::Node;
use crate::peer::Peer;
use crate::record::MetadataRecord;
use crate::types::{Applied, RecordBatch, TypeConfig};

/// Records one proposal may carry: so many that ten thousand partitions are created at once, with their topics.
/// (Kafka's `MAX_RECORDS_PER_BATCH` is half of it.)
pub const RECORDS_PER_PROPOSAL_MAX: usize = 20_000;
/// Encoded bytes one proposal may carry: larger entries outlive an RPC's patience.
pub const PROPOSAL_BYTES_MAX: usize = 2 << 20;

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

/// Cancellation: a proposal that was handed over may still be agreed on.
pub(crate) async fn propose(
    node: &Node,
    term: u64,
    records: Vec<MetadataRecord>,
) -> Result<MetadataOffset, ProposeError> {
    let batch = RecordBatch {
        wall_ms: (node.wall_clock_ms)(),
        records: encode_records(&records).map_err(|_| ProposeError::TooLarge {
            records: records.len(),
            bytes: PROPOSAL_BYTES_MAX,
        })?,
    };
    if records.len() > RECORDS_PER_PROPOSAL_MAX || batch.records.len() > PROPOSAL_BYTES_MAX {
        return Err(ProposeError::TooLarge {
            records: records.len(),
            bytes: batch.records.len(),
        });
    }
    let fatal = |error: &dyn std::fmt::Display| {
        let cause = node.machine.failure();
        ProposeError::Fatal(cause.unwrap_or_else(|| error.to_string()))
    };
    let (responder, answered) = ProgressResponder::<TypeConfig, _>::complete_only();
    let agreed = async {
        let write = node.raft.write(batch).with_leader(term);
        write
            .responder(responder)
            .await
            .map_err(|error| fatal(&error))?;
        answered.await.map_err(|error| fatal(&error))
    };
    let outcome = match timeout(node.config.propose_timeout, agreed).await {
        Ok(outcome) => outcome?,
        Err(_) => return Err(ProposeError::Timeout),
    };
    match outcome {
        Ok(written) => match written.data {
            Applied::Done => Ok(MetadataOffset(written.log_id.index())),
            Applied::Rejected(error) => Err(ProposeError::Rejected(error)),
        },
        Err(ClientWriteError::ForwardToLeader(forward)) => Err(refused(node, term, &forward)),
        Err(ClientWriteError::LogEntryDiscarded(_)) => Err(ProposeError::Timeout),
        Err(
            error @ (ClientWriteError::ChangeMembershipError(_)
            | ClientWriteError::PreconditionFailed(_)),
        ) => Err(ProposeError::Fatal(error.to_string())),
    }
}

fn refused(node: &Node, term: u64, forward: &ForwardToLeader<TypeConfig>) -> ProposeError {
    let leadership = node.leadership.borrow().clone();
    match forward.reason {
        ForwardReason::LeaseExpired | ForwardReason::LeadershipTransfer
            if leadership.is_self && leadership.term == term =>
        {
            ProposeError::Unavailable
        }
        ForwardReason::LeaseExpired
        | ForwardReason::LeadershipTransfer
        | ForwardReason::NotLeader => ProposeError::NotLeader {
            leader: leadership.leader,
        },
    }
}
