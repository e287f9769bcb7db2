use drave_log::fs::faulty::CrashLoss;
use drave_protocol::ids::{LeaderEpoch, Offset};

use crate::support::*;

#[test]
fn a_cut_at_a_batch_ends_the_log_there() {
    let mut log = open(&disk());
    for _ in 0..20 {
        append(&mut log, 3);
    }
    for to in [60, 57, 30, 3, 0] {
        log.truncate_to(Offset(to)).unwrap();
        assert_eq!(log.log_end_offset(), Offset(to));
        assert_eq!(read_all(&log).len(), usize::try_from(to / 3).unwrap());
    }
    assert_eq!(append(&mut log, 2).base_offset, Offset(0));
}

#[test]
fn a_cut_inside_a_batch_takes_the_batch() {
    let mut log = open(&disk());
    for _ in 0..4 {
        append(&mut log, 3);
    }
    log.truncate_to(Offset(7)).unwrap();
    assert_eq!(log.log_end_offset(), Offset(6));
}

#[test]
fn a_cut_beyond_the_end_changes_nothing() {
    let mut log = open(&disk());
    append(&mut log, 3);
    log.truncate_to(Offset(99)).unwrap();
    assert_eq!(log.log_end_offset(), Offset(3));
}

#[test]
fn epochs_are_cut_with_the_log() {
    let mut log = open(&disk());
    for epoch in [1, 1, 2, 4] {
        append_in(&mut log, 3, epoch);
    }
    log.truncate_to(Offset(6)).unwrap();
    assert_eq!(
        log.leader_epochs().latest(),
        Some((LeaderEpoch(1), Offset(0)))
    );
    append_in(&mut log, 1, 3);
    assert_eq!(
        log.leader_epochs().latest(),
        Some((LeaderEpoch(3), Offset(6)))
    );
}

/// It led, briefly and without a record, in an epoch the next leader has never heard of.
#[test]
fn an_epoch_without_records_is_forgotten_though_no_record_is_cut() {
    let fs = disk();
    let mut log = open(&fs);
    append_in(&mut log, 3, 1);
    log.start_leader_epoch(LeaderEpoch(5)).unwrap();
    log.truncate_to(Offset(3)).unwrap();
    let of_the_records = Some((LeaderEpoch(1), Offset(0)));
    assert_eq!(log.leader_epochs().latest(), of_the_records);
    assert_eq!(log.log_end_offset(), Offset(3));
    log.flush().unwrap();
    drop(log);
    assert_eq!(open(&fs).leader_epochs().latest(), of_the_records);
}

#[test]
fn a_reset_starts_over_where_it_is_told() {
    let fs = disk();
    let mut log = open(&fs);
    for _ in 0..10 {
        append(&mut log, 3);
    }
    log.flush().unwrap();
    log.reset_to(Offset(1_000)).unwrap();
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset()),
        (Offset(1_000), Offset(1_000))
    );
    assert_eq!(log.leader_epochs().latest(), None);
    assert_eq!(append(&mut log, 2).base_offset, Offset(1_000));
    let logs = names(&fs, &dir())
        .into_iter()
        .filter(|it| it.ends_with(".log"));
    assert_eq!(logs.collect::<Vec<_>>(), ["00000000000000001000.log"]);
}

#[test]
fn the_log_start_rises_and_whole_segments_go() {
    let fs = disk();
    let mut log = open(&fs);
    for epoch in 0..20 {
        append_in(&mut log, 3, epoch);
    }
    log.advance_log_start_offset(Offset(31)).unwrap();
    assert_eq!(log.log_start_offset(), Offset(31));
    assert!(log.read(Offset(30), Offset(60), 100).is_err());
    assert_eq!(bases(&log.read(Offset(31), Offset(60), 1).unwrap()), [30]);
    let first = log.leader_epochs().entries()[0];
    assert_eq!(
        (first.epoch, first.start_offset),
        (LeaderEpoch(10), Offset(30))
    );
    assert!(!names(&fs, &dir()).contains(&"00000000000000000000.log".to_owned()));
    log.advance_log_start_offset(Offset(5)).unwrap();
    assert_eq!(log.log_start_offset(), Offset(31));
}

/// The recovery point checkpointed before a cut speaks of bytes that are gone.
#[test]
fn an_old_recovery_point_does_not_vouch_for_what_came_after_a_cut() {
    for seed in 0..200 {
        let fs = disk();
        let mut log = open(&fs);
        for _ in 0..6 {
            append_in(&mut log, 3, 1);
        }
        log.flush().unwrap();
        let checkpointed = log.recovery_point();
        assert_eq!(checkpointed, Offset(18));
        log.truncate_to(Offset(6)).unwrap();
        for _ in 0..8 {
            append_in(&mut log, 3, 2);
        }
        let before = read_all(&log);
        drop(log);
        fs.crash(CrashLoss::ByChance { seed });
        let (log, _) = open_at(&fs, checkpointed.0).unwrap();
        let after = read_all(&log);
        assert!(after.len() >= 2, "seed {seed}");
        assert_eq!(
            after,
            before[..after.len()],
            "seed {seed}: a prefix, nothing torn"
        );
    }
}

#[test]
fn the_limit_goes_when_old_recovery_points_are_true_again() {
    let fs = disk();
    let mut log = open(&fs);
    for _ in 0..4 {
        append(&mut log, 3);
    }
    log.flush().unwrap();
    log.truncate_to(Offset(6)).unwrap();
    assert_eq!(log.recovery_point(), Offset(6));
    let limited = || names(&fs, &dir()).contains(&"recovery-point-limit".to_owned());
    append(&mut log, 3);
    log.flush().unwrap();
    assert!(limited());
    append(&mut log, 3);
    log.flush().unwrap();
    assert!(!limited());
}
