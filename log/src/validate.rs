//! What a leader checks before it appends a client's batch. Pure.
//!
//! Promises of a validated batch: the bytes are exactly one batch of magic 2 with a right checksum;
//! its offsets are dense and count up from its base; it is no control batch; its codec exists; its
//! timestamps are within bounds. Records of an uncompressed batch were walked one by one; those of
//! a compressed one were not opened.

use drave_protocol::ids::ProducerId;
use drave_protocol::record::attributes::TimestampType;
use drave_protocol::record::batch::{self, BatchError, BatchHeader};
use drave_protocol::record::record;

use crate::config::LogConfig;
use crate::error::{AppendError, Fault, InvalidRecord};

/// A record without a time of its own says -1.
const NO_TIMESTAMP: i64 = -1;

pub fn validate(bytes: &[u8], config: &LogConfig, now_ms: i64) -> Result<BatchHeader, AppendError> {
    if bytes.len() > config.message_bytes_max {
        let (size, max) = (bytes.len(), config.message_bytes_max);
        return Err(AppendError::TooLarge { size, max });
    }
    let header = one_batch(bytes)?;
    if !batch::verify_crc(bytes) {
        return Err(Fault::Checksum.into());
    }
    check_header(&header)?;
    if config.timestamp_type == TimestampType::CreateTime {
        check_times(&header, config, now_ms)?;
    }
    if !header.is_compressed() {
        check_records(bytes, config)?;
    }
    Ok(header)
}

fn one_batch(bytes: &[u8]) -> Result<BatchHeader, AppendError> {
    if bytes.is_empty() {
        return Err(InvalidRecord::NotOneBatch.into());
    }
    let header = BatchHeader::parse(bytes).map_err(|error| match error {
        BatchError::UnsupportedMagic(magic) => AppendError::UnsupportedFormat { magic },
        BatchError::Truncated { .. } | BatchError::BadLength(_) => Fault::Shape(error).into(),
    })?;
    let (needed, available) = (header.total_size(), bytes.len());
    if available < needed {
        return Err(Fault::Shape(BatchError::Truncated { needed, available }).into());
    }
    if available > needed {
        return Err(InvalidRecord::NotOneBatch.into());
    }
    Ok(header)
}

fn check_header(header: &BatchHeader) -> Result<(), InvalidRecord> {
    let (count, last_offset_delta) = (header.records_count, header.last_offset_delta);
    if count < 1 || count - 1 != last_offset_delta {
        return Err(InvalidRecord::Count {
            count,
            last_offset_delta,
        });
    }
    if header.is_control() {
        return Err(InvalidRecord::Control);
    }
    if header.compression().is_none() {
        return Err(InvalidRecord::UnknownCompression(header.attributes));
    }
    let has_producer = header.producer_id >= ProducerId(0);
    let unnumbered = header.producer_epoch < 0 || header.base_sequence < 0;
    if has_producer && unnumbered || header.is_transactional() && !has_producer {
        return Err(InvalidRecord::Producer {
            producer_id: header.producer_id.0,
            epoch: header.producer_epoch,
            sequence: header.base_sequence,
        });
    }
    Ok(())
}

/// Only the header's bounds: it says the largest time of all records and the first one's.
fn check_times(header: &BatchHeader, config: &LogConfig, now_ms: i64) -> Result<(), AppendError> {
    if header.timestamp_type() == TimestampType::LogAppendTime {
        return Err(AppendError::InvalidTimestamp {
            timestamp_ms: header.max_timestamp,
            now_ms,
        });
    }
    let earliest = now_ms.saturating_sub(config.timestamp_before_max_ms);
    let latest = now_ms.saturating_add(config.timestamp_after_max_ms);
    for timestamp_ms in [header.base_timestamp, header.max_timestamp] {
        if timestamp_ms != NO_TIMESTAMP && !(earliest..=latest).contains(&timestamp_ms) {
            return Err(AppendError::InvalidTimestamp {
                timestamp_ms,
                now_ms,
            });
        }
    }
    Ok(())
}

fn check_records(bytes: &[u8], config: &LogConfig) -> Result<(), InvalidRecord> {
    for (expected, record) in (0..).zip(record::iter(bytes)?) {
        let record = record?;
        let got = record.offset_delta;
        if got != expected {
            return Err(InvalidRecord::OffsetDelta { expected, got });
        }
        if config.cleanup.compact && record.key.is_none() {
            return Err(InvalidRecord::NoKey(expected));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "validate_test.rs"]
mod tests;
