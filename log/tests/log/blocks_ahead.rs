//! Blocks a segment takes before it writes to them, on a file system of the machine's.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
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

#[test]
fn a_segment_has_a_quarter_more_blocks_while_it_grows_and_none_once_it_is_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("orders-0");
    let mut log = open(&dir);
    write(&mut log, 3);
    let (_, unused) = size_and_unused(&dir);
    assert!(unused < MIB, "a small one takes none: {unused}");
    write(&mut log, 17);
    let (size, unused) = size_and_unused(&dir);
    assert!((20_000_000..20_100_000).contains(&size), "{size}");
    assert!((MIB / 2..size / 4 + MIB).contains(&unused), "{unused}");
    assert_given_back_when_sealed(&mut log, &dir, size);
}

#[test]
fn blocks_a_killed_process_took_change_nothing_and_are_given_back_too() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("orders-0");
    let mut log = open(&dir);
    write(&mut log, 20);
    // Nothing is sealed or closed well, as with SIGKILL.
    drop(log);
    let (size, unused) = size_and_unused(&dir);
    assert!(unused >= MIB / 2, "{unused}");
    let mut log = open(&dir);
    assert_eq!(log.log_end_offset(), Offset(20));
    assert_eq!(size_and_unused(&dir).0, size);
    assert_given_back_when_sealed(&mut log, &dir, size);
}
