//! A batch made of some or all records of another: for compaction, and for another codec.
//!
//! Invariants: offsets never change, those of the records nor the span of the batch: base offset
//! and last offset delta stay, and so do leader epoch, producer, sequence and flags. The count is
//! that of the records kept; with none it is a header alone, which still says what its producer
//! wrote. Records keep their time, whatever the base timestamp becomes.

use bytes::BytesMut;

use crate::record::attributes::{CODEC_MASK, Compression, DELETE_HORIZON_BIT, TimestampType};
use crate::record::batch::BatchHeader;
use crate::record::compression::{self, Packing};
use crate::record::record::RecordView;

/// What a header without records says: none of them has a time.
const NO_TIMESTAMP: i64 = -1;

/// A batch being made from `original`'s records, which are pushed in their order.
#[derive(Clone, Debug)]
pub struct Rebuild {
    original: BatchHeader,
    attributes: i16,
    base_timestamp: i64,
    max_timestamp: Option<i64>,
    records_count: i32,
    records: BytesMut,
}

impl Rebuild {
    #[must_use]
    pub fn of(original: &BatchHeader) -> Self {
        Self {
            original: *original,
            attributes: original.attributes & !CODEC_MASK,
            base_timestamp: original.base_timestamp,
            max_timestamp: None,
            records_count: 0,
            records: BytesMut::new(),
        }
    }

    /// Counts the records' times from here instead of from the original's base.
    ///
    /// # Panics
    /// When records were pushed already.
    #[must_use]
    pub fn base_timestamp(mut self, timestamp_ms: i64) -> Self {
        assert_eq!(self.records_count, 0, "the base comes before the records");
        self.base_timestamp = timestamp_ms;
        self
    }

    /// Says until when the batch's tombstones stay; the base timestamp is where that is written.
    ///
    /// # Panics
    /// As [`Self::base_timestamp`].
    #[must_use]
    pub fn delete_horizon(mut self, timestamp_ms: i64) -> Self {
        self.attributes |= DELETE_HORIZON_BIT;
        self.base_timestamp(timestamp_ms)
    }

    /// Keeps a record of the original.
    pub fn push(&mut self, record: &RecordView<'_>) {
        let moved = self
            .original
            .base_timestamp
            .wrapping_sub(self.base_timestamp);
        if moved == 0 {
            self.records.extend_from_slice(record.encoded());
        } else {
            record.encode_at(
                record.timestamp_delta.wrapping_add(moved),
                &mut self.records,
            );
        }
        let timestamp_ms = record.timestamp_ms(&self.original);
        self.max_timestamp = self.max_timestamp.max(Some(timestamp_ms));
        self.records_count += 1;
    }

    pub fn records_count(&self) -> i32 {
        self.records_count
    }

    /// Bytes of the records kept so far, unpacked.
    pub fn records_bytes(&self) -> usize {
        self.records.len()
    }

    /// The batch's bytes.
    #[must_use]
    pub fn build(&self, packing: Packing) -> BytesMut {
        let packing = match self.records_count {
            0 => Packing::of(Compression::None),
            _ => packing,
        };
        let header = BatchHeader {
            attributes: self.attributes | packing.codec.bits(),
            base_timestamp: self.base(),
            max_timestamp: self.max(),
            records_count: self.records_count,
            ..self.original
        };
        header.with_records(|batch| compression::pack(&self.records, packing, batch))
    }

    fn base(&self) -> i64 {
        let is_horizon = self.attributes & DELETE_HORIZON_BIT != 0;
        if self.records_count == 0 && !is_horizon {
            NO_TIMESTAMP
        } else {
            self.base_timestamp
        }
    }

    fn max(&self) -> i64 {
        match (self.original.timestamp_type(), self.max_timestamp) {
            (TimestampType::CreateTime, Some(largest)) => largest,
            (TimestampType::CreateTime, None) | (TimestampType::LogAppendTime, _) => {
                self.original.max_timestamp
            }
        }
    }
}

#[cfg(test)]
#[path = "rebuild_test.rs"]
mod tests;
