//! The 61-byte header of a batch, read and patched in place.
//!
//! ```text
//!  0 base offset i64 | 8 length i32 | 12 leader epoch i32 | 16 magic i8 | 17 crc u32
//! 21 attributes i16 | 23 last offset delta i32 | 27 base timestamp i64 | 35 max timestamp i64
//! 43 producer id i64 | 51 producer epoch i16 | 53 base sequence i32 | 57 count i32 | 61 records
//! ```
//! Invariants: `length` counts from byte 12; the checksum covers byte 21 to the end, so base offset
//! and leader epoch can be patched without touching it. A [`BatchHeader`] promises shape only
//! (magic 2, a length that holds a header): the numbers in it are still a stranger's.
#![allow(
    clippy::indexing_slicing,
    reason = "fixed positions below checked lengths"
)]

use bytes::{BufMut, BytesMut};
use thiserror::Error;

use crate::ids::{LeaderEpoch, Offset, ProducerId};
use crate::record::attributes::{
    CODEC_MASK, CONTROL_BIT, Compression, LOG_APPEND_TIME_BIT, TRANSACTIONAL_BIT, TimestampType,
};

/// Bytes of a batch before its records.
pub const HEADER_BYTES: usize = 61;
/// Bytes before the part that `length` counts.
pub const LENGTH_OVERHEAD: usize = 12;
/// The one format served.
pub const MAGIC: i8 = 2;

const CRC_AT: usize = 17;
/// The checksum covers everything from here on.
pub const CHECKED_FROM: usize = 21;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BatchError {
    #[error("a batch needs {needed} bytes, {available} are there")]
    Truncated { needed: usize, available: usize },
    #[error("a batch says its length is {0}, less than its header")]
    BadLength(i32),
    #[error("message format {0} is not supported, only 2 is")]
    UnsupportedMagic(i8),
}

