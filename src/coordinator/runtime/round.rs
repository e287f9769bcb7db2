//! What is decided together is one batch: a disk and a network are asked once for many.

use bytes::BytesMut;
use drave_protocol::record::builder::BatchBuilder;
use drave_protocol::record::record::Record;

use crate::coordinator::decision::HeldAnswer;
use crate::coordinator::error::GroupError;
use crate::coordinator::records::GroupRecord;

/// Bytes a batch has beside its records, and a record beside its key and value, at most.
const BATCH_OVERHEAD: usize = 128;
const RECORD_OVERHEAD: usize = 32;

/// Decisions not written yet, with the answers that wait for them.
#[derive(Debug, Default)]
pub(super) struct Round {
    batch: BatchBuilder,
    n_bytes: usize,
    pub(super) answers: Vec<HeldAnswer>,
}

/// One decision's records as they will lie.
#[derive(Debug)]
pub(super) struct EncodedDecision {
    records: Vec<Record>,
    pub(super) n_bytes: usize,
}

impl EncodedDecision {
    pub(super) fn of(records: &[GroupRecord], wall_ms: i64) -> Result<Self, GroupError> {
        let mut n_bytes = 0;
        let mut encoded = Vec::with_capacity(records.len());
        for record in records {
            let bytes = record.encode();
            let bytes = bytes.map_err(|error| GroupError::InvalidRequest(error.to_string()))?;
            let n_value = bytes.value.as_ref().map_or(0, bytes::Bytes::len);
            n_bytes += bytes.key.len() + n_value + RECORD_OVERHEAD;
            encoded.push(Record {
                timestamp_ms: wall_ms,
                key: Some(bytes.key),
                value: bytes.value,
                headers: Vec::new(),
            });
        }
        Ok(Self {
            records: encoded,
            n_bytes,
        })
    }
}

impl Round {
    pub(super) fn has_room(&self, decision: &EncodedDecision, max: usize) -> bool {
        BATCH_OVERHEAD + self.n_bytes + decision.n_bytes <= max
    }

    pub(super) fn has_records(&self) -> bool {
        !self.batch.is_empty()
    }

    pub(super) fn add(&mut self, decision: EncodedDecision) {
        self.n_bytes += decision.n_bytes;
        let batch = std::mem::take(&mut self.batch);
        let all = decision.records.into_iter();
        self.batch = all.fold(batch, BatchBuilder::record);
    }

    /// # Panics
    /// Without records.
    pub(super) fn batch(&self) -> BytesMut {
        self.batch.build()
    }
}
