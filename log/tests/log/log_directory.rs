use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use drave_log::fs::faulty::{CrashLoss, FaultyFs};
use drave_log::fs::{self, FileSystem, RealFs};
use drave_log::{Checkpoint, FolderOwner, LogDir, LogError, NotedOffsets, Trouble};
use drave_protocol::ids::{BrokerEpoch, Offset, TopicPartition, Uuid};

use crate::support::*;

fn open_dir(fs: &FaultyFs) -> LogDir {
    LogDir::open(Arc::new(fs.clone()), Path::new("/data")).unwrap()
}

fn orders(partition: i32) -> TopicPartition {
    TopicPartition {
        topic: "orders".to_owned(),
        partition,
    }
}

#[test]
fn one_process_at_a_time() {
    let fs = disk();
    let held = open_dir(&fs);
    let refused = LogDir::open(Arc::new(fs.clone()), Path::new("/data"));
    assert!(matches!(refused, Err(LogError::Locked { .. })));
    drop(held);
    open_dir(&fs);

    let folder = tempfile::tempdir().unwrap();
    let held = LogDir::open(Arc::new(RealFs), folder.path()).unwrap();
    let refused = LogDir::open(Arc::new(RealFs), folder.path());
    assert!(matches!(refused, Err(LogError::Locked { .. })));
    drop(held);
    LogDir::open(Arc::new(RealFs), folder.path()).unwrap();
}

#[test]
fn checkpoints_survive_in_kafkas_format() {
    let fs = disk();
    let dir = open_dir(&fs);
    assert!(
        dir.read_checkpoint(Checkpoint::RecoveryPoint)
            .unwrap()
            .is_empty()
    );
    let offsets = BTreeMap::from([(orders(0), Offset(7)), (orders(1), Offset(9))]);
    dir.write_checkpoint(Checkpoint::RecoveryPoint, &offsets)
        .unwrap();
    drop(dir);
    fs.crash(CrashLoss::EverythingUnsynced);
    let dir = open_dir(&fs);
    assert_eq!(
        dir.read_checkpoint(Checkpoint::RecoveryPoint).unwrap(),
        offsets
    );
    let path = Path::new("/data/recovery-point-offset-checkpoint");
    assert_eq!(
        fs::read_file(&fs, path).unwrap(),
        b"0\n2\norders 0 7\norders 1 9\n"
    );
}

#[test]
fn a_damaged_checkpoint_costs_a_scan_and_nothing_else() {
    let fs = disk();
    let dir = open_dir(&fs);
    let (mut log, _) = dir.open_log(&orders(0), small()).unwrap();
    append(&mut log, 3);
    log.flush().unwrap();
    let offsets = BTreeMap::from([(orders(0), Offset(3))]);
    dir.write_checkpoint(Checkpoint::ReplicationOffset, &offsets)
        .unwrap();
    let damaged = Path::new("/data/recovery-point-offset-checkpoint");
    fs::replace_file(&fs, damaged, b"0\n1\nord").unwrap();
    let noted = dir.checkpoints().unwrap().noted(&orders(0));
    assert_eq!(noted.recovery_point, Offset::ZERO);
    assert_eq!(noted.high_watermark, Offset(3));
    let (log, _) = dir.open_noted(&orders(0), small(), noted).unwrap();
    assert_eq!(log.log_end_offset(), Offset(3));
}

#[test]
fn what_was_noted_of_a_log_stays_until_it_is_forgotten() {
    let fs = disk();
    let dir = open_dir(&fs);
    let noted = |at| NotedOffsets {
        recovery_point: Offset(at),
        log_start_offset: Offset(at - 1),
        high_watermark: Offset(at - 2),
        first_dirty_offset: Offset(at - 3),
    };
    let mut checkpoints = dir.checkpoints().unwrap();
    for partition in [0, 1] {
        checkpoints.note(&orders(partition), noted(9));
    }
    dir.write_checkpoints(&checkpoints).unwrap();
    let mut checkpoints = dir.checkpoints().unwrap();
    checkpoints.note(&orders(1), noted(12));
    dir.write_checkpoints(&checkpoints).unwrap();
    let checkpoints = dir.checkpoints().unwrap();
    assert_eq!(checkpoints.noted(&orders(0)), noted(9));
    assert_eq!(checkpoints.noted(&orders(1)), noted(12));
    let mut checkpoints = checkpoints;
    checkpoints.forget(&orders(0));
    dir.write_checkpoints(&checkpoints).unwrap();
    let left = dir.read_checkpoint(Checkpoint::ReplicationOffset).unwrap();
    assert_eq!(left, BTreeMap::from([(orders(1), Offset(10))]));
}

