//! What a log keeps open, and what opening it reads.

use std::path::Path;
use std::sync::Arc;

use drave_log::fs::faulty::{Calls, CrashLoss, FaultyFs};
use drave_log::{LogConfig, LogDir, NotedOffsets, PartitionLog, Unsettled};
use drave_protocol::ids::{LeaderEpoch, Offset, TopicPartition};
use drave_protocol::record::builder::BatchBuilder;

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
fn a_doomed_log_holds_no_file_and_opens_none_of_its_successors() {
    let fs = disk();
    let mut log = large(&fs);
    append(&mut log, 5);
    let doomed = log.doom().unwrap();
    assert_eq!(fs.n_open_files(), 0);
    assert_ne!(doomed, dir());
    let mut successor = open(&fs);
    append(&mut successor, 5);
    assert!(log.read(Offset(0), log.log_end_offset(), 10_000).is_err());
    assert!(log.prepare_sync().is_none(), "nobody waits for its disk");
    assert_eq!(fs.n_open_files(), OF_THE_ACTIVE);
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

/// A killed writer's logs in one directory, each with an end that is not durable; and what was noted of each.
fn unsynced_ends(fs: &FaultyFs, n_logs: i32) -> Vec<(TopicPartition, NotedOffsets)> {
    let dir = LogDir::open(Arc::new(fs.clone()), Path::new("/data")).unwrap();
    let killed = (0..n_logs).map(|partition| {
        let partition = TopicPartition {
            topic: "orders".to_owned(),
            partition,
        };
        let (mut log, _) = dir.open_log(&partition, LogConfig::default()).unwrap();
        append(&mut log, 3);
        log.flush().unwrap();
        let noted = NotedOffsets {
            recovery_point: log.recovery_point_to_note(),
            ..NotedOffsets::default()
        };
        append(&mut log, 3);
        (partition, noted)
    });
    // What was written is in the page cache still, and nowhere else.
    killed.collect()
}

#[test]
fn a_killed_writers_log_is_opened_by_one_list_and_one_sync() {
    let fs = disk();
    let killed = unsynced_ends(&fs, 1);
    let dir = LogDir::open(Arc::new(fs.clone()), Path::new("/data")).unwrap();
    fs.take_calls();
    for (partition, noted) in killed {
        dir.open_noted(&partition, LogConfig::default(), noted)
            .unwrap();
    }
    let calls = Calls {
        lists: 1,
        // Epochs, the topic's id, the newest segment and its two indexes.
        opens: 5,
        syncs: 1,
    };
    assert_eq!(fs.take_calls(), calls);
}

#[test]
fn what_was_found_is_durable_once_it_is_settled_and_not_before() {
    let fs = disk();
    let killed = unsynced_ends(&fs, 10);
    let find = |(partition, noted): &(TopicPartition, NotedOffsets)| {
        let dir = LogDir::open(Arc::new(fs.clone()), Path::new("/data")).unwrap();
        let found = dir.find_noted(partition, LogConfig::default(), *noted);
        found.unwrap()
    };
    fs.take_calls();
    let found: Vec<Unsettled> = killed.iter().map(find).collect();
    // Two to open the directory.
    assert_eq!(fs.take_calls().syncs, 20, "finding syncs nothing");
    let mut settled = found.into_iter().take(5).map(|it| it.settled().unwrap().0);
    assert!(settled.all(|it| it.recovery_point() == Offset(6)));
    assert_eq!(fs.take_calls().syncs, 5);
    fs.crash(CrashLoss::EverythingUnsynced);
    let ends = killed
        .iter()
        .map(|it| find(it).settled().unwrap().0.log_end_offset().0);
    assert_eq!(ends.collect::<Vec<_>>(), [6, 6, 6, 6, 6, 3, 3, 3, 3, 3]);
}

#[test]
fn a_log_whose_end_cannot_be_synced_does_not_open() {
    let fs = disk();
    let killed = unsynced_ends(&fs, 1);
    let dir = LogDir::open(Arc::new(fs.clone()), Path::new("/data")).unwrap();
    let (partition, noted) = &killed[0];
    let found = dir
        .find_noted(partition, LogConfig::default(), *noted)
        .unwrap();
    fs.fail_syncs(1);
    assert!(found.settled().is_err());
    // The disk has lost it, though it could still be read: it is not believed by who comes next either.
    let again = dir.open_noted(partition, LogConfig::default(), *noted);
    assert_eq!(again.unwrap().0.log_end_offset(), Offset(3));
}

#[test]
fn what_is_durable_is_passed_by_its_headers_however_large_its_batches_are() {
    let fs = disk();
    let path = Path::new("/data/orders-0");
    let open = |recovery_point| {
        let fs = Arc::new(fs.clone());
        let config = LogConfig::default();
        PartitionLog::open(fs, path, config, recovery_point, Offset::ZERO).unwrap()
    };
    let large = BatchBuilder::new().value(NOW, vec![7; 50_000]).build();
    let (mut log, _) = open(Offset::ZERO);
    // So few that their index entries wait in memory: a killed process takes them with it.
    for _ in 0..20 {
        log.append_as_leader(large.clone(), LeaderEpoch(0), NOW)
            .unwrap();
    }
    log.flush().unwrap();
    let recovery_point = log.recovery_point_to_note();
    log.append_as_leader(large.clone(), LeaderEpoch(0), NOW)
        .unwrap();
    drop(log);
    let before = fs.n_bytes_read();
    let (log, report) = open(recovery_point);
    assert_eq!(log.log_end_offset(), Offset(21));
    assert_eq!(report.scanned_bytes, to_u64(large.len()));
    // The headers twice, for the producers' state, too.
    let n_read = fs.n_bytes_read() - before;
    assert!(n_read < to_u64(large.len()) + 5_000, "{n_read} bytes");
}

fn to_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap()
}
