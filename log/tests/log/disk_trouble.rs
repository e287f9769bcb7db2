use drave_log::fs::faulty::CrashLoss;
use drave_log::{AppendError, LogError};
use drave_protocol::ids::{LeaderEpoch, Offset};

use crate::support::*;

#[test]
fn a_full_disk_refuses_and_recovers_when_space_returns() {
    let fs = disk();
    let mut log = open(&fs);
    append(&mut log, 3);
    for free in [0, 1, 60, batch(3).len() - 1] {
        fs.set_capacity(fs.used_bytes() + u64::try_from(free).unwrap());
        let refused = log.append_as_leader(batch(3), LeaderEpoch(0), NOW);
        assert!(
            matches!(refused, Err(AppendError::Full)),
            "{free} bytes free"
        );
        assert_eq!(log.log_end_offset(), Offset(3));
        assert_eq!(read_all(&log).len(), 1);
    }
    fs.set_capacity(u64::MAX);
    assert_eq!(append(&mut log, 3).base_offset, Offset(3));
    log.flush().unwrap();
    let (log, report) = crash(&fs, log, CrashLoss::EverythingUnsynced);
    assert!(report.is_clean());
    assert_eq!(read_all(&log).len(), 2);
}

#[test]
fn a_disk_that_fills_up_while_following_keeps_whole_batches() {
    let leader_disk = disk();
    let mut leader = open(&leader_disk);
    for _ in 0..4 {
        append(&mut leader, 1);
    }
    let all = leader.read(Offset(0), Offset(4), 10_000).unwrap();
    let fs = disk();
    let mut log = open(&fs);
    log.start_leader_epoch(LeaderEpoch(0)).unwrap();
    fs.set_capacity(fs.used_bytes() + u64::try_from(batch(1).len() * 5 / 2).unwrap());
    assert!(matches!(
        log.append_as_follower(&all, NOW),
        Err(AppendError::Full)
    ));
    assert_eq!(log.log_end_offset(), Offset(2));
    fs.set_capacity(u64::MAX);
    let rest = leader.read(Offset(2), Offset(4), 10_000).unwrap();
    log.append_as_follower(&rest, NOW).unwrap();
    assert_eq!(read_all(&log), read_all(&leader));
}

#[test]
fn a_new_leader_on_a_full_disk_waits_for_space() {
    let fs = disk();
    let mut log = open(&fs);
    append_in(&mut log, 1, 0);
    fs.set_capacity(fs.used_bytes());
    let refused = log.append_as_leader(batch(1), LeaderEpoch(1), NOW);
    assert!(matches!(refused, Err(AppendError::Full)));
    log.start_leader_epoch(LeaderEpoch(1)).unwrap();
    log.flush().unwrap();
    assert!(!log.is_failed());
    fs.set_capacity(u64::MAX);
    assert_eq!(append_in(&mut log, 1, 1).base_offset, Offset(1));
}

#[test]
fn a_failed_sync_is_final() {
    let fs = disk();
    let mut log = open(&fs);
    append(&mut log, 3);
    log.flush().unwrap();
    append(&mut log, 3);
    let waiting = log.prepare_sync().unwrap();
    fs.fail_syncs(1);
    assert!(matches!(
        log.flush(),
        Err(LogError::Io { action: "sync", .. })
    ));
    assert!(log.is_failed());
    // The kernel would now report success: nobody may believe it.
    assert!(matches!(waiting.run(), Err(LogError::Failed { .. })));
    assert!(matches!(log.flush(), Err(LogError::Failed { .. })));
    let refused = log.append_as_leader(batch(1), LeaderEpoch(0), NOW);
    assert!(matches!(
        refused,
        Err(AppendError::Storage(LogError::Failed { .. }))
    ));
    assert!(log.truncate_to(Offset(0)).is_err());
    assert_eq!(log.recovery_point(), Offset(3));
    assert_eq!(read_all(&log).len(), 2, "reads go on");
    let (log, _) = crash(&fs, log, CrashLoss::EverythingUnsynced);
    assert_eq!(log.log_end_offset(), Offset(3));
}

#[test]
fn a_sync_covers_what_was_appended_before_it_was_prepared() {
    let fs = disk();
    let mut log = open(&fs);
    append(&mut log, 3);
    let request = log.prepare_sync().unwrap();
    assert_eq!(request.upto(), Offset(3));
    append(&mut log, 3);
    let synced = request.run().unwrap();
    assert_eq!(
        log.recovery_point(),
        Offset(0),
        "not before the log is told"
    );
    log.synced(synced);
    assert_eq!(log.recovery_point(), Offset(3));
    log.flush().unwrap();
    assert_eq!(log.recovery_point(), Offset(6));
    assert!(log.prepare_sync().is_none());
}

#[test]
fn a_sync_from_before_a_cut_says_nothing() {
    let fs = disk();
    let mut log = open(&fs);
    append(&mut log, 3);
    append(&mut log, 3);
    let request = log.prepare_sync().unwrap();
    log.truncate_to(Offset(3)).unwrap();
    append(&mut log, 3);
    log.synced(request.run().unwrap());
    assert_eq!(log.recovery_point(), Offset(0));
}

#[test]
fn a_sync_spans_segments_that_were_rolled_meanwhile() {
    let fs = disk();
    let mut log = open(&fs);
    for _ in 0..20 {
        append(&mut log, 3);
    }
    let before = read_all(&log);
    log.flush().unwrap();
    let (log, report) = crash(&fs, log, CrashLoss::EverythingUnsynced);
    assert!(report.is_clean());
    assert_eq!(report.scanned_bytes, 0);
    assert_eq!(read_all(&log), before);
}

#[test]
fn a_deleted_log_takes_no_more_writes() {
    let fs = disk();
    let mut log = open(&fs);
    append(&mut log, 3);
    let waiting = log.prepare_sync().unwrap();
    log.delete().unwrap();
    assert!(log.append_as_leader(batch(1), LeaderEpoch(0), NOW).is_err());
    // A sync that comes too late is no disk error, and proves nothing.
    log.synced(waiting.run().unwrap());
    assert_eq!(log.recovery_point(), Offset(0));
    assert_eq!(open(&fs).log_end_offset(), Offset(0));
}