#[test]
fn a_log_found_corrupt_is_not_opened_again() {
    let fs = disk();
    let dir = open_dir(&fs);
    drop(dir.open_log(&orders(0), small()).unwrap());
    dir.mark_corrupt(&orders(0), "byte 70 rots").unwrap();
    dir.mark_corrupt(&orders(0), "a later finding").unwrap();
    drop(dir);
    fs.crash(CrashLoss::EverythingUnsynced);
    let dir = open_dir(&fs);
    let refused = dir.open_log(&orders(0), small()).unwrap_err();
    assert!(refused.to_string().contains("byte 70 rots"), "{refused}");
    assert_eq!(refused.trouble(), Trouble::Damage);
    dir.set_log_aside(&orders(0)).unwrap();
    dir.open_log(&orders(0), small()).unwrap();
}

#[test]
fn a_reserve_is_room_that_can_be_given_up_on_a_full_disk() {
    let fs = disk();
    let dir = open_dir(&fs);
    fs.set_capacity(fs.used_bytes() + 100_000);
    assert!(dir.hold_reserve(60_000, 10_000).unwrap());
    assert!(dir.hold_reserve(60_000, 10_000).unwrap());
    assert_eq!(dir.room().unwrap().free, 40_000);
    assert!(!dir.hold_reserve(60_000, 40_001).unwrap());
    assert!(!dir.hold_reserve(95_000, 10_000).unwrap());
    assert_eq!(dir.room().unwrap().free, 40_000, "none is held by halves");
    dir.give_up_reserve().unwrap();
    dir.give_up_reserve().unwrap();
    assert_eq!(dir.room().unwrap().free, 100_000);
}

#[test]
fn folders_say_whose_they_are() {
    let fs = disk();
    let dir = open_dir(&fs);
    let id = Uuid::from_random([3; 16]);
    let (mut log, _) = dir.open_log(&orders(2), small()).unwrap();
    log.assign_topic_id(id).unwrap();
    dir.open_log(&orders(0), small()).unwrap();
    fs.create_dir_all(Path::new("/data/not a partition"))
        .unwrap();
    let logs = dir.logs().unwrap();
    let [first, second] = logs.as_slice() else {
        panic!("{logs:?}")
    };
    assert_eq!(first.partition, orders(0));
    assert!(matches!(first.owner, FolderOwner::NotNoted));
    assert_eq!(second.partition, orders(2));
    assert!(matches!(second.owner, FolderOwner::Topic(it) if it == id));
    assert_eq!(
        dir.open_log(&orders(2), small()).unwrap().0.topic_id(),
        Some(id)
    );
}

#[test]
fn a_folder_whose_owner_is_unreadable_hides_no_other() {
    let fs = disk();
    let dir = open_dir(&fs);
    let id = Uuid::from_random([3; 16]);
    for partition in [0, 1] {
        let (mut log, _) = dir.open_log(&orders(partition), small()).unwrap();
        log.assign_topic_id(id).unwrap();
    }
    let damaged = Path::new("/data/orders-0/partition.metadata");
    fs::replace_file(&fs, damaged, b"\x00\x00").unwrap();
    let logs = dir.logs().unwrap();
    let [first, second] = logs.as_slice() else {
        panic!("{logs:?}")
    };
    assert!(matches!(
        &first.owner,
        FolderOwner::Unreadable(LogError::BadFile { path, .. }) if path == damaged
    ));
    assert!(matches!(second.owner, FolderOwner::Topic(it) if it == id));
    let refused = dir.open_log(&orders(0), small());
    assert!(matches!(refused, Err(LogError::BadFile { .. })));
}

#[test]
fn a_half_deleted_log_is_swept_away() {
    let fs = disk();
    let dir = open_dir(&fs);
    let (mut log, _) = dir.open_log(&orders(0), small()).unwrap();
    append(&mut log, 3);
    drop(dir);
    fs.rename(
        Path::new("/data/orders-0"),
        Path::new("/data/orders-0-delete"),
    )
    .unwrap();
    let dir = open_dir(&fs);
    assert!(dir.logs().unwrap().is_empty());
    assert!(!fs.exists(Path::new("/data/orders-0-delete")).unwrap());
}

#[test]
fn a_doomed_log_gives_its_name_up_at_once_and_no_half_of_it_comes_back() {
    for seed in 0..60 {
        let fs = disk();
        let dir = open_dir(&fs);
        let (mut log, _) = dir.open_log(&orders(0), small()).unwrap();
        let topic_id = Uuid::from_random([7; 16]);
        log.assign_topic_id(topic_id).unwrap();
        for _ in 0..10 {
            append(&mut log, 3);
        }
        log.flush().unwrap();
        let doomed = log.doom().unwrap();
        assert!(!dir.has_log(&orders(0)).unwrap());
        // The power fails somewhere on the way.
        fs.stop_after(seed % 20);
        let done = dir.remove_doomed(&[doomed]);
        fs.crash(CrashLoss::ByChance { seed });
        let found = open_dir(&fs).logs().unwrap();
        match found.as_slice() {
            [] => {}
            [back] => {
                assert!(done.is_err(), "seed {seed}");
                assert!(matches!(back.owner, FolderOwner::Topic(it) if it == topic_id));
            }
            [..] => panic!("one log was there: {found:?}"),
        }
    }
}

