use std::sync::Arc;

use drave_log::fs::faulty::CrashLoss;
use drave_log::fs::{self, FileSystem};
use drave_log::repair_report::Repair;
use drave_log::{LogError, PartitionLog};
use drave_protocol::ids::{LeaderEpoch, Offset};
use proptest::prelude::*;

use crate::seeds::tried_by_chance;
use crate::support::*;

/// The tail of a segment may end anywhere.
#[test]
fn every_prefix_of_a_segment_opens_to_its_whole_batches() {
    let fs = disk();
    let mut log = open(&fs);
    for _ in 0..3 {
        append(&mut log, 2);
    }
    let bytes = fs::read_file(&fs, &segment_path(0)).unwrap();
    let one = batch(2).len();
    drop(log);
    for cut in 0..=bytes.len() {
        let file = fs.create(&segment_path(0)).unwrap();
        file.write_all_at(&bytes[..cut], 0).unwrap();
        let (mut log, report) = open_at(&fs, 0).unwrap();
        assert_eq!(
            log.log_end_offset().0,
            i64::try_from(cut / one * 2).unwrap(),
            "cut at {cut}"
        );
        assert_eq!(report.is_clean(), cut % one == 0, "cut at {cut}");
        if let Some(Repair::TailCut {
            bytes, position, ..
        }) = report.repairs.first()
        {
            assert_eq!(usize::try_from(position + bytes).unwrap(), cut);
        }
        append(&mut log, 1);
        assert_eq!(read_all(&log).len(), cut / one + 1);
    }
}

#[test]
fn every_flipped_bit_above_the_recovery_point_ends_the_log_there() {
    let fs = disk();
    let mut log = open(&fs);
    for _ in 0..3 {
        append(&mut log, 2);
    }
    drop(log);
    let bytes = fs::read_file(&fs, &segment_path(0)).unwrap();
    let one = batch(2).len();
    for at in one..2 * one {
        let file = fs.create(&segment_path(0)).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        fs.flip_bit(&segment_path(0), u64::try_from(at).unwrap());
        let (log, report) = open_at(&fs, 2).unwrap();
        // Only the epoch lies outside the checksum; a risen one cannot be told from a true one.
        if !(12..16).contains(&(at - one)) {
            assert_eq!(
                (log.log_end_offset(), report.repairs.len()),
                (Offset(2), 1),
                "byte {at}"
            );
        }
    }
}

/// A block that did not reach the disk may hold the start of a header: then the batch says that it is the first.
#[test]
fn a_torn_header_behind_the_recovery_point_is_cut_whatever_offset_it_says() {
    let fs = disk();
    let mut log = open(&fs);
    for _ in 0..3 {
        append(&mut log, 2);
    }
    drop(log);
    let mut bytes = fs::read_file(&fs, &segment_path(0)).unwrap();
    let at = batch(2).len() * 2;
    bytes[at..at + 8].fill(0);
    let file = fs.create(&segment_path(0)).unwrap();
    file.write_all_at(&bytes, 0).unwrap();
    let (log, report) = open_at(&fs, 4).unwrap();
    assert_eq!((log.log_end_offset(), report.repairs.len()), (Offset(4), 1));
}

#[test]
fn damage_below_the_recovery_point_is_never_cut() {
    let fs = disk();
    let mut log = open(&fs);
    for _ in 0..3 {
        append(&mut log, 2);
    }
    log.flush().unwrap();
    drop(log);
    let size = fs::read_file(&fs, &segment_path(0)).unwrap().len();
    let one = batch(2).len();
    let (in_the_header, in_a_record) = (2 * one + 7, 2 * one + 70);
    for at in [in_the_header, in_a_record] {
        fs.flip_bit(&segment_path(0), u64::try_from(at).unwrap());
        let opened = open_at(&fs, 6);
        // Headers lead from an index entry to the recovery point; the records behind them are for the scrub.
        if at == in_the_header {
            assert!(matches!(opened, Err(LogError::Corrupt(_))));
        } else {
            assert_eq!(opened.unwrap().0.log_end_offset(), Offset(6));
        }
        assert_eq!(fs::read_file(&fs, &segment_path(0)).unwrap().len(), size);
        fs.flip_bit(&segment_path(0), u64::try_from(at).unwrap());
    }
    let file = fs.open(&segment_path(0)).unwrap();
    file.set_size(u64::try_from(2 * one).unwrap()).unwrap();
    let Err(LogError::Corrupt(short)) = open_at(&fs, 6) else {
        panic!("a short log opened")
    };
    assert_eq!(short.offset, Offset(4));
    assert!(open_at(&fs, 4).is_ok());
}

#[test]
fn vanished_segments_are_not_an_empty_log() {
    let fs = disk();
    let mut log = open(&fs);
    append(&mut log, 2);
    log.flush().unwrap();
    drop(log);
    fs.remove_file(&segment_path(0)).unwrap();
    assert!(matches!(open_at(&fs, 2), Err(LogError::Corrupt(_))));
}

#[test]
fn a_torn_segment_takes_those_after_it() {
    let fs = disk();
    let mut log = open(&fs);
    for _ in 0..20 {
        append(&mut log, 3);
    }
    drop(log);
    let logs: Vec<String> = names(&fs, &dir())
        .into_iter()
        .filter(|it| it.ends_with(".log"))
        .collect();
    let second: i64 = logs[1].trim_end_matches(".log").parse().unwrap();
    let third: i64 = logs[2].trim_end_matches(".log").parse().unwrap();
    fs.flip_bit(&segment_path(second), 80);
    let (log, report) = open_at(&fs, 0).unwrap();
    assert_eq!(log.log_end_offset(), Offset(second));
    assert!(
        matches!(&report.repairs[0], Repair::TailCut { from_offset, .. } if from_offset.0 == second)
    );
    assert!(
        matches!(&report.repairs[1], Repair::SegmentDropped { base_offset, .. } if base_offset.0 == third)
    );
    assert_eq!(report.repairs.len(), logs.len() - 1);
    drop(log);
    assert!(
        open_at(&fs, 0).unwrap().1.is_clean(),
        "what was repaired stays repaired"
    );
}

