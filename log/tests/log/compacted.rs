//! Compaction, short words for it: batches with keys, a pass, what is left.

use std::collections::BTreeMap;

use bytes::BytesMut;
use drave_log::compaction::{CompactionError, FullSpeed, HashKey, OffsetMap, Pace, Passed};
use drave_log::config::CleanupPolicy;
use drave_log::{LogConfig, PartitionLog, ReadError, Swapped};
use drave_protocol::ids::Offset;
use drave_protocol::record::attributes::Compression;
use drave_protocol::record::batch::{self, BatchHeader};
use drave_protocol::record::builder::BatchBuilder;
use drave_protocol::record::compression::{Packing, UnpackedLimit};
use drave_protocol::record::reader::RecordReader;
use drave_protocol::record::rebuild::Rebuild;
use drave_protocol::record::record::Record;

use crate::support::small;

/// A record as tests speak of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rec {
    pub(crate) offset: i64,
    pub(crate) timestamp_ms: i64,
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
}

pub(crate) const PLENTY: usize = 1 << 20;

pub(crate) fn compacting() -> LogConfig {
    LogConfig {
        cleanup: CleanupPolicy {
            delete: false,
            compact: true,
        },
        min_cleanable_dirty_ratio: 0.0,
        ..small()
    }
}

/// A batch of records with keys and values; no value makes a tombstone.
pub(crate) fn keyed(timestamp_ms: i64, records: &[(&str, Option<&str>)]) -> BytesMut {
    let mut builder = BatchBuilder::new();
    for (key, value) in records {
        builder = builder.record(Record {
            timestamp_ms,
            key: Some((*key).to_owned().into()),
            value: value.map(|it| it.to_owned().into()),
            headers: Vec::new(),
        });
    }
    builder.build()
}

pub(crate) fn packed(bytes: &BytesMut, codec: Compression) -> BytesMut {
    let header = BatchHeader::parse(bytes).unwrap();
    let mut rebuild = Rebuild::of(&header);
    let mut reader = RecordReader::open(bytes, UnpackedLimit::default()).unwrap();
    while let Some(record) = reader.next_record() {
        rebuild.push(&record.unwrap());
    }
    rebuild.build(Packing::of(codec))
}

/// One pass over all that may be compacted, swapped in group by group. Says where it ended.
pub(crate) fn compact(
    log: &mut PartitionLog,
    now_ms: i64,
    upper: Offset,
    memory_bytes: usize,
) -> Result<Option<(Offset, Passed)>, CompactionError> {
    compact_at(log, (now_ms, upper), memory_bytes, &mut FullSpeed)
}

pub(crate) fn compact_at(
    log: &mut PartitionLog,
    (now_ms, upper): (i64, Offset),
    memory_bytes: usize,
    pace: &mut dyn Pace,
) -> Result<Option<(Offset, Passed)>, CompactionError> {
    let Some(plan) = log.plan_compaction(now_ms, upper)? else {
        return Ok(None);
    };
    let map = OffsetMap::new(memory_bytes, plan.n_keys_at_most(), HashKey([3, 4]));
    let mut pass = plan.start(map, pace)?;
    while let Some(rewritten) = pass.next_group(pace)? {
        assert_eq!(log.swap_in(&rewritten)?, Swapped::In);
    }
    log.compacted(&pass)?;
    Ok(Some((pass.end(), pass.passed())))
}

/// Flushes and compacts everything below the active segment.
pub(crate) fn compact_all(log: &mut PartitionLog, now_ms: i64) -> Option<(Offset, Passed)> {
    log.flush().unwrap();
    compact(log, now_ms, log.log_end_offset(), PLENTY).unwrap()
}

/// All batches, and each record in them.
pub(crate) fn contents(log: &PartitionLog) -> (Vec<BatchHeader>, Vec<Rec>) {
    try_contents(log).unwrap()
}

pub(crate) fn try_contents(log: &PartitionLog) -> Result<(Vec<BatchHeader>, Vec<Rec>), ReadError> {
    let (mut headers, mut records) = (Vec::new(), Vec::new());
    let end = log.log_end_offset();
    let mut next = log.log_start_offset();
    while next < end {
        let bytes = log.read(next, end, 300)?;
        if bytes.is_empty() {
            break;
        }
        for one in batch::iter(&bytes) {
            let (_, header, bytes) = one.unwrap();
            assert!(batch::verify_crc(bytes));
            assert!(
                header.base_offset >= next || headers.is_empty(),
                "batches rise"
            );
            next = header.next_offset();
            records.extend(records_of(bytes));
            headers.push(header);
        }
    }
    Ok((headers, records))
}

pub(crate) fn records_of(bytes: &[u8]) -> Vec<Rec> {
    let mut reader = RecordReader::open(bytes, UnpackedLimit::default()).unwrap();
    let header = *reader.header();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut records = Vec::new();
    while let Some(record) = reader.next_record() {
        let record = record.unwrap();
        records.push(Rec {
            offset: record.offset(&header).0,
            timestamp_ms: record.timestamp_ms(&header),
            key: record.key.map(text),
            value: record.value.map(text),
        });
    }
    records
}

/// What a reader of all records knows in the end.
pub(crate) fn last_values(records: &[Rec]) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for record in records {
        let Some(key) = record.key.clone() else {
            continue;
        };
        match record.value.clone() {
            Some(value) => values.insert(key, value),
            None => values.remove(&key),
        };
    }
    values
}
