//! Old segments go from the disk, and the log goes on.

use std::sync::Arc;
use std::time::Instant;

use drave_log::fs::RealFs;
use drave_log::fs::faulty::{CrashLoss, FaultyFs};
use drave_log::retention::Expiry;
use drave_log::{LogConfig, PartitionLog};
use drave_protocol::ids::{LeaderEpoch, Offset};
use drave_protocol::record::builder::BatchBuilder;

use crate::support::{
    NOW, append, append_in, crash, dir, disk, names, open, open_at, read_all, small,
};

fn keeping(retention_ms: Option<i64>, retention_bytes: Option<u64>) -> LogConfig {
    LogConfig {
        retention_ms,
        retention_bytes,
        ..small()
    }
}

/// Sixteen batches of 161 bytes or so, four to a segment, stamped with `NOW` and a little.
fn filled(fs: &FaultyFs) -> PartitionLog {
    let mut log = open(fs);
    for _ in 0..16 {
        append(&mut log, 3);
    }
    log
}

fn remove_all(log: &mut PartitionLog, now_ms: i64, upper: Offset) -> Vec<Expiry> {
    let mut why = Vec::new();
    loop {
        let removed = log.remove_old_segments(now_ms, upper).unwrap();
        if removed.is_empty() {
            return why;
        }
        why.extend(removed.iter().map(|it| it.expiry));
    }
}

fn n_segments(fs: &FaultyFs) -> usize {
    names(fs, &dir())
        .iter()
        .filter(|it| it.ends_with(".log"))
        .count()
}

#[test]
fn old_segments_go_and_the_log_starts_behind_them() {
    let fs = disk();
    let mut log = filled(&fs);
    let before = n_segments(&fs);
    let size = log.size_bytes();
    log.set_config(keeping(None, Some(size / 2)));
    let end = log.log_end_offset();
    let why = remove_all(&mut log, NOW, end);
    assert!(why.iter().all(|it| *it == Expiry::Size) && !why.is_empty());
    assert_eq!(n_segments(&fs), before - why.len());
    assert!(log.size_bytes() >= size / 2);
    assert_eq!(
        read_all(&log).first().unwrap().0.base_offset,
        log.log_start_offset()
    );
    log.flush().unwrap();
    let (again, report) = crash(&fs, log, CrashLoss::EverythingUnsynced);
    assert!(report.is_clean());
    assert!(again.log_start_offset() > Offset::ZERO);
}

#[test]
fn a_log_nobody_writes_to_empties_and_keeps_its_offsets() {
    let fs = disk();
    let mut log = filled(&fs);
    log.set_config(keeping(Some(1_000), None));
    let end = log.log_end_offset();
    assert_eq!(remove_all(&mut log, NOW + 500, end), []);
    let why = remove_all(&mut log, NOW + 2_000, end);
    assert!(why.iter().all(|it| *it == Expiry::Age));
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (end, end));
    assert_eq!((n_segments(&fs), log.size_bytes()), (1, 0));
    assert_eq!(remove_all(&mut log, NOW + 9_000, end), []);
    let (mut log, _) = crash(&fs, log, CrashLoss::EverythingUnsynced);
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (end, end));
    assert_eq!(append(&mut log, 1).base_offset, end);
}

#[test]
fn nothing_goes_that_is_not_committed() {
    let fs = disk();
    let mut log = filled(&fs);
    log.set_config(keeping(Some(1_000), Some(0)));
    let upper = Offset(7);
    remove_all(&mut log, NOW + 2_000, upper);
    assert!(log.log_start_offset() <= upper);
    assert!(read_all(&log).first().unwrap().0.base_offset <= upper);
}

#[test]
fn records_without_a_time_are_as_old_as_their_file() {
    let fs = disk();
    fs.set_now_ms(NOW);
    let mut log = open(&fs);
    let timeless = BatchBuilder::new().value(-1, "a").build();
    log.append_as_leader(timeless, LeaderEpoch(0), NOW).unwrap();
    log.set_config(keeping(Some(1_000), None));
    let end = log.log_end_offset();
    assert_eq!(remove_all(&mut log, NOW + 1_000, end), []);
    assert_eq!(remove_all(&mut log, NOW + 1_001, end), [Expiry::Age]);
}

