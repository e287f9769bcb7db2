//! What a log keeps open, and what opening it reads.

use drave_log::PartitionLog;
use drave_log::fs::faulty::{CrashLoss, FaultyFs};
use drave_protocol::ids::Offset;

use crate::support::*;

/// Files of the active segment: its indexes have no files yet.
const OF_THE_ACTIVE: usize = 1;
/// Sealed segments kept open, by their files.
const OF_THE_SEALED: usize = 8 * 3;

/// Forty segments, all durable.
fn large(fs: &FaultyFs) -> PartitionLog {
    let mut log = open(fs);
    while names(fs, &dir())
        .iter()
        .filter(|it| it.ends_with(".log"))
        .count()
        < 40
    {
        append(&mut log, 5);
    }
    log.flush().unwrap();
    log
}

#[test]
fn few_segments_stay_open_however_many_are_read() {
    let fs = disk();
    let log = large(&fs);
    assert_eq!(fs.n_open_files(), OF_THE_ACTIVE + OF_THE_SEALED);
    let all = read_all(&log);
    for _ in 0..2 {
        assert_eq!(read_all(&log), all);
        log.offset_for_timestamp(NOW + 3).unwrap();
        log.max_timestamp().unwrap();
        assert!(fs.n_open_files() <= OF_THE_ACTIVE + OF_THE_SEALED);
    }
}

#[test]
fn what_is_not_yet_durable_stays_open_until_it_is() {
    let fs = disk();
    let mut log = large(&fs);
    for _ in 0..200 {
        append(&mut log, 5);
    }
    // An error of the disk is told to those who had the file open.
    assert!(fs.n_open_files() > 2 * (OF_THE_ACTIVE + OF_THE_SEALED));
    log.flush().unwrap();
    assert!(fs.n_open_files() <= OF_THE_ACTIVE + OF_THE_SEALED);
}

#[test]
fn a_reader_keeps_his_file_when_the_log_closes_or_removes_it() {
    let fs = disk();
    let mut log = large(&fs);
    let end = log.log_end_offset();
    let slice = log.slice(Offset(0), end, 10_000).unwrap().unwrap();
    let bytes = slice.read().unwrap();
    read_all(&log);
    assert_eq!(slice.read().unwrap(), bytes);
    log.advance_log_start_offset(end).unwrap();
    assert_eq!(fs.n_open_files(), OF_THE_ACTIVE + 1);
    assert_eq!(slice.read().unwrap(), bytes);
}

#[test]
fn opening_reads_nothing_of_what_is_sealed() {
    let fs = disk();
    let log = large(&fs);
    let size = log.size_bytes();
    let (log, _) = crash(&fs, log, CrashLoss::EverythingUnsynced);
    assert_eq!(fs.n_open_files(), OF_THE_ACTIVE);
    assert_eq!(log.size_bytes(), size);
    let before = fs.n_bytes_read();
    let (_log, report) = crash(&fs, log, CrashLoss::EverythingUnsynced);
    let n_read = fs.n_bytes_read() - before;
    // Checkpoints, the active segment's indexes and its last batches.
    assert!(n_read < 2_000, "{n_read} of {size} bytes were read");
    assert_eq!(report.scanned_bytes, 0);
}
