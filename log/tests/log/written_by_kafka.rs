//! Partitions that a Kafka broker wrote open here, and hold what Kafka's own reader says they hold.
#![allow(
    clippy::disallowed_methods,
    reason = "copies files that another program wrote"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drave_log::fs::RealFs;
use drave_log::{PartitionLog, RepairReport};
use drave_protocol::ids::Offset;

use crate::support::*;

const PARTITIONS: [&str; 4] = ["codecs-0", "transactions-0", "appendtime-0", COMPACTED];
/// With holes.
const COMPACTED: &str = "compacted-0";

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kafka-4")
}

/// A copy of a folder as Kafka left it; opening writes. Kafka marks no log that has holes, so one that
/// has is marked.
pub(crate) fn copy_of(name: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    if name == COMPACTED {
        let (mut empty, _) = open_copy(&copy, 0);
        empty.allow_holes().unwrap();
        empty.close().unwrap();
    }
    for entry in fs::read_dir(fixtures().join(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

pub(crate) fn open_copy(
    copy: &tempfile::TempDir,
    recovery_point: i64,
) -> (PartitionLog, RepairReport) {
    PartitionLog::open(
        Arc::new(RealFs),
        copy.path(),
        small(),
        Offset(recovery_point),
        Offset::ZERO,
    )
    .unwrap()
}

/// What Kafka's reader says of one batch.
#[derive(Debug)]
struct Described(String);

impl Described {
    fn all(name: &str) -> Vec<Self> {
        let text = fs::read_to_string(fixtures().join(format!("{name}.txt"))).unwrap();
        let batches = text.lines().filter(|it| it.starts_with("baseOffset: "));
        batches.map(|it| Self(it.to_owned())).collect()
    }

    fn text(&self, field: &str) -> &str {
        let mut words = self.0.split(' ');
        let name = format!("{field}:");
        assert!(words.any(|it| it == name), "no {field} in {self:?}");
        words.next().unwrap()
    }

    fn number(&self, field: &str) -> i64 {
        self.text(field).parse().unwrap()
    }
}

#[test]
fn every_batch_is_read_as_kafka_reads_it() {
    for name in PARTITIONS {
        let described = Described::all(name);
        let end = described.last().unwrap().number("lastOffset") + 1;
        // Trusting nothing, then trusting Kafka's indexes.
        for recovery_point in [0, end] {
            let copy = copy_of(name);
            let (log, _) = open_copy(&copy, recovery_point);
            let read = read_all(&log);
            assert_eq!(read.len(), described.len(), "{name}");
            assert_eq!(log.log_end_offset(), Offset(end), "{name}");
            for ((header, bytes), kafka) in read.iter().zip(&described) {
                let ours = [
                    header.base_offset.0,
                    header.last_offset().0,
                    header.records_count.into(),
                    header.producer_id.0,
                    header.producer_epoch.into(),
                    header.base_sequence.into(),
                    header.partition_leader_epoch.0.into(),
                    header.crc.into(),
                    i64::try_from(bytes.len()).unwrap(),
                ];
                let theirs = [
                    "baseOffset",
                    "lastOffset",
                    "count",
                    "producerId",
                    "producerEpoch",
                    "baseSequence",
                    "partitionLeaderEpoch",
                    "crc",
                    "size",
                ];
                assert_eq!(ours, theirs.map(|it| kafka.number(it)), "{name} {kafka:?}");
                let flags = (header.is_transactional(), header.is_control());
                let flags = (flags.0.to_string(), flags.1.to_string());
                assert_eq!(flags.0, kafka.text("isTransactional"), "{name} {kafka:?}");
                assert_eq!(flags.1, kafka.text("isControl"), "{name} {kafka:?}");
                let codec = format!("{:?}", header.compression().unwrap()).to_lowercase();
                assert_eq!(codec, kafka.text("compresscodec"), "{name} {kafka:?}");
            }
        }
    }
}

#[test]
fn every_offset_is_found_through_kafkas_indexes() {
    for name in PARTITIONS {
        let described = Described::all(name);
        let end = described.last().unwrap().number("lastOffset") + 1;
        let copy = copy_of(name);
        let (log, _) = open_copy(&copy, end);
        for batch in &described {
            for offset in batch.number("baseOffset")..=batch.number("lastOffset") {
                let bytes = log.read(Offset(offset), Offset(end), 1).unwrap();
                assert_eq!(bases(&bytes), [batch.number("baseOffset")], "{name}");
            }
        }
    }
}

#[test]
fn every_time_is_found_through_kafkas_indexes() {
    for name in PARTITIONS {
        let mut described = Described::all(name);
        let end = described.last().unwrap().number("lastOffset") + 1;
        // Compaction left one that stands for a producer and holds no record.
        described.retain(|it| it.number("count") > 0);
        let copy = copy_of(name);
        let (log, _) = open_copy(&copy, end);
        let largest = |batch: &Described| {
            let stamped = batch.0.contains("LogAppendTime");
            batch.number(["CreateTime", "LogAppendTime"][usize::from(stamped)])
        };
        for batch in &described {
            let time = largest(batch);
            let first = described.iter().find(|it| largest(it) >= time).unwrap();
            let found = log.offset_for_timestamp(time).unwrap().unwrap();
            let within = first.number("baseOffset")..=first.number("lastOffset");
            assert!(within.contains(&found.offset.0), "{name} {time} {found:?}");
        }
        let newest = described.iter().map(largest).max();
        let found = log.max_timestamp().unwrap();
        assert_eq!(found.map(|it| it.timestamp_ms), newest, "{name}");
    }
}

#[test]
fn nothing_of_what_kafka_wrote_is_cut_off() {
    for name in PARTITIONS {
        let copy = copy_of(name);
        let (log, report) = open_copy(&copy, 0);
        assert!(report.is_clean(), "{name}: {report:?}");
        assert!(log.topic_id().is_some(), "{name}");
    }
    // The second life's epoch began where its first batch is.
    let copy = copy_of("codecs-0");
    drop(open_copy(&copy, 0));
    let epochs = fs::read_to_string(copy.path().join("leader-epoch-checkpoint")).unwrap();
    assert_eq!(epochs, "0\n2\n0 0\n2 30\n");
}