#[test]
fn wherever_the_power_fails_while_segments_go_the_rest_is_whole() {
    let written = disk();
    let log = filled(&written);
    let (end, size) = (log.log_end_offset(), log.size_bytes());
    for config in [keeping(Some(1_000), None), keeping(None, Some(size / 3))] {
        let mut stop = 0;
        loop {
            let fs = disk();
            let mut log = filled(&fs);
            log.flush().unwrap();
            log.set_config(config.clone());
            fs.stop_after(stop);
            let mut failed = false;
            while !failed {
                match log.remove_old_segments(NOW + 2_000, end) {
                    Ok(removed) if removed.is_empty() => break,
                    Ok(_) => {}
                    Err(_) => failed = true,
                }
            }
            drop(log);
            fs.crash(CrashLoss::ByChance { seed: stop });
            let (log, report) = open_at(&fs, end.0).unwrap();
            assert!(report.is_clean(), "stop after {stop}: {report:?}");
            assert_eq!(log.log_end_offset(), end, "stop after {stop}");
            if let Some((first, _)) = read_all(&log).first() {
                assert_eq!(
                    first.base_offset,
                    log.log_start_offset(),
                    "stop after {stop}"
                );
            }
            if !failed {
                break;
            }
            stop += 1;
        }
        assert!(stop > 5, "{stop} crashes are too few to mean anything");
    }
}

#[test]
fn records_below_a_raised_log_start_cannot_be_read_and_their_segments_go_later() {
    let fs = disk();
    let mut log = filled(&fs);
    log.set_config(keeping(None, None));
    let (before, end) = (n_segments(&fs), log.log_end_offset());
    let written = fs.n_changes();
    log.raise_log_start_offset(Offset(31)).unwrap();
    log.raise_log_start_offset(Offset(7)).unwrap();
    assert_eq!(log.log_start_offset(), Offset(31));
    assert!(log.read(Offset(30), end, 100).is_err());
    assert!(!log.read(Offset(31), end, 100).unwrap().is_empty());
    assert_eq!(fs.n_changes(), written, "raising it touches no file");
    let why = remove_all(&mut log, NOW, end);
    assert!(!why.is_empty() && why.iter().all(|it| *it == Expiry::BelowLogStart));
    assert_eq!(n_segments(&fs), before - why.len());
    assert_eq!(log.log_start_offset(), Offset(31));
}

#[test]
fn a_raised_log_start_that_nobody_noted_is_forgotten_with_the_power() {
    let fs = disk();
    let mut log = open(&fs);
    for epoch in 0..8 {
        append_in(&mut log, 3, epoch);
    }
    log.flush().unwrap();
    let epochs = log.leader_epochs().clone();
    log.raise_log_start_offset(Offset(13)).unwrap();
    assert_ne!(*log.leader_epochs(), epochs);
    let (again, report) = crash(&fs, log, CrashLoss::EverythingUnsynced);
    assert!(report.is_clean());
    assert_eq!(again.log_start_offset(), Offset::ZERO);
    assert_eq!(*again.leader_epochs(), epochs);
}

#[test]
fn old_records_that_were_deleted_before_go_once() {
    let fs = disk();
    let mut log = open(&fs);
    log.set_config(keeping(Some(100), None));
    append(&mut log, 3);
    log.advance_log_start_offset(Offset(3)).unwrap();
    assert!(log.size_bytes() > 0, "the active segment stays");
    let mut n_removed = 0;
    loop {
        let removed = log.remove_old_segments(NOW + 10_000, Offset(3)).unwrap();
        if removed.is_empty() {
            break;
        }
        n_removed += removed.len();
        assert!(n_removed < 10, "the same segment goes again and again");
    }
    assert_eq!(log.size_bytes(), 0);
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset()),
        (Offset(3), Offset(3))
    );
    assert_eq!(append(&mut log, 1).base_offset, Offset(3));
}

/// `cargo test --release -p drave-log --test log -- --ignored --nocapture a_large_segment`
#[test]
#[ignore = "prints figures, and writes two gibibytes"]
#[allow(clippy::disallowed_methods, reason = "it measures the machine")]
fn a_large_segment_holds_the_lock_for_its_name_only_in_figures() {
    const BATCH_BYTES: usize = 8 << 20;
    const SEGMENT_BYTES: u64 = 1 << 30;
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        segment_bytes: SEGMENT_BYTES,
        message_bytes_max: 2 * BATCH_BYTES,
        ..keeping(None, Some(1))
    };
    let (mut log, _) = PartitionLog::open(
        Arc::new(RealFs),
        &dir.path().join("large-0"),
        config,
        Offset::ZERO,
        Offset::ZERO,
    )
    .unwrap();
    while log.size_bytes() < 2 * SEGMENT_BYTES {
        let batch = BatchBuilder::new().value(NOW, vec![7; BATCH_BYTES]).build();
        log.append_as_leader(batch, LeaderEpoch(0), NOW).unwrap();
    }
    log.flush().unwrap();
    let end = log.log_end_offset();
    let began = Instant::now();
    let removed = log.remove_old_segments(NOW, end).unwrap();
    let under_the_lock = began.elapsed();
    let n_segments = removed.len();
    let began = Instant::now();
    drop(removed);
    let after_it = began.elapsed();
    println!(
        "{n_segments} segments: {under_the_lock:?} for their names, {after_it:?} for their blocks"
    );
}
