use std::sync::Arc;

use drave_log::fs::{self, FileSystem, RealFs};
use drave_log::{AppendError, LogConfig, PartitionLog, ReadError};
use drave_protocol::ids::{LeaderEpoch, Offset};
use drave_protocol::record::attributes::{Compression, TimestampType};
use drave_protocol::record::batch::{BatchHeader, verify_crc};
use drave_protocol::record::builder::BatchBuilder;
use drave_protocol::record::compression::Packing;

use crate::support::*;

#[test]
fn batches_get_the_next_offsets_and_the_leaders_epoch() {
    let mut log = open(&disk());
    let first = append_in(&mut log, 3, 4);
    let second = append_in(&mut log, 2, 4);
    assert_eq!(
        (first.base_offset, first.last_offset),
        (Offset(0), Offset(2))
    );
    assert_eq!(
        (second.base_offset, second.last_offset),
        (Offset(3), Offset(4))
    );
    assert_eq!(log.log_end_offset(), Offset(5));
    for (header, bytes) in read_all(&log) {
        assert!(verify_crc(&bytes));
        assert_eq!(header.partition_leader_epoch, LeaderEpoch(4));
    }
    assert_eq!(
        log.leader_epochs().latest(),
        Some((LeaderEpoch(4), Offset(0)))
    );
}

#[test]
fn a_read_starts_at_the_batch_that_holds_the_offset() {
    let mut log = open(&disk());
    for _ in 0..3 {
        append(&mut log, 2);
    }
    let end = log.log_end_offset();
    assert_eq!(bases(&log.read(Offset(3), end, 10_000).unwrap()), [2, 4]);
    assert_eq!(bases(&log.read(Offset(0), end, 10_000).unwrap()), [0, 2, 4]);
    assert!(log.read(end, end, 10_000).unwrap().is_empty());
}

#[test]
fn a_read_never_returns_a_batch_that_reaches_the_upper_bound() {
    let mut log = open(&disk());
    for _ in 0..3 {
        append(&mut log, 2);
    }
    assert_eq!(
        bases(&log.read(Offset(0), Offset(4), 10_000).unwrap()),
        [0, 2]
    );
    assert_eq!(bases(&log.read(Offset(0), Offset(3), 10_000).unwrap()), [0]);
    assert!(log.read(Offset(2), Offset(3), 10_000).unwrap().is_empty());
}

#[test]
fn a_read_returns_whole_batches_and_one_at_least() {
    let mut log = open(&disk());
    for _ in 0..3 {
        append(&mut log, 2);
    }
    let one = batch(2).len();
    let end = log.log_end_offset();
    for (max_bytes, n) in [
        (0, 1),
        (one - 1, 1),
        (2 * one - 1, 1),
        (2 * one, 2),
        (9_999, 3),
    ] {
        assert_eq!(
            bases(&log.read(Offset(0), end, max_bytes).unwrap()).len(),
            n,
            "{max_bytes}"
        );
    }
}

#[test]
fn offsets_outside_the_log_are_refused_with_its_bounds() {
    let mut log = open(&disk());
    append(&mut log, 2);
    for bad in [-1, 3] {
        let refused = log.read(Offset(bad), Offset(9), 100).unwrap_err();
        let ReadError::OffsetOutOfRange {
            offset,
            log_start_offset,
            log_end_offset,
        } = refused
        else {
            panic!("{refused}")
        };
        assert_eq!(
            (offset, log_start_offset, log_end_offset),
            (Offset(bad), Offset(0), Offset(2))
        );
    }
}

#[test]
fn the_log_rolls_and_reads_across_segments() {
    let fs = disk();
    let mut log = open(&fs);
    for _ in 0..20 {
        append(&mut log, 3);
    }
    let n_segments = names(&fs, &dir())
        .iter()
        .filter(|it| it.ends_with(".log"))
        .count();
    assert!(n_segments > 3, "{n_segments}");
    let offsets: Vec<i64> = read_all(&log)
        .iter()
        .map(|(header, _)| header.base_offset.0)
        .collect();
    assert_eq!(offsets, (0..60).step_by(3).collect::<Vec<_>>());
    for from in 0..60 {
        let found = bases(&log.read(Offset(from), Offset(60), 1).unwrap());
        assert_eq!(found, [from / 3 * 3], "reading at {from}");
    }
}

