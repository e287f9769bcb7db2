//! Records were deleted up to the middle of a batch: a follower that begins there is sent all of that batch.

use std::sync::Arc;

use bytes::Bytes;
use drave_log::fs::faulty::{CrashLoss, FaultyFs, Trouble};
use drave_log::{AppendError, LogError, PartitionLog, ReadError};
use drave_protocol::ids::{LeaderEpoch, Offset, ProducerId};
use drave_protocol::record::builder::BatchBuilder;

use crate::support::*;

/// Within the second batch of the leader's, which are 0..3, 3..7, 7..10 and 10..12.
const START: Offset = Offset(5);
const FIRST: Offset = Offset(3);
const END: Offset = Offset(12);

/// A leader whose log starts there, and what it sends to who asks for its log's start.
fn leader() -> (PartitionLog, Bytes) {
    let mut log = open(&disk());
    append_in(&mut log, 3, 0);
    let by_producer = (0..4).fold(
        BatchBuilder::new().producer(ProducerId(7), 0, 0),
        |batch, n| batch.value(NOW + n, "of a producer"),
    );
    log.append_as_leader(by_producer.build(), LeaderEpoch(2), NOW)
        .unwrap();
    append_in(&mut log, 3, 2);
    append_in(&mut log, 2, 4);
    log.raise_log_start_offset(START).unwrap();
    let sent = log.read(START, END, 10_000).unwrap();
    assert_eq!(bases(&sent), [3, 7, 10]);
    (log, sent)
}

/// One whose log, after it held something else, starts over where the leader's starts.
fn follower(fs: &FaultyFs) -> PartitionLog {
    let mut log = open(fs);
    append_in(&mut log, 2, 0);
    log.flush().unwrap();
    log.reset_to(START).unwrap();
    log
}

/// As a restart does it that knows how far the log was durable, and where it started or not.
fn open_noted(fs: &FaultyFs, start: Offset) -> Result<PartitionLog, LogError> {
    let fs = Arc::new(fs.clone());
    PartitionLog::open(fs, &dir(), small(), START, start).map(|it| it.0)
}

#[track_caller]
fn assert_same(log: &PartitionLog, leader: &PartitionLog) {
    assert_eq!(read_all(log), read_all(leader));
    // Of what was before, one may know more than the other.
    for offset in (START.0..=END.0).map(Offset) {
        let epoch = log.leader_epochs().epoch_at(offset);
        assert_eq!(epoch, leader.leader_epochs().epoch_at(offset), "{offset}");
    }
    assert_eq!(log.log_start_offset(), START);
    let known = log.last_producer_records();
    assert_eq!(known, leader.last_producer_records());
}

#[test]
fn an_empty_log_begins_with_the_batch_that_holds_its_start() {
    let (leader, sent) = leader();
    let fs = disk();
    let mut log = follower(&fs);
    let appended = log.append_as_follower(&sent, NOW).unwrap();
    assert_eq!(
        (appended.base_offset, appended.last_offset),
        (FIRST, Offset(11))
    );
    assert_same(&log, &leader);
    assert_eq!(log.first_segment_offset(), FIRST);
    for below in [3, 4] {
        let refused = log.read(Offset(below), END, 1000);
        assert!(
            matches!(refused, Err(ReadError::OffsetOutOfRange { log_start_offset, .. })
                if log_start_offset == START)
        );
    }
    log.close().unwrap();
    drop(log);
    assert_same(&open_noted(&fs, START).unwrap(), &leader);
    // Where nobody noted the start it is where the first batch is.
    let log = open_noted(&fs, Offset(0)).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (FIRST, END));
}

#[test]
fn no_other_log_takes_a_batch_from_before_its_end() {
    let (_, sent) = leader();
    let at = |base: i64, n: i32| {
        let builder = BatchBuilder::new().base_offset(Offset(base));
        let filled = (0..n).fold(builder, |batch, _| batch.value(NOW, "v"));
        filled.leader_epoch(LeaderEpoch(2)).build()
    };
    let mut log = follower(&disk());
    let short_of_it = at(3, 2);
    let second = [&at(5, 2)[..], &at(3, 4)[..]].concat();
    for refused in [&short_of_it[..], &second[..]] {
        let refused = log.append_as_follower(refused, NOW);
        assert!(matches!(refused, Err(AppendError::NotNext { .. })));
    }
    let mut torn = sent.to_vec();
    let last = torn.last_mut().unwrap();
    *last ^= 1;
    let refused = log.append_as_follower(&torn, NOW);
    assert!(matches!(refused, Err(AppendError::CorruptBatch(_))));
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset()),
        (START, START)
    );
    assert_eq!(log.first_segment_offset(), START);
    let mut log = open(&disk());
    append_in(&mut log, 5, 1);
    let refused = log.append_as_follower(&sent, NOW);
    assert!(matches!(refused, Err(AppendError::NotNext { .. })));
}