/// A topic deleted and made again under its name finds the old one's checkpoint.
#[test]
fn an_old_topics_checkpoints_do_not_vouch_for_a_new_one() {
    for seed in 0..100 {
        let fs = disk();
        let dir = open_dir(&fs);
        let (mut log, _) = dir.open_log(&orders(0), small()).unwrap();
        for _ in 0..10 {
            append(&mut log, 3);
        }
        log.flush().unwrap();
        let offsets = BTreeMap::from([(orders(0), log.recovery_point())]);
        dir.write_checkpoint(Checkpoint::RecoveryPoint, &offsets)
            .unwrap();
        dir.write_checkpoint(Checkpoint::LogStartOffset, &offsets)
            .unwrap();
        log.delete().unwrap();

        let (mut log, _) = dir.open_log(&orders(0), small()).unwrap();
        assert_eq!(log.log_end_offset(), Offset(0));
        dir.write_checkpoint(Checkpoint::LogStartOffset, &BTreeMap::new())
            .unwrap();
        for _ in 0..12 {
            append(&mut log, 3);
        }
        let before = read_all(&log);
        drop((log, dir));
        fs.crash(CrashLoss::ByChance { seed });
        let (log, _) = open_dir(&fs).open_log(&orders(0), small()).unwrap();
        let after = read_all(&log);
        assert_eq!(after, before[..after.len()], "seed {seed}");
    }
}

#[test]
fn a_clean_shutdown_is_believed_once() {
    let fs = disk();
    let dir = open_dir(&fs);
    assert_eq!(dir.take_clean_shutdown().unwrap(), None);
    dir.mark_clean_shutdown(BrokerEpoch(41)).unwrap();
    assert_eq!(dir.take_clean_shutdown().unwrap(), Some(BrokerEpoch(41)));
    drop(dir);
    fs.crash(CrashLoss::EverythingUnsynced);
    assert_eq!(open_dir(&fs).take_clean_shutdown().unwrap(), None);
}

#[test]
fn a_corrupt_log_can_be_removed_and_made_again() {
    let fs = disk();
    let dir = open_dir(&fs);
    let (mut log, _) = dir.open_log(&orders(0), small()).unwrap();
    append(&mut log, 3);
    log.flush().unwrap();
    let offsets = BTreeMap::from([(orders(0), log.recovery_point())]);
    dir.write_checkpoint(Checkpoint::RecoveryPoint, &offsets)
        .unwrap();
    drop(log);
    let last_byte_of_the_offset = 7;
    fs.flip_bit(&segment_path(0), last_byte_of_the_offset);
    let refused = dir.open_log(&orders(0), small());
    assert!(matches!(refused, Err(LogError::Corrupt(_))));
    let aside = dir.set_log_aside(&orders(0)).unwrap();
    assert!(fs.exists(&aside).unwrap() && !dir.has_log(&orders(0)).unwrap());
    assert!(
        dir.logs().unwrap().is_empty(),
        "it is no partition's folder"
    );
    let (log, report) = dir.open_log(&orders(0), small()).unwrap();
    assert!(report.is_clean());
    assert_eq!(log.log_end_offset(), Offset(0));
}

#[test]
fn checkpoints_that_say_the_same_are_not_written_again() {
    let fs = disk();
    let dir = open_dir(&fs);
    let mut checkpoints = dir.checkpoints().unwrap();
    let mut offsets = NotedOffsets {
        recovery_point: Offset(5),
        high_watermark: Offset(5),
        ..NotedOffsets::default()
    };
    checkpoints.note(&orders(0), offsets);
    dir.write_changed(&mut checkpoints).unwrap();
    // Whether a file is written is seen by taking it away.
    let is_written = |dir: &LogDir, checkpoint, name: &str| {
        let there = !dir.read_checkpoint(checkpoint).unwrap().is_empty();
        if there {
            fs.remove_file(&Path::new("/data").join(name)).unwrap();
        }
        there
    };
    let written = |dir: &LogDir| {
        [
            is_written(
                dir,
                Checkpoint::RecoveryPoint,
                "recovery-point-offset-checkpoint",
            ),
            is_written(
                dir,
                Checkpoint::ReplicationOffset,
                "replication-offset-checkpoint",
            ),
            is_written(
                dir,
                Checkpoint::LogStartOffset,
                "log-start-offset-checkpoint",
            ),
        ]
    };
    assert_eq!(written(&dir), [true, true, true]);
    checkpoints.note(&orders(0), offsets);
    dir.write_changed(&mut checkpoints).unwrap();
    assert_eq!(written(&dir), [false, false, false]);
    offsets.high_watermark = Offset(6);
    checkpoints.note(&orders(0), offsets);
    dir.write_changed(&mut checkpoints).unwrap();
    assert_eq!(written(&dir), [false, true, false]);
    checkpoints.forget(&orders(1));
    dir.write_changed(&mut checkpoints).unwrap();
    assert_eq!(written(&dir), [false, false, false], "it was never noted");
}
