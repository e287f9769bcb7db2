//! Batches handed out as places in a file.

use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use drave_log::fs::{FileSystem, RealFs};
use drave_log::{LogConfig, LogError, LogSlice, PartitionLog};
use drave_protocol::ids::{LeaderEpoch, Offset};
use drave_protocol::record::builder::BatchBuilder;
use rustix::fs::{Advice, fadvise};

use crate::support::*;

fn slice(log: &PartitionLog, from: i64, upper: i64, max_bytes: usize) -> LogSlice {
    log.slice(Offset(from), Offset(upper), max_bytes)
        .unwrap()
        .unwrap()
}

fn large_batch() -> BytesMut {
    BatchBuilder::new().value(NOW, "x".repeat(10_000)).build()
}

#[test]
fn finding_a_slice_reads_no_records() {
    let fs = disk();
    let config = LogConfig::default();
    let dir = dir();
    let (mut log, _) = PartitionLog::open(
        Arc::new(fs.clone()),
        &dir,
        config,
        Offset::ZERO,
        Offset::ZERO,
    )
    .unwrap();
    for _ in 0..300 {
        log.append_as_leader(large_batch(), LeaderEpoch(0), NOW)
            .unwrap();
    }
    let before = fs.n_bytes_read();
    let found = slice(&log, 17, 250, 2_000_000);
    assert!(found.len() > 1_900_000, "{found:?}");
    let n_read = fs.n_bytes_read() - before;
    assert!(n_read < 30_000, "{n_read}");
}

#[test]
fn a_slice_ends_where_the_bounds_say_with_any_density_of_the_index() {
    for index_interval_bytes in [1, 250, 1_000_000] {
        let fs = disk();
        let config = LogConfig {
            index_interval_bytes,
            ..LogConfig::default()
        };
        let (mut log, _) = PartitionLog::open(
            Arc::new(fs.clone()),
            &dir(),
            config,
            Offset::ZERO,
            Offset::ZERO,
        )
        .unwrap();
        for _ in 0..100 {
            append(&mut log, 2);
        }
        let one = batch(2).len();
        for (from, upper, max_bytes, n) in [
            (0, 200, usize::MAX, 100),
            (1, 200, one * 50 + 1, 50),
            (100, 200, one * 50, 50),
            (100, 171, usize::MAX, 35),
            (198, 200, 0, 1),
            (60, 62, usize::MAX, 1),
        ] {
            let found = slice(&log, from, upper, max_bytes);
            assert_eq!(found.len(), n * one, "{from}..{upper}, {max_bytes} bytes");
            let bytes = found.read().unwrap();
            assert_eq!(bases(&bytes)[0], from / 2 * 2);
        }
        assert!(
            log.slice(Offset(60), Offset(61), 1000).unwrap().is_none(),
            "the batch there reaches the bound"
        );
    }
}

#[test]
fn a_slice_outlives_the_segment_it_lies_in() {
    let mut log = open(&disk());
    for _ in 0..20 {
        append(&mut log, 3);
    }
    let found = slice(&log, 0, 60, 400);
    let bytes = found.read().unwrap();
    log.advance_log_start_offset(Offset(45)).unwrap();
    assert!(log.read(Offset(0), Offset(60), 400).is_err());
    assert_eq!(found.read().unwrap(), bytes);
}

#[test]
fn a_slice_that_was_truncated_fails_rather_than_come_up_short() {
    let mut log = open(&disk());
    for _ in 0..3 {
        append(&mut log, 2);
    }
    let found = slice(&log, 0, 6, 10_000);
    log.truncate_to(Offset(4)).unwrap();
    let is_cut = |error: LogError| matches!(error, LogError::Io { source, .. } if source.kind() == std::io::ErrorKind::UnexpectedEof);
    assert!(is_cut(found.read().unwrap_err()));
    let mut bytes = vec![0; found.len()];
    assert!(is_cut(found.read_exact(&mut bytes).unwrap_err()));
    assert!(is_cut(found.read_exact_cached(&mut bytes).unwrap_err()));
    assert!(is_cut(found.cut_short()));
}

#[test]
fn the_machines_files_give_what_was_written_by_every_way_of_reading() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("orders-0");
    let (mut log, _) =
        PartitionLog::open(Arc::new(RealFs), &dir, small(), Offset::ZERO, Offset::ZERO).unwrap();
    for _ in 0..3 {
        append(&mut log, 2);
    }
    let mut found = slice(&log, 0, 6, 10_000);
    assert!(found.as_fd().is_some());
    let all = found.read().unwrap();
    assert_eq!(bases(&all), [0, 2, 4]);
    let mut bytes = vec![0; found.len()];
    found.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, all);
    bytes.fill(0);
    // Not every file system can tell what is in memory.
    if found.read_exact_cached(&mut bytes).unwrap() {
        assert_eq!(bytes, all);
    }
    let one = batch(2).len();
    found.advance(one);
    assert_eq!(bases(&found.read().unwrap()), [2, 4]);
    found.advance(2 * one);
    assert!(found.is_empty());
}

