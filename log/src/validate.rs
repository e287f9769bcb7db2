//! What a leader checks before it appends a client's batch, and the form it gives it. Pure.
//!
//! Promises of a validated batch: the bytes are exactly one batch of magic 2 with a right checksum,
//! not larger than allowed; its offsets are dense and count up from its base; it is no control
//! batch; its codec is the log's, if the log names one; its timestamps are within bounds. Its
//! records were walked one by one, and its largest timestamp is theirs, unless it came compressed
//! and stays as it came: then records are opened only where the log wants their keys.

use bytes::BytesMut;
use drave_protocol::ids::ProducerId;
use drave_protocol::record::attributes::TimestampType;
use drave_protocol::record::batch::{self, BatchError, BatchHeader};
use drave_protocol::record::compression::{Packing, UnpackError, UnpackedLimit};
use drave_protocol::record::reader::RecordReader;
use drave_protocol::record::rebuild::Rebuild;
use drave_protocol::record::record::{RecordError, RecordView};

use crate::config::{LogConfig, TargetCompression};
use crate::error::{AppendError, Fault, InvalidRecord};
use crate::refused_records::{RecordFault, RefusedRecords};

/// A record without a time of its own says -1.
const NO_TIMESTAMP: i64 = -1;

/// As much as this unpacks, packs better than most, and is packed anew in half a millisecond.
const LONG_FROM_BYTES: usize = 8 * 1024;

/// A client's batch as it will lie in the log, but for its offsets.
#[derive(Debug)]
pub struct Validated {
    bytes: BytesMut,
}

impl Validated {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn into_bytes(self) -> BytesMut {
        self.bytes
    }
}

/// What a batch needs before it may be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// Its header says all there is to know.
    Header,
    /// Its records are looked at.
    Walk,
    /// Its records are packed anew.
    Rebuild(Packing),
}

impl Work {
    /// What a log with this configuration does with a batch of this header.
    fn on(header: &BatchHeader, config: &LogConfig) -> Self {
        match config.compression {
            TargetCompression::Codec { compression, level }
                if header.compression() != Some(compression) =>
            {
                let codec = compression;
                Self::Rebuild(Packing { codec, level })
            }
            TargetCompression::Codec { .. } | TargetCompression::Producer => {
                if header.is_compressed() && !config.cleanup.compact {
                    Self::Header
                } else {
                    Self::Walk
                }
            }
        }
    }
}

/// Whether to validate takes so long that a caller with other duties should step aside: records
/// would be unpacked or packed, and many of them or with much effort.
pub fn takes_long(bytes: &[u8], config: &LogConfig) -> bool {
    let is_large = bytes.len() >= LONG_FROM_BYTES;
    BatchHeader::parse(bytes).is_ok_and(|header| match Work::on(&header, config) {
        Work::Header => false,
        Work::Walk => is_large && header.is_compressed(),
        Work::Rebuild(packing) => is_large || packing.is_slow(),
    })
}

pub fn validate(
    mut bytes: BytesMut,
    config: &LogConfig,
    now_ms: i64,
) -> Result<Validated, AppendError> {
    check_size(&bytes, config)?;
    let header = one_batch(&bytes)?;
    if !batch::verify_crc(&bytes) {
        return Err(Fault::Checksum.into());
    }
    check_header(&header)?;
    let walk = Walk::new(header, config, now_ms);
    match Work::on(&header, config) {
        Work::Header => walk.header_only()?,
        Work::Walk => {
            let max_timestamp = walk.run(&bytes, |_| ())?;
            if header.max_timestamp != max_timestamp {
                batch::set_max_timestamp(&mut bytes, max_timestamp);
            }
        }
        Work::Rebuild(packing) => {
            bytes = rebuilt(&bytes, &walk, packing)?;
            check_size(&bytes, config)?;
        }
    }
    Ok(Validated { bytes })
}

