//! What one entry of each kind of file looks like, as a row of a table and as an object.

use drave_log::inspect::batches::{Body, FoundBatch};
use drave_log::inspect::offset_index::OffsetEntry;
use drave_log::inspect::snapshots::SnapshotEntry;
use drave_log::inspect::stat::codec_name;
use drave_log::inspect::time_index::TimeEntry;
use drave_log::inspect::transactions::TransactionEntry;
use drave_log::leader_epochs::EpochStart;
use drave_protocol::record::attributes::{CODEC_MASK, TimestampType};
use serde_json::{Value, json};

use crate::cli::log::text::time;
use crate::cli::output::list;

/// An entry that can be shown.
pub(super) trait Shown {
    /// Headings of the columns, and how wide they are at least.
    const COLUMNS: &'static [(&'static str, usize)];

    fn row(&self) -> Vec<String>;

    fn json(&self) -> Value;
}

impl Shown for (&FoundBatch, &Body<'_>) {
    const COLUMNS: &'static [(&'static str, usize)] = &[
        ("AT", 8),
        ("OFFSETS", 11),
        ("RECORDS", 7),
        ("BYTES", 7),
        ("EPOCH", 5),
        ("CODEC", 6),
        ("LATEST", 24),
        ("PRODUCER", 12),
        ("MARKS", 21),
        ("CRC", 3),
    ];

    fn row(&self) -> Vec<String> {
        let (found, body) = self;
        let header = &found.header;
        let producer = if header.producer_id.0 < 0 {
            "-".to_owned()
        } else {
            let (id, epoch) = (header.producer_id, header.producer_epoch);
            format!("{id}/{epoch} from {}", header.base_sequence)
        };
        let is_stamped = header.timestamp_type() == TimestampType::LogAppendTime;
        let marks = [
            (header.is_control(), "control"),
            (header.is_transactional(), "transactional"),
            (is_stamped, "append-time"),
        ];
        let marks = marks
            .into_iter()
            .filter_map(|(is, name)| is.then_some(name));
        let crc = if body.checksum_is_right {
            "ok"
        } else {
            "WRONG"
        };
        vec![
            found.position.to_string(),
            format!("{}..{}", header.base_offset, header.last_offset()),
            header.records_count.to_string(),
            header.total_size().to_string(),
            header.partition_leader_epoch.to_string(),
            codec(found).to_owned(),
            time(header.max_timestamp),
            producer,
            list(marks),
            crc.to_owned(),
        ]
    }

    fn json(&self) -> Value {
        let (found, body) = self;
        let header = &found.header;
        let timestamp_type = match header.timestamp_type() {
            TimestampType::CreateTime => "create_time",
            TimestampType::LogAppendTime => "log_append_time",
        };
        json!({
            "type": "batch",
            "position": found.position,
            "bytes": header.total_size(),
            "base_offset": header.base_offset.0,
            "last_offset": header.last_offset().0,
            "records": header.records_count,
            "leader_epoch": header.partition_leader_epoch.0,
            "codec": codec(found),
            "timestamp_type": timestamp_type,
            "base_timestamp_ms": header.base_timestamp,
            "max_timestamp_ms": header.max_timestamp,
            "producer_id": header.producer_id.0,
            "producer_epoch": header.producer_epoch,
            "base_sequence": header.base_sequence,
            "transactional": header.is_transactional(),
            "control": header.is_control(),
            "crc": format!("{:08x}", header.crc),
            "crc_ok": body.checksum_is_right,
        })
    }
}

fn codec(found: &FoundBatch) -> &'static str {
    codec_name(u16::try_from(found.header.attributes & CODEC_MASK).unwrap_or_default())
}

impl Shown for OffsetEntry {
    const COLUMNS: &'static [(&'static str, usize)] =
        &[("AT", 8), ("LAST OFFSET", 11), ("BATCH AT", 8)];

    fn row(&self) -> Vec<String> {
        vec![
            self.position.to_string(),
            self.last_offset.to_string(),
            self.batch_position.to_string(),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "type": "offset_index_entry",
            "position": self.position,
            "last_offset": self.last_offset.0,
            "batch_position": self.batch_position,
        })
    }
}

impl Shown for TimeEntry {
    const COLUMNS: &'static [(&'static str, usize)] =
        &[("AT", 8), ("LATEST", 24), ("UP TO OFFSET", 12)];

    fn row(&self) -> Vec<String> {
        vec![
            self.position.to_string(),
            time(self.timestamp_ms),
            self.offset.to_string(),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "type": "time_index_entry",
            "position": self.position,
            "timestamp_ms": self.timestamp_ms,
            "offset": self.offset.0,
        })
    }
}

impl Shown for TransactionEntry {
    const COLUMNS: &'static [(&'static str, usize)] = &[
        ("AT", 8),
        ("PRODUCER", 8),
        ("ABORTED", 11),
        ("STABLE BELOW", 12),
    ];

    fn row(&self) -> Vec<String> {
        let aborted = &self.aborted;
        vec![
            self.position.to_string(),
            aborted.producer_id.to_string(),
            format!("{}..{}", aborted.first_offset, aborted.last_offset),
            aborted.last_stable_offset.to_string(),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "type": "aborted_transaction",
            "position": self.position,
            "producer_id": self.aborted.producer_id.0,
            "first_offset": self.aborted.first_offset.0,
            "last_offset": self.aborted.last_offset.0,
            "last_stable_offset": self.aborted.last_stable_offset.0,
        })
    }
}

impl Shown for SnapshotEntry {
    const COLUMNS: &'static [(&'static str, usize)] = &[
        ("PRODUCER", 8),
        ("EPOCH", 5),
        ("LAST SEQUENCE", 13),
        ("OFFSETS", 11),
        ("TIME", 24),
        ("COORDINATOR EPOCH", 17),
        ("OPEN SINCE", 10),
    ];

    fn row(&self) -> Vec<String> {
        let last = self.last_offset;
        let offsets = if last.0 < 0 {
            "-".to_owned()
        } else {
            format!("{}..{last}", last + -i64::from(self.offset_delta))
        };
        vec![
            self.producer_id.to_string(),
            self.producer_epoch.to_string(),
            self.last_sequence.to_string(),
            offsets,
            time(self.timestamp_ms),
            self.coordinator_epoch.to_string(),
            list(self.transaction_start),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "type": "producer",
            "producer_id": self.producer_id.0,
            "producer_epoch": self.producer_epoch,
            "last_sequence": self.last_sequence,
            "last_offset": self.last_offset.0,
            "offset_delta": self.offset_delta,
            "timestamp_ms": self.timestamp_ms,
            "coordinator_epoch": self.coordinator_epoch,
            "transaction_start": self.transaction_start.map(|it| it.0),
        })
    }
}

impl Shown for EpochStart {
    const COLUMNS: &'static [(&'static str, usize)] = &[("EPOCH", 5), ("STARTS AT", 9)];

    fn row(&self) -> Vec<String> {
        vec![self.epoch.to_string(), self.start_offset.to_string()]
    }

    fn json(&self) -> Value {
        json!({
            "type": "leader_epoch",
            "leader_epoch": self.epoch.0,
            "start_offset": self.start_offset.0,
        })
    }
}
