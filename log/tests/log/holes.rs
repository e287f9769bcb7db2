//! Offsets that compaction took out of the middle.

use std::sync::Arc;

use bytes::BytesMut;
use drave_log::config::CleanupPolicy;
use drave_log::fs::faulty::{CrashLoss, FaultyFs};
use drave_log::{AppendError, LogConfig, PartitionLog};
use drave_protocol::ids::{LeaderEpoch, Offset};
use drave_protocol::record::batch;

use crate::support::*;

fn compacted(fs: &FaultyFs, recovery_point: i64) -> PartitionLog {
    let cleanup = CleanupPolicy {
        delete: false,
        compact: true,
    };
    let config = LogConfig { cleanup, ..small() };
    let fs = Arc::new(fs.clone());
    let (recovery_point, start) = (Offset(recovery_point), Offset::ZERO);
    PartitionLog::open(fs, &dir(), config, recovery_point, start)
        .unwrap()
        .0
}

/// A batch of `n` records as a leader would send it.
fn at(base_offset: i64, n: i32) -> BytesMut {
    let mut bytes = batch(n);
    batch::patch(&mut bytes, Offset(base_offset), LeaderEpoch(0));
    bytes
}

/// Offsets 0..2, 10..12, 20..22 and so on, three batches to a segment.
fn with_holes(fs: &FaultyFs, n_batches: i64) -> PartitionLog {
    let mut log = compacted(fs, 0);
    for n in 0..n_batches {
        log.append_as_follower(&at(n * 10, 2), NOW).unwrap();
    }
    log
}

#[test]
fn offsets_missing_in_a_log_that_is_not_compacted_are_refused() {
    let fs = disk();
    let mut log = open(&fs);
    log.append_as_follower(&at(0, 2), NOW).unwrap();
    let refused = log.append_as_follower(&at(10, 2), NOW);
    assert!(matches!(refused, Err(AppendError::NotNext { .. })));
    assert_eq!(log.log_end_offset(), Offset(2));
}

#[test]
fn offsets_missing_in_a_compacted_log_are_stepped_over() {
    let fs = disk();
    let log = with_holes(&fs, 9);
    assert_eq!(log.log_end_offset(), Offset(82));
    for from in 0..82 {
        let read = log.read(Offset(from), Offset(82), 1).unwrap();
        let (decade, within) = (from / 10, from % 10);
        let expected = if within < 2 { decade } else { decade + 1 };
        assert_eq!(bases(&read), [expected * 10], "reading from {from}");
    }
    assert!(log.read(Offset(33), Offset(41), 1).unwrap().is_empty());
}

#[test]
fn holes_survive_a_crash_and_a_batch_may_never_start_earlier() {
    let fs = disk();
    let mut log = with_holes(&fs, 9);
    let before = read_all(&log);
    log.flush().unwrap();
    drop(log);
    for recovery_point in [82, 40, 0] {
        fs.crash(CrashLoss::EverythingUnsynced);
        let mut log = compacted(&fs, recovery_point);
        assert_eq!(read_all(&log), before);
        let refused = log.append_as_follower(&at(80, 2), NOW);
        assert!(matches!(refused, Err(AppendError::NotNext { .. })));
    }
}

#[test]
fn a_log_cut_at_a_hole_ends_where_reopening_ends_it() {
    for to in 0..82 {
        let fs = disk();
        let mut log = with_holes(&fs, 9);
        log.truncate_to(Offset(to)).unwrap();
        let end = log.log_end_offset();
        assert!(end.0 <= to && to < end.0 + 10, "{to} was cut to {end}");
        assert_eq!(
            read_all(&log).len(),
            usize::try_from(end.0 / 10).unwrap() + usize::from(end.0 > 0)
        );
        drop(log);
        assert_eq!(compacted(&fs, 0).log_end_offset(), end);
    }
}