#[test]
fn append_time_is_stamped_when_the_log_says_so() {
    let config = LogConfig {
        timestamp_type: TimestampType::LogAppendTime,
        ..small()
    };
    let fs = Arc::new(disk());
    let (mut log, _) = PartitionLog::open(fs, &dir(), config, Offset::ZERO, Offset::ZERO).unwrap();
    let appended = log
        .append_as_leader(batch(2), LeaderEpoch(0), NOW + 77)
        .unwrap();
    assert_eq!(appended.log_append_time_ms, Some(NOW + 77));
    let (header, bytes) = read_all(&log).remove(0);
    assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(header.max_timestamp, NOW + 77);
    assert!(verify_crc(&bytes));
}

#[test]
fn a_refused_batch_leaves_no_trace() {
    let mut log = open(&disk());
    append(&mut log, 1);
    let mut bad = batch(1);
    bad[65] ^= 1;
    let refused = log.append_as_leader(bad, LeaderEpoch(9), NOW);
    assert!(matches!(refused, Err(AppendError::CorruptBatch(_))));
    assert_eq!(log.log_end_offset(), Offset(1));
    assert_eq!(log.leader_epochs().latest_epoch(), Some(LeaderEpoch(0)));
}

#[test]
fn the_broker_itself_may_write_control_batches() {
    let mut log = open(&disk());
    let control = BatchBuilder::new()
        .control()
        .key_value(NOW, "k", "v")
        .build();
    assert!(
        log.append_as_leader(control.clone(), LeaderEpoch(0), NOW)
            .is_err()
    );
    log.append_own(control, LeaderEpoch(0), NOW).unwrap();
    assert!(read_all(&log)[0].0.is_control());
}

#[test]
fn a_follower_holds_the_leaders_bytes() {
    let (leader_disk, follower_disk) = (disk(), disk());
    let (mut leader, mut follower) = (open(&leader_disk), open(&follower_disk));
    for epoch in [0, 0, 2, 5] {
        append_in(&mut leader, 2, epoch);
    }
    let all = leader
        .read(Offset(0), leader.log_end_offset(), 10_000)
        .unwrap();
    let appended = follower.append_as_follower(&all, NOW).unwrap();
    assert_eq!(
        (appended.base_offset, appended.last_offset),
        (Offset(0), Offset(7))
    );
    assert_eq!(read_all(&follower), read_all(&leader));
    assert_eq!(follower.leader_epochs(), leader.leader_epochs());
    let nothing = follower.append_as_follower(&[], NOW).unwrap();
    assert_eq!(
        (nothing.base_offset, nothing.last_offset),
        (Offset(8), Offset(7))
    );
}

#[test]
fn a_follower_refuses_what_does_not_follow() {
    let mut log = open(&disk());
    append_in(&mut log, 2, 3);
    let at = |offset, epoch| {
        let builder = BatchBuilder::new().base_offset(Offset(offset));
        builder
            .leader_epoch(LeaderEpoch(epoch))
            .value(NOW, "v")
            .build()
    };
    for offset in [1, 3] {
        let refused = log.append_as_follower(&at(offset, 3), NOW).unwrap_err();
        let next = (Offset(2), Offset(offset));
        assert!(
            matches!(refused, AppendError::NotNext { expected, got } if (expected, got) == next)
        );
    }
    let stale = log.append_as_follower(&at(2, 2), NOW);
    assert!(matches!(stale, Err(AppendError::CorruptBatch(_))));
    let cut = &at(2, 3)[..65];
    assert!(matches!(
        log.append_as_follower(cut, NOW),
        Err(AppendError::CorruptBatch(_))
    ));
    // The second batch is bad: the first is not appended either.
    let two = [&at(2, 3)[..], &at(4, 3)[..]].concat();
    assert!(matches!(
        log.append_as_follower(&two, NOW),
        Err(AppendError::NotNext { .. })
    ));
    assert_eq!(log.log_end_offset(), Offset(2));
}

