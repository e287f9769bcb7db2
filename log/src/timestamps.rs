//! Finding records by time.
//!
//! Timestamps need not rise with offsets, so the answer is the first record in offset order that is
//! late enough. Segments know their largest timestamp, and their time index where to start: what is
//! walked are the headers between two index entries, and the records of one batch.

use drave_protocol::ids::{LeaderEpoch, Offset};
use drave_protocol::record::attributes::TimestampType;
use drave_protocol::record::batch::BatchHeader;
use drave_protocol::record::compression::UnpackedLimit;
use drave_protocol::record::reader::RecordReader;

use crate::error::LogError;
use crate::segment::{Located, Segment};
use crate::segments::Segments;

/// A record's offset, its time, and the epoch of the leader that wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampedOffset {
    pub offset: Offset,
    pub timestamp_ms: i64,
    pub leader_epoch: LeaderEpoch,
}

pub(crate) fn largest(segments: &Segments) -> Result<Option<i64>, LogError> {
    let mut largest = None;
    for segment in segments.iter() {
        largest = largest.max(segment.max_timestamp()?);
    }
    Ok(largest)
}

/// The first record not before `timestamp_ms` nor below `from`.
pub(crate) fn first_at(
    segments: &Segments,
    timestamp_ms: i64,
    from: Offset,
) -> Result<Option<TimestampedOffset>, LogError> {
    for segment in segments.iter() {
        if segment
            .max_timestamp()?
            .is_none_or(|largest| largest < timestamp_ms)
        {
            continue;
        }
        for found in segment.headers_from_time(timestamp_ms)? {
            let found = found?;
            if found.header.max_timestamp >= timestamp_ms && found.header.last_offset() >= from {
                let record = in_batch(segment, &found, timestamp_ms, from)?;
                if record.is_some() {
                    return Ok(record);
                }
            }
        }
    }
    Ok(None)
}

fn in_batch(
    segment: &Segment,
    found: &Located,
    timestamp_ms: i64,
    from: Offset,
) -> Result<Option<TimestampedOffset>, LogError> {
    let header = &found.header;
    if header.timestamp_type() == TimestampType::LogAppendTime {
        return Ok(Some(whole_batch(header, timestamp_ms, from)));
    }
    let bytes = segment.bytes_at(found.position, header.total_size())?;
    // Records that cannot be walked came from a client whose leader did not look at them: then the
    // batch is as near as we get.
    let Ok(mut records) = RecordReader::open(&bytes, UnpackedLimit::default()) else {
        return Ok(Some(whole_batch(header, timestamp_ms, from)));
    };
    while let Some(record) = records.next_record() {
        let Ok(record) = record else {
            return Ok(Some(whole_batch(header, timestamp_ms, from)));
        };
        let (offset, time) = (record.offset(header), record.timestamp_ms(header));
        if time >= timestamp_ms && offset >= from {
            let leader_epoch = header.partition_leader_epoch;
            return Ok(Some(TimestampedOffset {
                offset,
                timestamp_ms: time,
                leader_epoch,
            }));
        }
    }
    Ok(None)
}

fn whole_batch(header: &BatchHeader, timestamp_ms: i64, from: Offset) -> TimestampedOffset {
    let first_is_late_enough = header.timestamp_type() == TimestampType::CreateTime
        && header.base_timestamp >= timestamp_ms;
    TimestampedOffset {
        offset: header.base_offset.max(from),
        timestamp_ms: if first_is_late_enough {
            header.base_timestamp
        } else {
            header.max_timestamp
        },
        leader_epoch: header.partition_leader_epoch,
    }
}
