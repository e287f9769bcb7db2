//! Snapshots coming in, chunk by chunk.
//!
//! Invariants: at most one transfer per sender; memory grows only as chunks arrive, never past
//! what was announced, and that is capped; a chunk out of place ends its transfer.

use std::collections::BTreeMap;

use bytes::BytesMut;
use parking_lot::Mutex;
use thiserror::Error;

use crate::network::rpc::SnapshotChunkV1;
use crate::peer::PeerId;
use crate::snapshot::SnapshotBytes;
use crate::stored::{AppliedV1, VoteV1};

/// A million partitions take about a tenth of this.
const SNAPSHOT_BYTES_MAX: u64 = 1 << 30;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum ChunkError {
    #[error("a snapshot of {0} bytes is more than {SNAPSHOT_BYTES_MAX}")]
    TooLarge(u64),
    #[error("chunk at {got} comes where {expected} belongs")]
    OutOfPlace { expected: u64, got: u64 },
}

#[derive(Debug, Default)]
pub(crate) struct Receiving {
    transfers: Mutex<BTreeMap<PeerId, Transfer>>,
}

#[derive(Debug)]
struct Transfer {
    vote: VoteV1,
    applied: AppliedV1,
    bytes_total: u64,
    bytes: BytesMut,
}

impl Receiving {
    /// The whole snapshot, once its last chunk is in.
    pub(crate) fn take(
        &self,
        from: PeerId,
        chunk: &SnapshotChunkV1,
    ) -> Result<Option<(AppliedV1, SnapshotBytes)>, ChunkError> {
        if chunk.bytes_total > SNAPSHOT_BYTES_MAX {
            return Err(ChunkError::TooLarge(chunk.bytes_total));
        }
        let mut transfers = self.transfers.lock();
        let mut transfer = match transfers.remove(&from) {
            Some(transfer) if chunk.offset > 0 => transfer,
            Some(_) | None => Transfer {
                vote: chunk.vote,
                applied: chunk.applied.clone(),
                bytes_total: chunk.bytes_total,
                bytes: BytesMut::new(),
            },
        };
        let expected = u64::try_from(transfer.bytes.len()).unwrap_or(u64::MAX);
        let size = u64::try_from(chunk.bytes.len()).unwrap_or(u64::MAX);
        let same = transfer.vote == chunk.vote
            && transfer.applied == chunk.applied
            && transfer.bytes_total == chunk.bytes_total;
        if !same || expected != chunk.offset || expected + size > transfer.bytes_total {
            let got = chunk.offset;
            return Err(ChunkError::OutOfPlace { expected, got });
        }
        transfer.bytes.extend_from_slice(&chunk.bytes);
        if expected + size == transfer.bytes_total {
            let snapshot = SnapshotBytes(transfer.bytes.freeze());
            return Ok(Some((transfer.applied, snapshot)));
        }
        transfers.insert(from, transfer);
        Ok(None)
    }

    /// The sender's connection is gone: what it began is not worth keeping.
    pub(crate) fn forget(&self, from: PeerId) {
        self.transfers.lock().remove(&from);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use drave_protocol::ids::{DirectoryId, NodeId};

    use super::*;

    const FROM: PeerId = PeerId {
        node: NodeId(1),
        directory: DirectoryId(1),
    };

    fn chunk(offset: u64, bytes: &'static [u8], bytes_total: u64) -> SnapshotChunkV1 {
        SnapshotChunkV1 {
            vote: VoteV1 {
                term: 1,
                voted_for: 1,
                committed: true,
            },
            applied: AppliedV1::default(),
            bytes_total,
            offset,
            bytes: Bytes::from_static(bytes),
        }
    }

    #[test]
    fn chunks_in_order_make_the_whole() {
        let receiving = Receiving::default();
        assert!(receiving.take(FROM, &chunk(0, b"ab", 5)).unwrap().is_none());
        assert!(receiving.take(FROM, &chunk(2, b"cd", 5)).unwrap().is_none());
        let (_, whole) = receiving.take(FROM, &chunk(4, b"e", 5)).unwrap().unwrap();
        assert_eq!(whole.0, Bytes::from_static(b"abcde"));
    }

    #[test]
    fn a_new_first_chunk_begins_anew() {
        let receiving = Receiving::default();
        receiving.take(FROM, &chunk(0, b"ab", 5)).unwrap();
        receiving.take(FROM, &chunk(0, b"xy", 3)).unwrap();
        let (_, whole) = receiving.take(FROM, &chunk(2, b"z", 3)).unwrap().unwrap();
        assert_eq!(whole.0, Bytes::from_static(b"xyz"));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let receiving = Receiving::default();
        assert_eq!(
            receiving.take(FROM, &chunk(3, b"ab", 9)).unwrap_err(),
            ChunkError::OutOfPlace {
                expected: 0,
                got: 3
            }
        );
        assert!(receiving.take(FROM, &chunk(0, b"abc", 2)).is_err());
        let huge = SNAPSHOT_BYTES_MAX + 1;
        assert_eq!(
            receiving.take(FROM, &chunk(0, b"", huge)).unwrap_err(),
            ChunkError::TooLarge(huge)
        );
    }
}