#[test]
fn a_reader_who_goes_on_is_not_looked_up_again() {
    let fs = disk();
    let (mut log, _) = PartitionLog::open(
        Arc::new(fs.clone()),
        &dir(),
        LogConfig {
            segment_bytes: 1 << 20,
            ..small()
        },
        Offset::ZERO,
        Offset::ZERO,
    )
    .unwrap();
    for _ in 0..2_000 {
        append(&mut log, 2);
    }
    let n_read = |from: i64| {
        let before = fs.n_bytes_read();
        let found = slice(&log, from, 4_000, 5 * batch(2).len());
        assert_eq!(
            bases(&found.read().unwrap()),
            [0, 2, 4, 6, 8].map(|it| it + from)
        );
        fs.n_bytes_read() - before
    };
    let (looked_up, gone_on, again) = (n_read(2_000), n_read(2_010), n_read(2_010));
    assert!(
        gone_on + 4_000 < looked_up,
        "{gone_on} bytes were read, {looked_up} before"
    );
    assert_eq!(
        again, gone_on,
        "a second reader goes on from the same place"
    );
}

const HEADER_BYTES: u64 = 61;

fn with_large_batches(fs: Arc<dyn FileSystem>, dir: &Path, n: i64) -> PartitionLog {
    let config = LogConfig::default();
    let (mut log, _) = PartitionLog::open(fs, dir, config, Offset::ZERO, Offset::ZERO).unwrap();
    for _ in 0..n {
        log.append_as_leader(large_batch(), LeaderEpoch(0), NOW)
            .unwrap();
    }
    log
}

#[test]
fn one_who_goes_on_reads_the_header_where_he_stops_and_nothing_else() {
    let fs = disk();
    let log = with_large_batches(Arc::new(fs.clone()), &dir(), 300);
    let mut from = 100;
    slice(&log, from - 5, 300, 5 * large_batch().len());
    for _ in 0..20 {
        let before = fs.n_bytes_read();
        slice(&log, from, 300, 5 * large_batch().len());
        assert_eq!(fs.n_bytes_read() - before, HEADER_BYTES, "from {from}");
        from += 5;
    }
}

#[test]
fn one_who_waits_at_the_end_reads_no_header_of_what_is_written_next() {
    let fs = disk();
    let mut log = with_large_batches(Arc::new(fs.clone()), &dir(), 100);
    slice(&log, 90, 100, 1_000_000);
    let before = fs.n_bytes_read();
    for end in 101..110 {
        log.append_as_leader(large_batch(), LeaderEpoch(0), NOW)
            .unwrap();
        let found = slice(&log, end - 1, end, 1_000_000);
        assert_eq!(found.len(), large_batch().len());
    }
    assert_eq!(fs.n_bytes_read(), before);
}

#[test]
fn a_place_where_somebody_stopped_is_not_taken_for_memory() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("orders-0");
    let mut log = with_large_batches(Arc::new(RealFs), &dir, 100);
    log.flush().unwrap();
    let five = 5 * large_batch().len();
    let stopped = slice(&log, 0, 100, five);
    fadvise(stopped.as_fd().unwrap(), 0, None, Advice::DontNeed).unwrap();
    let going_on = slice(&log, 5, 100, five);
    let mut bytes = vec![0; five];
    // A file system may keep what it is told to forget.
    if going_on.is_cached(five).unwrap() {
        assert!(going_on.read_exact_cached(&mut bytes).unwrap());
    }
    going_on.bring_in(five).unwrap();
    going_on.read_exact(&mut bytes).unwrap();
}

#[test]
fn nobody_goes_on_where_the_log_was_cut_and_written_anew() {
    let fs = disk();
    let mut log = open(&fs);
    for _ in 0..4 {
        append(&mut log, 2);
    }
    // Readers stopped at 2, 4, 6 and 8.
    for n in 1..=4 {
        slice(&log, 0, 8, n * batch(2).len());
    }
    log.truncate_to(Offset(2)).unwrap();
    for n in [1, 3, 1, 2] {
        append(&mut log, n);
    }
    for (from, base) in [(2, 2), (3, 3), (4, 3), (6, 6), (8, 7)] {
        let found = slice(&log, from, 9, 1);
        assert_eq!(bases(&found.read().unwrap()), [base], "at {from}");
    }
}
