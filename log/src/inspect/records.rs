//! What a batch's records must agree on with its header.

use std::path::PathBuf;

use drave_protocol::record::attributes::TimestampType;
use drave_protocol::record::compression::UnpackedLimit;
use drave_protocol::record::reader::RecordReader;
use drave_protocol::record::record::RecordError;
use thiserror::Error;

use crate::error::LogError;
use crate::inspect::batches::{Body, FoundBatch};
use crate::inspect::check::{Check, Flaws};

/// More than this does not come out of a batch that is only looked at.
pub const UNPACKED_BYTES_MAX: usize = 256 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Wrong {
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("offset deltas rise up to {last}, here one is {got}")]
    OffsetDelta { last: i32, got: i32 },
    #[error("the header says the latest record is of {says}, it is of {found}")]
    LargestTimestamp { says: i64, found: i64 },
}

/// Walks the records of every batch it can look into.
#[derive(Debug)]
pub(super) struct RecordsCheck {
    path: PathBuf,
}

impl RecordsCheck {
    pub(super) fn of(path: PathBuf) -> Self {
        Self { path }
    }
}

impl Check for RecordsCheck {
    fn batch(
        &mut self,
        found: &FoundBatch,
        body: &Body<'_>,
        flaws: &mut Flaws,
    ) -> Result<(), LogError> {
        let Some(batch) = body.batch.filter(|_| body.checksum_is_right) else {
            return Ok(());
        };
        if let Err(wrong) = check(found, batch) {
            flaws.add(&self.path, found.position, wrong);
        }
        Ok(())
    }
}

/// Opens a batch to walk its records, within the bound that holds for looking at one.
pub fn open(batch: &[u8]) -> Result<RecordReader<'_>, RecordError> {
    RecordReader::open(batch, UnpackedLimit(UNPACKED_BYTES_MAX))
}

fn check(found: &FoundBatch, batch: &[u8]) -> Result<(), Wrong> {
    let header = &found.header;
    let (mut previous, mut latest) = (-1, i64::MIN);
    let mut records = open(batch)?;
    while let Some(record) = records.next_record() {
        let record = record?;
        let (last, got) = (header.last_offset_delta, record.offset_delta);
        if got <= previous || got > last {
            return Err(Wrong::OffsetDelta { last, got });
        }
        previous = got;
        latest = latest.max(record.timestamp_ms(header));
    }
    let says = header.max_timestamp;
    let is_its_own = header.timestamp_type() == TimestampType::CreateTime;
    if is_its_own && previous >= 0 && latest != says {
        let found = latest;
        return Err(Wrong::LargestTimestamp { says, found });
    }
    Ok(())
}