#[test]
fn only_the_unsynced_tail_is_scanned() {
    let fs = disk();
    let mut log = open(&fs);
    for _ in 0..40 {
        append(&mut log, 3);
    }
    log.flush().unwrap();
    append(&mut log, 3);
    let tail = u64::try_from(batch(3).len()).unwrap();
    let (log, report) = crash(&fs, log, CrashLoss::Nothing);
    assert_eq!(log.log_end_offset(), Offset(123));
    assert_eq!(report.scanned_bytes, tail);
    assert_eq!(
        log.recovery_point(),
        Offset(123),
        "what was scanned is synced"
    );
}

#[test]
fn a_damaged_epoch_file_is_made_anew_from_the_batches() {
    let fs = disk();
    let mut log = open(&fs);
    for epoch in [0, 0, 3, 7, 7, 9] {
        append_in(&mut log, 3, epoch);
    }
    log.flush().unwrap();
    let epochs = log.leader_epochs().clone();
    drop(log);
    let path = dir().join("leader-epoch-checkpoint");
    assert_eq!(
        fs::read_file(&fs, &path).unwrap(),
        b"0\n4\n0 0\n3 6\n7 9\n9 15\n"
    );
    for damage in [&b"rubbish"[..], b"0\n2\n5 9\n4 20\n", b"0\n1\nx y\n"] {
        fs::replace_file(&fs, &path, damage).unwrap();
        let (log, report) = open_at(&fs, 18).unwrap();
        assert_eq!(*log.leader_epochs(), epochs);
        assert_eq!(report.repairs, [Repair::LeaderEpochsRebuilt]);
        drop(log);
        assert!(open_at(&fs, 18).unwrap().1.is_clean());
    }
}

/// Who lets go of records forgets who wrote them, and a crash may bring them back.
#[test]
fn epochs_of_records_that_are_back_are_read_from_the_batches() {
    let fs = disk();
    let mut log = open(&fs);
    for epoch in [1, 2, 2, 3] {
        append_in(&mut log, 2, epoch);
    }
    let known = log.leader_epochs().clone();
    log.raise_log_start_offset(Offset(5)).unwrap();
    log.flush().unwrap();
    drop(log);
    assert_eq!(open_at(&fs, 8).unwrap().0.leader_epochs(), &known);
}

#[test]
fn epochs_beyond_the_log_are_forgotten() {
    let fs = disk();
    let mut log = open(&fs);
    append_in(&mut log, 3, 1);
    log.flush().unwrap();
    append_in(&mut log, 3, 2);
    let (log, _) = crash(&fs, log, CrashLoss::EverythingUnsynced);
    assert_eq!(
        log.leader_epochs().latest(),
        Some((LeaderEpoch(1), Offset(0)))
    );
}

#[test]
fn a_log_start_beyond_the_log_starts_it_over() {
    let fs = disk();
    let mut log = open(&fs);
    append(&mut log, 3);
    drop(log);
    let (log, report) =
        PartitionLog::open(Arc::new(fs), &dir(), small(), Offset(0), Offset(50)).unwrap();
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset()),
        (Offset(50), Offset(50))
    );
    assert_eq!(
        report.repairs,
        [Repair::StartedOver {
            log_start_offset: Offset(50)
        }]
    );
}

/// Indexes are caches: whatever they hold, the log answers the same.
pub(crate) fn no_index_changes_what_is_read() -> Result<u64, String> {
    let n_cases = 200;
    tried_by_chance(n_cases, &(damage(), 0..20_i64), |(damage, trusted)| {
        reads_the_same_without(damage, *trusted * 3)
    })?;
    Ok(n_cases.into())
}

/// Any bytes, or entries that look as if they belonged there.
fn damage() -> impl Strategy<Value = Vec<u8>> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..64);
    let entry = (0..20_u32, 0..700_u32);
    let entries = proptest::collection::vec(entry, 1..8).prop_map(|mut entries| {
        entries.sort_unstable();
        let both = entries
            .iter()
            .flat_map(|(offset, position)| [offset, position]);
        both.flat_map(|it| it.to_be_bytes()).collect()
    });
    prop_oneof![bytes, entries]
}

fn reads_the_same_without(damage: &[u8], recovery_point: i64) -> Result<(), String> {
    let fs = disk();
    let mut log = open(&fs);
    for _ in 0..20 {
        append(&mut log, 3);
    }
    log.flush().unwrap();
    let before = read_all(&log);
    drop(log);
    for name in names(&fs, &dir())
        .iter()
        .filter(|it| it.ends_with(".index"))
    {
        let file = fs.create(&dir().join(name)).unwrap();
        file.write_all_at(damage, 0).unwrap();
    }
    let (log, _) = open_at(&fs, recovery_point).map_err(|error| error.to_string())?;
    if read_all(&log) != before {
        return Err("what is read has changed".to_owned());
    }
    for from in 0..60 {
        let found = log.read(Offset(from), Offset(60), 1);
        let found = bases(&found.map_err(|error| error.to_string())?);
        if found != [from / 3 * 3] {
            return Err(format!("at {from} {found:?} is found"));
        }
    }
    Ok(())
}

#[test]
fn indexes_are_caches() {
    no_index_changes_what_is_read().unwrap();
}
