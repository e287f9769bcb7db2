//! Blocks a segment takes before it writes to them, on a file system of the machine's.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;
use drave_log::fs::RealFs;
use drave_log::{LogConfig, PartitionLog};
use drave_protocol::ids::{LeaderEpoch, Offset};
use drave_protocol::record::builder::BatchBuilder;

use crate::support::*;

const MIB: u64 = 1024 * 1024;

fn open(dir: &Path) -> PartitionLog {
    let fs = Arc::new(RealFs);
    let opened = PartitionLog::open(fs, dir, LogConfig::default(), Offset::ZERO, Offset::ZERO);
    opened.unwrap().0
}

fn megabyte() -> BytesMut {
    BatchBuilder::new()
        .value(NOW, "x".repeat(1_000_000))
        .build()
}

fn write(log: &mut PartitionLog, n: usize) {
    for _ in 0..n {
        log.append_as_leader(megabyte(), LeaderEpoch(0), NOW)
            .unwrap();
    }
}

/// Bytes of the first segment, and of the blocks it has besides.
fn size_and_unused(dir: &Path) -> (u64, u64) {
    let found = std::fs::metadata(dir.join("00000000000000000000.log")).unwrap();
    let blocks = found.blocks() * 512;
    (found.size(), blocks.saturating_sub(found.size()))
}

#[track_caller]
fn assert_given_back_when_sealed(log: &mut PartitionLog, dir: &Path, size: u64) {
    log.roll(NOW).unwrap();
    let (sealed, unused) = size_and_unused(dir);
    assert_eq!(sealed, size);
    assert!(unused < MIB / 2, "{unused}");
}

/// A log of 20 MB with blocks ahead. A disk that happens to be slow is asked for none, so the machine has some tries.
fn grown(folder: &Path) -> (PathBuf, PartitionLog) {
    let mut tried = (0..10).map(|i| {
        let dir = folder.join(format!("orders-{i}"));
        let mut log = open(&dir);
        write(&mut log, 20);
        (dir, log)
    });
    let has_blocks_ahead = |(dir, _): &(PathBuf, _)| size_and_unused(dir).1 >= MIB / 2;
    tried.find(has_blocks_ahead).expect("no log took blocks")
}

#[test]
fn a_small_segment_takes_no_blocks_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("orders-0");
    let mut log = open(&dir);
    write(&mut log, 3);
    let (_, unused) = size_and_unused(&dir);
    assert!(unused < MIB, "{unused}");
}

#[test]
fn a_segment_has_a_quarter_more_blocks_while_it_grows_and_none_once_it_is_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, mut log) = grown(folder.path());
    let (size, unused) = size_and_unused(&dir);
    assert!((20_000_000..20_100_000).contains(&size), "{size}");
    assert!(unused < size / 4 + MIB, "{unused}");
    assert_given_back_when_sealed(&mut log, &dir, size);
}

#[test]
fn blocks_a_killed_process_took_change_nothing_and_are_given_back_too() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, log) = grown(folder.path());
    // Nothing is sealed or closed well, as with SIGKILL.
    drop(log);
    let (size, unused) = size_and_unused(&dir);
    assert!(unused >= MIB / 2, "{unused}");
    let mut log = open(&dir);
    assert_eq!(log.log_end_offset(), Offset(20));
    assert_eq!(size_and_unused(&dir).0, size);
    assert_given_back_when_sealed(&mut log, &dir, size);
}