/// The header fields of one batch, copied out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: Offset,
    /// Bytes after the first 12.
    pub batch_length: i32,
    pub partition_leader_epoch: LeaderEpoch,
    pub magic: i8,
    pub crc: u32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: ProducerId,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub records_count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`; the records need not be there yet.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        // Magic comes first: an old message set is shorter than a header of ours, and its sender
        // should hear why it is refused.
        if let Some(&magic) = bytes.get(16)
            && magic.cast_signed() != MAGIC
        {
            return Err(BatchError::UnsupportedMagic(magic.cast_signed()));
        }
        if bytes.len() < HEADER_BYTES {
            return Err(BatchError::Truncated {
                needed: HEADER_BYTES,
                available: bytes.len(),
            });
        }
        let header = Self {
            base_offset: Offset(i64::from_be_bytes(array(bytes, 0))),
            batch_length: i32::from_be_bytes(array(bytes, 8)),
            partition_leader_epoch: LeaderEpoch(i32::from_be_bytes(array(bytes, 12))),
            magic: i8::from_be_bytes(array(bytes, 16)),
            crc: u32::from_be_bytes(array(bytes, CRC_AT)),
            attributes: i16::from_be_bytes(array(bytes, 21)),
            last_offset_delta: i32::from_be_bytes(array(bytes, 23)),
            base_timestamp: i64::from_be_bytes(array(bytes, 27)),
            max_timestamp: i64::from_be_bytes(array(bytes, 35)),
            producer_id: ProducerId(i64::from_be_bytes(array(bytes, 43))),
            producer_epoch: i16::from_be_bytes(array(bytes, 51)),
            base_sequence: i32::from_be_bytes(array(bytes, 53)),
            records_count: i32::from_be_bytes(array(bytes, 57)),
        };
        match usize::try_from(header.batch_length) {
            Ok(length) if length + LENGTH_OVERHEAD >= HEADER_BYTES => Ok(header),
            Ok(_) | Err(_) => Err(BatchError::BadLength(header.batch_length)),
        }
    }

    /// A batch with this header; its length and checksum are made, not taken from here.
    ///
    /// # Panics
    /// When the batch would take 2 GiB: then it is none.
    pub(crate) fn with_records(&self, write_records: impl FnOnce(&mut BytesMut)) -> BytesMut {
        let mut batch = BytesMut::with_capacity(HEADER_BYTES);
        batch.put_i64(self.base_offset.0);
        batch.put_i32(0);
        batch.put_i32(self.partition_leader_epoch.0);
        batch.put_i8(MAGIC);
        batch.put_u32(0);
        batch.put_i16(self.attributes);
        batch.put_i32(self.last_offset_delta);
        batch.put_i64(self.base_timestamp);
        batch.put_i64(self.max_timestamp);
        batch.put_i64(self.producer_id.0);
        batch.put_i16(self.producer_epoch);
        batch.put_i32(self.base_sequence);
        batch.put_i32(self.records_count);
        write_records(&mut batch);
        let length = i32::try_from(batch.len() - LENGTH_OVERHEAD);
        let length = length.expect("a batch is below 2 GiB");
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        seal(&mut batch);
        batch
    }

    /// Bytes of the whole batch, header included.
    ///
    /// # Panics
    /// When the header was not parsed but made up with a negative length.
    pub fn total_size(&self) -> usize {
        usize::try_from(self.batch_length).expect("parse refuses negative lengths")
            + LENGTH_OVERHEAD
    }

    /// Offset of the last record. Saturates, because the numbers may be a stranger's.
    pub fn last_offset(&self) -> Offset {
        Offset(
            self.base_offset
                .0
                .saturating_add(i64::from(self.last_offset_delta)),
        )
    }

    /// Offset the batch after this one gets.
    pub fn next_offset(&self) -> Offset {
        Offset(self.last_offset().0.saturating_add(1))
    }

    /// The codec, `None` when the attributes name none that exists.
    pub fn compression(&self) -> Option<Compression> {
        Compression::from_attributes(self.attributes)
    }

    pub fn is_compressed(&self) -> bool {
        self.attributes & CODEC_MASK != 0
    }

    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & LOG_APPEND_TIME_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }
}

/// Whether the stored checksum is that of the bytes. False too when `bytes` does not hold the
/// whole batch.
pub fn verify_crc(bytes: &[u8]) -> bool {
    let Ok(header) = BatchHeader::parse(bytes) else {
        return false;
    };
    bytes
        .get(CHECKED_FROM..header.total_size())
        .is_some_and(|checked| crc32c(checked) == header.crc)
}

/// CRC-32C (Castagnoli), the checksum of a batch.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// Writes what the leader decides into a header; the checksum does not cover it.
///
/// # Panics
/// When `batch` is shorter than a header.
pub fn patch(batch: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) {
    assert!(
        batch.len() >= HEADER_BYTES,
        "{} bytes are no batch",
        batch.len()
    );
    batch[..8].copy_from_slice(&base_offset.0.to_be_bytes());
    batch[12..16].copy_from_slice(&leader_epoch.0.to_be_bytes());
}

/// Turns a batch into one with `LogAppendTime`: its maximum timestamp speaks for every record.
/// The checksum is made anew, because it covers what changes.
///
/// # Panics
/// When `batch` is not exactly one whole batch.
pub fn set_log_append_time(batch: &mut [u8], timestamp_ms: i64) {
    let header = BatchHeader::parse(batch).expect("the caller validated the batch");
    assert_eq!(
        header.total_size(),
        batch.len(),
        "one whole batch is stamped"
    );
    let attributes = header.attributes | LOG_APPEND_TIME_BIT;
    batch[21..23].copy_from_slice(&attributes.to_be_bytes());
    batch[35..43].copy_from_slice(&timestamp_ms.to_be_bytes());
    seal(batch);
}

/// Says anew which timestamp is the largest, and makes the checksum anew.
///
/// # Panics
/// When `batch` is shorter than a header.
pub fn set_max_timestamp(batch: &mut [u8], timestamp_ms: i64) {
    batch[35..43].copy_from_slice(&timestamp_ms.to_be_bytes());
    seal(batch);
}

/// Makes a batch an idempotent producer's, and the checksum anew.
///
/// # Panics
/// When `batch` is shorter than a header.
pub fn set_producer(batch: &mut [u8], id: ProducerId, epoch: i16, base_sequence: i32) {
    batch[43..51].copy_from_slice(&id.0.to_be_bytes());
    batch[51..53].copy_from_slice(&epoch.to_be_bytes());
    batch[53..57].copy_from_slice(&base_sequence.to_be_bytes());
    seal(batch);
}

/// Makes the checksum of one whole batch right.
fn seal(batch: &mut [u8]) {
    let crc = crc32c(&batch[CHECKED_FROM..]);
    batch[CRC_AT..CHECKED_FROM].copy_from_slice(&crc.to_be_bytes());
}

/// Walks the batches in `bytes`: position, header and the batch's own bytes. Ends after the first
/// error; a batch cut off at the end is [`BatchError::Truncated`].
pub fn iter(bytes: &[u8]) -> Batches<'_> {
    Batches { bytes, position: 0 }
}

#[derive(Clone, Debug)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<(usize, BatchHeader, &'a [u8]), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self
            .bytes
            .get(self.position..)
            .filter(|rest| !rest.is_empty())?;
        let found = BatchHeader::parse(rest).and_then(|header| {
            let needed = header.total_size();
            let batch = rest.get(..needed).ok_or(BatchError::Truncated {
                needed,
                available: rest.len(),
            })?;
            Ok((self.position, header, batch))
        });
        self.position = match &found {
            Ok((position, _, batch)) => position + batch.len(),
            Err(_) => self.bytes.len(),
        };
        Some(found)
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::builder::BatchBuilder;

    fn batch() -> Vec<u8> {
        BatchBuilder::new()
            .value(1_000, "one")
            .value(1_005, "two")
            .build()
            .to_vec()
    }

    #[test]
    fn checksum_is_castagnoli() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn patching_offset_and_epoch_keeps_the_checksum_right() {
        let mut bytes = batch();
        patch(&mut bytes, Offset(77), LeaderEpoch(5));
        assert!(verify_crc(&bytes));
        let header = BatchHeader::parse(&bytes).unwrap();
        assert_eq!(
            (header.base_offset, header.last_offset()),
            (Offset(77), Offset(78))
        );
        assert_eq!(header.partition_leader_epoch, LeaderEpoch(5));
        assert_eq!(
            (header.base_timestamp, header.max_timestamp),
            (1_000, 1_005)
        );
    }

    #[test]
    fn stamping_append_time_makes_a_valid_batch() {
        let mut bytes = batch();
        set_log_append_time(&mut bytes, 9_999);
        assert!(verify_crc(&bytes));
        let header = BatchHeader::parse(&bytes).unwrap();
        assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!(header.max_timestamp, 9_999);
    }

    #[test]
    fn every_flipped_bit_under_the_checksum_is_seen() {
        let good = batch();
        for at in CRC_AT..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(!verify_crc(&bad), "byte {at}");
        }
    }

    #[test]
    fn old_formats_and_short_lengths_are_refused() {
        let mut old = batch();
        old[16] = 1;
        assert_eq!(
            BatchHeader::parse(&old),
            Err(BatchError::UnsupportedMagic(1))
        );
        for length in [-1, 0, 48, i32::MIN] {
            let mut bad = batch();
            bad[8..12].copy_from_slice(&length.to_be_bytes());
            assert_eq!(BatchHeader::parse(&bad), Err(BatchError::BadLength(length)));
        }
    }

    #[test]
    fn iteration_yields_whole_batches_and_says_when_one_is_cut() {
        let one = batch();
        let mut bytes = [one.as_slice(), one.as_slice()].concat();
        let found: Vec<usize> = iter(&bytes).map(|batch| batch.unwrap().0).collect();
        assert_eq!(found, [0, one.len()]);
        bytes.pop();
        let last = iter(&bytes).last().unwrap();
        assert_eq!(
            last.unwrap_err(),
            BatchError::Truncated {
                needed: one.len(),
                available: one.len() - 1
            }
        );
        assert_eq!(iter(&bytes).count(), 2);
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for (_, header, _) in iter(&bytes).flatten() {
                let _ = header.next_offset();
            }
            let _ = verify_crc(&bytes);
        }

        #[test]
        fn any_header_is_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 61..200)) {
            bytes[16] = 2;
            let _ = verify_crc(&bytes);
            let _ = iter(&bytes).count();
        }
    }
}