#[test]
#[should_panic(expected = "leader epoch falls from 5 to 4")]
fn appending_with_a_fallen_epoch_is_a_broken_invariant() {
    let mut log = open(&disk());
    append_in(&mut log, 1, 5);
    append_in(&mut log, 1, 4);
}

#[test]
fn records_are_found_by_time() {
    let mut log = open(&disk());
    for start in [100, 300, 200] {
        let builder = BatchBuilder::new()
            .value(NOW + start, "a")
            .value(NOW + start + 50, "b");
        log.append_as_leader(builder.build(), LeaderEpoch(1), NOW)
            .unwrap();
    }
    let at = |time| {
        log.offset_for_timestamp(NOW + time)
            .unwrap()
            .map(|it| (it.offset.0, it.timestamp_ms - NOW))
    };
    assert_eq!(at(0), Some((0, 100)));
    assert_eq!(at(101), Some((1, 150)));
    assert_eq!(at(151), Some((2, 300)));
    assert_eq!(at(350), Some((3, 350)));
    assert_eq!(at(351), None);
    let newest = log.max_timestamp().unwrap().unwrap();
    assert_eq!((newest.offset, newest.timestamp_ms), (Offset(3), NOW + 350));
    assert_eq!(newest.leader_epoch, LeaderEpoch(1));
    assert!(open(&disk()).max_timestamp().unwrap().is_none());
}

#[test]
fn a_compressed_batch_is_found_as_a_whole() {
    let mut log = open(&disk());
    let mut compressed = batch(3);
    // Says zstd; the records are not looked at.
    compressed[22] |= 4;
    let crc = drave_protocol::record::batch::crc32c(&compressed[21..]);
    compressed[17..21].copy_from_slice(&crc.to_be_bytes());
    append(&mut log, 1);
    log.append_as_leader(compressed, LeaderEpoch(0), NOW)
        .unwrap();
    let found = log.offset_for_timestamp(NOW + 1).unwrap().unwrap();
    assert_eq!((found.offset, found.timestamp_ms), (Offset(1), NOW + 2));
}

#[test]
fn a_log_lives_on_a_real_disk() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("orders-0");
    let open = |recovery_point| {
        let fs = Arc::new(RealFs);
        PartitionLog::open(fs, &dir, small(), recovery_point, Offset::ZERO)
            .unwrap()
            .0
    };
    let mut log = open(Offset::ZERO);
    for _ in 0..20 {
        append(&mut log, 3);
    }
    log.flush().unwrap();
    let (before, recovery_point) = (read_all(&log), log.recovery_point());
    assert_eq!(recovery_point, Offset(60));
    drop(log);
    for trusted in [recovery_point, Offset(30), Offset::ZERO] {
        assert_eq!(read_all(&open(trusted)), before);
    }
    let first = dir.join("00000000000000000000.log");
    let header = BatchHeader::parse(&fs::read_file(&RealFs, &first).unwrap()).unwrap();
    assert_eq!(header.base_offset, Offset(0));
    open(recovery_point).delete().unwrap();
    assert!(RealFs.list(folder.path()).unwrap().is_empty());
}

#[test]
fn a_time_finds_its_record_inside_a_compressed_batch() {
    let mut log = open(&disk());
    for codec in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let mut batch = BatchBuilder::new().packed(Packing::of(codec));
        let first = log.log_end_offset();
        for n in 0..10 {
            batch = batch.value(NOW + first.0 * 100 + n * 10, format!("{codec} {n}"));
        }
        log.append_as_leader(batch.build(), LeaderEpoch(0), NOW)
            .unwrap();
        let time = NOW + first.0 * 100 + 55;
        let found = log.offset_for_timestamp(time).unwrap().unwrap();
        assert_eq!(found.offset, first + 6, "{codec}");
        assert_eq!(found.timestamp_ms, time + 5);
    }
}