/// An old leader wrote 0..3 and 3..5, and was gone before anybody had the second; the next one wrote 3..7.
#[test]
fn what_is_deleted_and_was_never_committed_is_in_nobodys_way() {
    let (leader, sent) = leader();
    let fs = disk();
    let mut log = open(&fs);
    append_in(&mut log, 3, 0);
    append_in(&mut log, 2, 0);
    log.flush().unwrap();
    log.raise_log_start_offset(START).unwrap();
    log.append_as_follower(&sent, NOW).unwrap();
    assert_same(&log, &leader);
    log.close().unwrap();
    drop(log);
    assert_same(&open_noted(&fs, START).unwrap(), &leader);
}

#[test]
fn a_cut_into_the_first_batch_leaves_an_empty_log_that_can_begin_again() {
    let (leader, sent) = leader();
    let fs = disk();
    let mut log = follower(&fs);
    log.append_as_follower(&sent, NOW).unwrap();
    log.truncate_to(Offset(6)).unwrap();
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset()),
        (FIRST, FIRST)
    );
    log.reset_to(START).unwrap();
    log.append_as_follower(&sent, NOW).unwrap();
    assert_same(&log, &leader);
}

/// Whatever was there is a log that can be opened, ends where a batch ends or is empty, and gets it all by
/// what any follower does.
fn opens_and_catches_up(fs: &FaultyFs, noted: Offset, what: &str) {
    let (leader, sent) = leader();
    let mut log = open_noted(fs, noted).unwrap_or_else(|error| panic!("{what}: {error}"));
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    assert!(
        [2, 3, 5, 7, 10, 12].contains(&end.0) || start == end,
        "{what}: {start} to {end}"
    );
    let is_outside = end < START;
    if is_outside {
        log.reset_to(START).unwrap();
    }
    let next = log.log_end_offset();
    if next == START {
        log.append_as_follower(&sent, NOW).unwrap();
    } else if next < END {
        let rest = leader.read(next, END, 10_000).unwrap();
        log.append_as_follower(&rest, NOW).unwrap();
    }
    log.raise_log_start_offset(START).unwrap();
    log.flush().unwrap();
    assert_same(&log, &leader);
    drop(log);
    fs.crash(CrashLoss::EverythingUnsynced);
    assert_same(&open_noted(fs, START).unwrap(), &leader);
}

#[test]
fn whatever_befalls_the_disk_on_the_way_a_follower_begins_all_the_same() {
    let (_, sent) = leader();
    let fs = disk();
    let mut log = follower(&fs);
    let n_before = fs.n_changes();
    log.append_as_follower(&sent, NOW).unwrap();
    log.flush().unwrap();
    let n_changes = fs.n_changes() - n_before;
    assert!(n_changes > 5, "{n_changes}");
    for at in 0..=n_changes {
        for noted in [Offset(0), START] {
            for loss in [
                CrashLoss::EverythingUnsynced,
                CrashLoss::Nothing,
                CrashLoss::ByChance { seed: at },
                CrashLoss::ByChance { seed: at + 1000 },
            ] {
                let fs = disk();
                let mut log = follower(&fs);
                fs.stop_after(at);
                // The power fails somewhere in here.
                let _ = log.append_as_follower(&sent, NOW).is_ok() && log.flush().is_ok();
                drop(log);
                fs.crash(loss);
                opens_and_catches_up(&fs, noted, &format!("{loss:?} at {at}, noted {noted}"));
            }
            for trouble in [Trouble::IoError, Trouble::FullDisk] {
                let fs = disk();
                let mut log = follower(&fs);
                fs.trouble_after(at, trouble);
                let outcome = log.append_as_follower(&sent, NOW);
                if matches!(outcome, Err(AppendError::Full)) {
                    assert!(!log.is_failed(), "{trouble:?} at {at}");
                }
                drop(log);
                fs.set_capacity(u64::MAX);
                fs.crash(CrashLoss::EverythingUnsynced);
                opens_and_catches_up(&fs, noted, &format!("{trouble:?} at {at}, noted {noted}"));
            }
        }
    }
}