fn check_size(bytes: &BytesMut, config: &LogConfig) -> Result<(), AppendError> {
    let (size, max) = (bytes.len(), config.message_bytes_max);
    if size > max {
        return Err(AppendError::TooLarge { size, max });
    }
    Ok(())
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

fn check_header(header: &BatchHeader) -> Result<(), AppendError> {
    let (count, last_offset_delta) = (header.records_count, header.last_offset_delta);
    if count < 1 || count - 1 != last_offset_delta {
        return Err(InvalidRecord::Count {
            count,
            last_offset_delta,
        }
        .into());
    }
    if header.is_control() {
        return Err(InvalidRecord::Control.into());
    }
    if header.timestamp_type() == TimestampType::LogAppendTime {
        return Err(AppendError::NotTheClientsTimestampType);
    }
    if header.compression().is_none() {
        return Err(InvalidRecord::UnknownCompression(header.attributes).into());
    }
    let has_producer = header.producer_id >= ProducerId(0);
    let unnumbered = header.producer_epoch < 0 || header.base_sequence < 0;
    if has_producer && unnumbered || header.is_transactional() && !has_producer {
        return Err(InvalidRecord::Producer {
            producer_id: header.producer_id.0,
            epoch: header.producer_epoch,
            sequence: header.base_sequence,
        }
        .into());
    }
    Ok(())
}

/// The same records, packed as the log wants them. Times count from the first one's, as if a
/// producer had made the batch.
fn rebuilt(bytes: &[u8], walk: &Walk<'_>, packing: Packing) -> Result<BytesMut, AppendError> {
    let header = walk.header;
    let mut rebuild = None;
    walk.run(bytes, |record| {
        let first_ms = record.timestamp_ms(&header);
        let fresh = || Rebuild::of(&header).base_timestamp(first_ms);
        rebuild.get_or_insert_with(fresh).push(record);
    })?;
    let rebuild = rebuild.expect("a batch of no records was refused");
    Ok(rebuild.build(packing))
}

/// The checks that need records, or what the header says of them.
struct Walk<'a> {
    header: BatchHeader,
    config: &'a LogConfig,
    earliest_ms: i64,
    latest_ms: i64,
}

impl<'a> Walk<'a> {
    fn new(header: BatchHeader, config: &'a LogConfig, now_ms: i64) -> Self {
        Self {
            header,
            config,
            earliest_ms: now_ms.saturating_sub(config.timestamp_before_max_ms),
            latest_ms: now_ms.saturating_add(config.timestamp_after_max_ms),
        }
    }

    /// The header says the largest time of all records and the first one's.
    fn header_only(&self) -> Result<(), AppendError> {
        for timestamp_ms in [self.header.base_timestamp, self.header.max_timestamp] {
            if self.is_out_of_range(timestamp_ms) {
                return Err(AppendError::InvalidTimestamp {
                    timestamp_ms,
                    earliest_ms: self.earliest_ms,
                    latest_ms: self.latest_ms,
                });
            }
        }
        Ok(())
    }

    /// Shows every record to `visit` until one is refused; returns the largest timestamp.
    fn run(
        &self,
        bytes: &[u8],
        mut visit: impl FnMut(&RecordView<'_>),
    ) -> Result<i64, AppendError> {
        let mut refused = RefusedRecords::default();
        let mut max_timestamp = NO_TIMESTAMP;
        let mut records =
            RecordReader::open(bytes, UnpackedLimit::default()).map_err(unreadable)?;
        for expected in 0.. {
            let Some(record) = records.next_record() else {
                break;
            };
            let record = record.map_err(unreadable)?;
            let got = record.offset_delta;
            if got != expected {
                return Err(InvalidRecord::OffsetDelta { expected, got }.into());
            }
            match self.fault(&record) {
                Some(fault) => refused.add(expected, fault),
                None if refused.is_empty() => visit(&record),
                None => (),
            }
            max_timestamp = max_timestamp.max(record.timestamp_ms(&self.header));
        }
        if refused.is_empty() {
            Ok(max_timestamp)
        } else {
            Err(AppendError::RefusedRecords(refused))
        }
    }

    fn fault(&self, record: &RecordView<'_>) -> Option<RecordFault> {
        let timestamp_ms = record.timestamp_ms(&self.header);
        if self.config.cleanup.compact && record.key.is_none() {
            Some(RecordFault::NoKey)
        } else if self.is_out_of_range(timestamp_ms) {
            Some(RecordFault::Timestamp {
                timestamp_ms,
                earliest_ms: self.earliest_ms,
                latest_ms: self.latest_ms,
            })
        } else {
            None
        }
    }

    fn is_out_of_range(&self, timestamp_ms: i64) -> bool {
        self.config.timestamp_type == TimestampType::CreateTime
            && timestamp_ms != NO_TIMESTAMP
            && !(self.earliest_ms..=self.latest_ms).contains(&timestamp_ms)
    }
}

/// A batch of more than we unpack is too large, which a client can mend by splitting it.
fn unreadable(error: RecordError) -> AppendError {
    match error {
        RecordError::Unpack(UnpackError::TooLarge(max)) => AppendError::UnpacksTooLarge { max },
        RecordError::Unpack(
            UnpackError::Corrupt { .. }
            | UnpackError::LyingBlock { .. }
            | UnpackError::TrailingBytes(_),
        )
        | RecordError::Batch(_)
        | RecordError::Compressed
        | RecordError::UnknownCompression(_)
        | RecordError::Varint(_)
        | RecordError::BadLength(_)
        | RecordError::BadHeaderCount(_)
        | RecordError::Overlong(_)
        | RecordError::TrailingBytes(_)
        | RecordError::BadCount(_) => InvalidRecord::Record(error).into(),
    }
}

#[cfg(test)]
#[path = "validate_test.rs"]
mod tests;

#[cfg(test)]
#[path = "validate_records_test.rs"]
mod records_tests;
