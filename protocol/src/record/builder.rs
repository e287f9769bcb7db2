//! Builds batches: for clients, for the broker's own records, for tests.
//!
//! Invariants: offset deltas are 0, 1, 2, …; the checksum is right; the base offset is what the
//! caller says (0 by default: the leader assigns the real one).

use bytes::{Bytes, BytesMut};

use crate::ids::{LeaderEpoch, Offset, ProducerId};
use crate::record::attributes::{CONTROL_BIT, Compression, TRANSACTIONAL_BIT};
use crate::record::batch::{BatchHeader, MAGIC};
use crate::record::compression::{self, Packing};
use crate::record::record::Record;

#[derive(Clone, Debug)]
pub struct BatchBuilder {
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
    attributes: i16,
    packing: Packing,
    producer_id: ProducerId,
    producer_epoch: i16,
    base_sequence: i32,
    records: Vec<Record>,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    #[must_use]
    pub fn new() -> Self {
        Self {
            base_offset: Offset::ZERO,
            leader_epoch: LeaderEpoch::UNKNOWN,
            attributes: 0,
            packing: Packing::of(Compression::None),
            producer_id: ProducerId(-1),
            producer_epoch: -1,
            base_sequence: -1,
            records: Vec::new(),
        }
    }

    #[must_use]
    pub fn base_offset(mut self, base_offset: Offset) -> Self {
        self.base_offset = base_offset;
        self
    }

    #[must_use]
    pub fn leader_epoch(mut self, leader_epoch: LeaderEpoch) -> Self {
        self.leader_epoch = leader_epoch;
        self
    }

    /// Makes the batch an idempotent producer's.
    #[must_use]
    pub fn producer(mut self, id: ProducerId, epoch: i16, base_sequence: i32) -> Self {
        self.producer_id = id;
        self.producer_epoch = epoch;
        self.base_sequence = base_sequence;
        self
    }

    #[must_use]
    pub fn transactional(mut self) -> Self {
        self.attributes |= TRANSACTIONAL_BIT;
        self
    }

    #[must_use]
    pub fn control(mut self) -> Self {
        self.attributes |= CONTROL_BIT;
        self
    }

    #[must_use]
    pub fn packed(mut self, packing: Packing) -> Self {
        self.packing = packing;
        self
    }

    #[must_use]
    pub fn record(mut self, record: Record) -> Self {
        self.records.push(record);
        self
    }

    /// A record with no key.
    #[must_use]
    pub fn value(self, timestamp_ms: i64, value: impl Into<Bytes>) -> Self {
        self.record(Record {
            timestamp_ms,
            value: Some(value.into()),
            ..Record::default()
        })
    }

    #[must_use]
    pub fn key_value(
        self,
        timestamp_ms: i64,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> Self {
        let (key, value) = (Some(key.into()), Some(value.into()));
        self.record(Record {
            timestamp_ms,
            key,
            value,
            ..Record::default()
        })
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The batch's bytes.
    ///
    /// # Panics
    /// When there are no records, or they take 2 GiB: neither is a batch.
    pub fn build(&self) -> BytesMut {
        let n_records = i32::try_from(self.records.len()).expect("records fit a batch");
        let base_timestamp = self
            .records
            .first()
            .expect("a batch holds a record")
            .timestamp_ms;
        let max_timestamp = self.records.iter().map(|it| it.timestamp_ms).max();

        let header = BatchHeader {
            base_offset: self.base_offset,
            batch_length: 0,
            partition_leader_epoch: self.leader_epoch,
            magic: MAGIC,
            crc: 0,
            attributes: self.attributes | self.packing.codec.bits(),
            last_offset_delta: n_records - 1,
            base_timestamp,
            max_timestamp: max_timestamp.unwrap_or(base_timestamp),
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: self.base_sequence,
            records_count: n_records,
        };
        let mut records = BytesMut::new();
        for (offset_delta, record) in (0..).zip(&self.records) {
            record.encode(
                &mut records,
                offset_delta,
                record.timestamp_ms.wrapping_sub(base_timestamp),
            );
        }
        header.with_records(|batch| compression::pack(&records, self.packing, batch))
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::records::RecordBatchDecoder;

    use super::*;
    use crate::record::batch::verify_crc;

    #[test]
    fn header_says_what_was_built() {
        let producer = BatchBuilder::new()
            .producer(ProducerId(9), 3, 40)
            .transactional();
        let bytes = producer
            .base_offset(Offset(5))
            .key_value(7, "k", "v")
            .value(6, "w")
            .build();
        assert!(verify_crc(&bytes));
        let header = BatchHeader::parse(&bytes).unwrap();
        assert_eq!(
            (header.base_offset, header.next_offset()),
            (Offset(5), Offset(7))
        );
        assert_eq!(
            (header.producer_id, header.producer_epoch),
            (ProducerId(9), 3)
        );
        assert_eq!((header.base_sequence, header.records_count), (40, 2));
        assert_eq!((header.base_timestamp, header.max_timestamp), (7, 7));
        assert!(header.is_transactional() && !header.is_control());
        assert_eq!(header.total_size(), bytes.len());
    }

    #[test]
    fn another_implementation_reads_the_same_records() {
        let bytes = BatchBuilder::new()
            .key_value(100, "k1", "v1")
            .value(90, "v2")
            .build();
        let theirs = RecordBatchDecoder::decode(&mut bytes.freeze()).unwrap();
        assert_eq!(theirs.records.len(), 2);
        assert_eq!(theirs.records[0].key.as_deref(), Some(b"k1".as_slice()));
        assert_eq!(theirs.records[0].timestamp, 100);
        assert_eq!(theirs.records[1].value.as_deref(), Some(b"v2".as_slice()));
        assert_eq!(
            (theirs.records[1].timestamp, theirs.records[1].offset),
            (90, 1)
        );
    }
}
