//! When a segment ends and the next one starts.

use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use drave_log::config::CleanupPolicy;
use drave_log::fs::faulty::FaultyFs;
use drave_log::{LogConfig, PartitionLog};
use drave_protocol::ids::{LeaderEpoch, Offset};
use drave_protocol::record::batch;
use drave_protocol::record::builder::BatchBuilder;

use crate::support::*;

fn open_in(fs: &FaultyFs, path: &Path, config: LogConfig) -> PartitionLog {
    let fs = Arc::new(fs.clone());
    PartitionLog::open(fs, path, config, Offset::ZERO, Offset::ZERO)
        .unwrap()
        .0
}

fn open_with(fs: &FaultyFs, config: LogConfig) -> PartitionLog {
    open_in(fs, &dir(), config)
}

fn at(time: i64) -> BytesMut {
    BatchBuilder::new().value(time, "v").build()
}

fn write(log: &mut PartitionLog, time: i64, now: i64) {
    log.append_as_leader(at(time), LeaderEpoch(0), now).unwrap();
}

/// Base offsets of the segments.
fn segments(fs: &FaultyFs, path: &Path) -> Vec<i64> {
    let names = names(fs, path);
    let digits = names.iter().filter_map(|it| it.strip_suffix(".log"));
    digits.map(|it| it.parse().unwrap()).collect()
}

#[test]
fn a_segment_ends_when_its_records_are_old_and_whatever_the_clock_says() {
    let fs = disk();
    let config = LogConfig {
        segment_ms: 100,
        ..LogConfig::default()
    };
    let mut log = open_with(&fs, config.clone());
    write(&mut log, NOW, NOW + 500);
    write(&mut log, NOW + 100, NOW + 900);
    // Not across a restart either.
    drop(log);
    let mut log = open_with(&fs, config);
    write(&mut log, NOW - 500, NOW + 9_000);
    write(&mut log, NOW + 100, NOW + 9_000);
    assert_eq!(segments(&fs, &dir()), [0]);
    write(&mut log, NOW + 101, NOW + 9_000);
    write(&mut log, NOW + 201, NOW + 9_000);
    assert_eq!(segments(&fs, &dir()), [0, 4]);
    write(&mut log, NOW + 202, NOW + 9_000);
    assert_eq!(segments(&fs, &dir()), [0, 4, 6]);
}

#[test]
fn the_clock_tells_the_age_of_records_without_a_time() {
    let fs = disk();
    let config = LogConfig {
        segment_ms: 100,
        ..LogConfig::default()
    };
    let mut log = open_with(&fs, config);
    for now in [0, 60, 100, 101, 200, 201, 202] {
        write(&mut log, -1, NOW + now);
    }
    assert_eq!(segments(&fs, &dir()), [0, 3, 6]);
}

#[test]
fn logs_with_jitter_do_not_roll_together_and_none_rolls_late() {
    let config = LogConfig {
        segment_ms: 1_000,
        segment_jitter_ms: 400,
        ..LogConfig::default()
    };
    let roll_of = |partition: i32| {
        let fs = disk();
        let path = dir().with_file_name(format!("orders-{partition}"));
        let mut log = open_in(&fs, &path, config.clone());
        write(&mut log, NOW, NOW);
        (600..2_000).find(|age| {
            write(&mut log, NOW + age, NOW);
            segments(&fs, &path).len() > 1
        })
    };
    let mut ages: Vec<i64> = (0..20).filter_map(roll_of).collect();
    assert!(
        ages.iter().all(|age| (602..=1_001).contains(age)),
        "{ages:?}"
    );
    ages.sort_unstable();
    ages.dedup();
    assert!(ages.len() > 15, "{ages:?}");
    assert_eq!(roll_of(7), roll_of(7));
}

#[test]
fn a_full_index_ends_its_segment() {
    let fs = disk();
    let config = LogConfig {
        segment_index_bytes: 60,
        index_interval_bytes: 0,
        ..LogConfig::default()
    };
    let mut log = open_with(&fs, config);
    // Each time the same: seven entries of the offset index, one of the time index.
    for _ in 0..9 {
        write(&mut log, NOW, NOW);
    }
    assert_eq!(segments(&fs, &dir()), [0, 8]);
    // Each time a new one: four entries of the time index, and one kept for the end.
    for n in 0..11 {
        write(&mut log, NOW + n, NOW);
    }
    assert_eq!(segments(&fs, &dir()), [0, 8, 13, 18]);
}

#[test]
fn a_roll_that_is_asked_for_happens_once() {
    let fs = disk();
    let mut log = open(&fs);
    log.roll(NOW).unwrap();
    append(&mut log, 2);
    log.roll(NOW).unwrap();
    log.roll(NOW).unwrap();
    assert_eq!(segments(&fs, &dir()), [0, 2]);
    append(&mut log, 2);
    assert_eq!(read_all(&log).len(), 2);
}

#[test]
fn offsets_of_one_segment_never_need_more_than_31_bits() {
    let cleanup = CleanupPolicy {
        delete: false,
        compact: true,
    };
    let config = LogConfig {
        cleanup,
        ..LogConfig::default()
    };
    let fs = disk();
    let mut log = open_with(&fs, config.clone());
    let far = i64::from(i32::MAX);
    // As from a leader that compacted nearly everything; the first one into an empty segment.
    let bases = [far + 5, far + 9, 2 * far + 6, 9 * far];
    for base in bases {
        let mut bytes = at(NOW);
        batch::patch(&mut bytes, Offset(base), LeaderEpoch(0));
        log.append_as_follower(&bytes, NOW).unwrap();
    }
    assert_eq!(segments(&fs, &dir()), [far + 5, far + 10, 9 * far]);
    log.flush().unwrap();
    drop(log);
    let log = open_with(&fs, config);
    let found: Vec<i64> = read_all(&log).iter().map(|it| it.0.base_offset.0).collect();
    assert_eq!(found, bases);
}
