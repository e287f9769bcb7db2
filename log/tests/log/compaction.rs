//! Of each key the last record stays, at its offset; the others give their space back.

use std::ops::ControlFlow;

use drave_log::compaction::{CompactionError, Io, Pace};
use drave_log::fs::FileSystem;
use drave_log::fs::faulty::{CrashLoss, FaultyFs};
use drave_log::{LogConfig, LogError, PartitionLog};
use drave_protocol::ids::{LeaderEpoch, Offset};

use crate::compacted::{
    Rec, compact, compact_all, compact_at, compacting, contents, keyed, last_values, packed,
};
use crate::support::{NOW, crash, dir, disk, names, open};
use drave_protocol::record::attributes::Compression;

const DAY_MS: i64 = 86_400_000;

fn with(fs: &FaultyFs, config: LogConfig) -> PartitionLog {
    let mut log = open(fs);
    log.set_config(config);
    log
}

fn append(log: &mut PartitionLog, timestamp_ms: i64, records: &[(&str, Option<&str>)]) {
    let batch = keyed(timestamp_ms, records);
    log.append_as_leader(batch, LeaderEpoch(0), timestamp_ms.max(NOW))
        .unwrap();
}

/// Enough of other keys that what was before lies in sealed segments.
fn roll(log: &mut PartitionLog) {
    for n in 0..12 {
        append(
            log,
            NOW,
            &[(&format!("filling {n}"), Some("x".repeat(40).as_str()))],
        );
    }
}

/// Offsets and values of a key; "deleted" for a tombstone.
fn about<'a>(records: &'a [Rec], key: &str) -> Vec<(i64, &'a str)> {
    let of_key = records.iter().filter(|it| it.key.as_deref() == Some(key));
    let seen = of_key.map(|it| (it.offset, it.value.as_deref().unwrap_or("deleted")));
    seen.collect()
}

#[test]
fn the_last_record_of_each_key_stays_at_its_offset() {
    let fs = disk();
    let mut log = with(&fs, compacting());
    append(&mut log, NOW, &[("a", Some("1")), ("b", Some("1"))]);
    append(
        &mut log,
        NOW,
        &[("a", Some("2")), ("c", Some("1")), ("a", Some("3"))],
    );
    append(&mut log, NOW, &[("b", Some("2"))]);
    roll(&mut log);
    let size = log.size_bytes();
    let end = log.log_end_offset();
    let (upto, passed) = compact_all(&mut log, NOW).unwrap();
    assert_eq!(log.first_dirty_offset(), upto);
    let (_, records) = contents(&log);
    assert_eq!(about(&records, "a"), [(4, "3")]);
    assert_eq!(about(&records, "b"), [(5, "2")]);
    assert_eq!(about(&records, "c"), [(3, "1")]);
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset()),
        (Offset(0), end)
    );
    assert!(log.size_bytes() < size);
    assert_eq!(
        size - log.size_bytes(),
        passed.bytes_before - passed.bytes_after
    );
}

#[test]
fn a_read_in_a_hole_finds_what_comes_next() {
    let fs = disk();
    let mut log = with(&fs, compacting());
    for n in 0..40 {
        append(&mut log, NOW, &[("same", Some(&format!("{n}")))]);
    }
    compact_all(&mut log, NOW).unwrap();
    let (headers, _) = contents(&log);
    assert!(headers.len() < 20, "{}", headers.len());
    for from in 0..40 {
        let bytes = log.read(Offset(from), log.log_end_offset(), 1).unwrap();
        let found = drave_protocol::record::batch::BatchHeader::parse(&bytes).unwrap();
        let expected = headers
            .iter()
            .find(|it| it.last_offset() >= Offset(from))
            .unwrap();
        assert_eq!(found.base_offset, expected.base_offset, "from {from}");
    }
}

#[test]
fn a_tombstone_stays_until_its_time_is_over_and_the_deleted_value_does_not_return() {
    let fs = disk();
    let mut log = with(&fs, compacting());
    append(&mut log, NOW, &[("a", Some("1")), ("b", Some("1"))]);
    append(&mut log, NOW, &[("a", None)]);
    roll(&mut log);
    compact_all(&mut log, NOW).unwrap();
    let (_, records) = contents(&log);
    assert_eq!(about(&records, "a"), [(2, "deleted")]);
    let tombstone = records.iter().find(|it| it.offset == 2).unwrap();
    assert_eq!(
        tombstone.timestamp_ms, NOW,
        "its time is its own, not its horizon"
    );
    roll(&mut log);
    compact_all(&mut log, NOW + DAY_MS - 1).unwrap();
    assert_eq!(about(&contents(&log).1, "a"), [(2, "deleted")]);
    roll(&mut log);
    compact_all(&mut log, NOW + DAY_MS).unwrap();
    assert_eq!(about(&contents(&log).1, "a"), []);
    assert_eq!(about(&contents(&log).1, "b"), [(1, "1")]);
}

#[test]
fn compressed_batches_are_compacted_and_stay_compressed() {
    for codec in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let fs = disk();
        let mut log = with(&fs, compacting());
        for n in 0..30 {
            let text = format!("{n} {}", "z".repeat(60));
            let batch = keyed(
                NOW,
                &[
                    ("a", Some(&text)),
                    (&format!("k{n}"), Some("v")),
                    ("a", Some(&text)),
                ],
            );
            log.append_as_leader(packed(&batch, codec), LeaderEpoch(0), NOW)
                .unwrap();
        }
        let before = last_values(&contents(&log).1);
        compact_all(&mut log, NOW).unwrap();
        let (headers, records) = contents(&log);
        assert_eq!(last_values(&records), before);
        assert!(about(&records, "a").len() < 15, "{codec}");
        let with_records = headers.iter().filter(|it| it.records_count > 0);
        assert!(
            with_records
                .clone()
                .all(|it| it.compression() == Some(codec))
        );
        assert!(with_records.count() > 20);
    }
}

#[test]
fn nothing_younger_than_the_lag_is_touched() {
    let fs = disk();
    let config = LogConfig {
        min_compaction_lag_ms: 1_000,
        ..compacting()
    };
    let mut log = with(&fs, config);
    for n in 0..60 {
        append(&mut log, NOW + n * 100, &[("a", Some("1"))]);
    }
    let now_ms = NOW + 4_000;
    let (end, _) = compact_all(&mut log, now_ms).unwrap();
    let (_, records) = contents(&log);
    let young: Vec<i64> = records
        .iter()
        .map(|it| it.offset)
        .filter(|it| *it >= 30)
        .collect();
    assert_eq!(young, (30..60).collect::<Vec<i64>>());
    assert!(end > Offset(20) && end <= Offset(31), "{end}");
    assert!(records.len() < 45, "{}", records.len());
}

#[test]
fn what_waits_too_long_makes_a_log_deserve_a_pass() {
    let fs = disk();
    let config = LogConfig {
        min_cleanable_dirty_ratio: 1.0,
        max_compaction_lag_ms: 5_000,
        ..compacting()
    };
    let mut log = with(&fs, config);
    append(&mut log, NOW, &[("a", Some("1"))]);
    roll(&mut log);
    log.flush().unwrap();
    let end = log.log_end_offset();
    let dirt = |now_ms| log.dirt(now_ms, end).unwrap().unwrap();
    assert!(!dirt(NOW + 5_000).deserves_a_pass());
    assert!(dirt(NOW + 5_001).deserves_a_pass());
}

#[test]
fn a_small_map_takes_several_passes() {
    let fs = disk();
    let mut log = with(&fs, compacting());
    for round in 0..3 {
        for n in 0..40 {
            append(
                &mut log,
                NOW,
                &[(&format!("key {n}"), Some(&format!("{round}")))],
            );
        }
    }
    log.flush().unwrap();
    let before = last_values(&contents(&log).1);
    let end = log.log_end_offset();
    let mut ends = Vec::new();
    while let Some((end, _)) = compact(&mut log, NOW, end, 24 * 16).unwrap() {
        ends.push(end.0);
        assert!(ends.is_sorted_by(|a, b| a < b), "{ends:?}");
        assert_eq!(last_values(&contents(&log).1), before);
    }
    assert!(ends.len() > 5, "{ends:?}");
    let (_, records) = contents(&log);
    assert!(records.len() < 60, "{}", records.len());
}

#[test]
fn small_segments_become_one_and_a_clean_one_is_not_written_again() {
    let fs = disk();
    let mut log = with(&fs, compacting());
    for n in 0..100 {
        append(&mut log, NOW, &[("a", Some(&format!("{n}")))]);
    }
    let n_before = segments(&fs).len();
    assert!(n_before > 8, "{n_before}");
    let larger = LogConfig {
        segment_bytes: 100_000,
        ..compacting()
    };
    log.set_config(larger);
    compact_all(&mut log, NOW).unwrap();
    assert_eq!(
        segments(&fs).len(),
        2,
        "all that was sealed, and the active one"
    );
    log.set_config(compacting());
    // New keys only: of what they stand in, nothing goes.
    for n in 0..24 {
        append(
            &mut log,
            NOW,
            &[(&format!("{n}"), Some("x".repeat(100).as_str()))],
        );
    }
    log.flush().unwrap();
    let mut tally = Tally::default();
    let end = log.log_end_offset();
    compact_at(&mut log, (NOW, end), 1 << 16, &mut tally)
        .unwrap()
        .unwrap();
    assert!(tally.read > 4_000 && tally.written < 1_500, "{tally:?}");
    let (_, records) = contents(&log);
    assert_eq!(about(&records, "a"), [(99, "99")]);
    assert_eq!(records.len(), 25);
}

fn segments(fs: &FaultyFs) -> Vec<String> {
    let mut names = names(fs, &dir());
    names.retain(|it| it.ends_with(".log"));
    names
}

#[derive(Debug, Default)]
struct Tally {
    read: u64,
    written: u64,
    left: Option<u64>,
}

impl Pace for Tally {
    fn spend(&mut self, io: Io) -> ControlFlow<()> {
        match io {
            Io::Read(n) => self.read += n,
            Io::Written(n) => self.written += n,
        }
        match &mut self.left {
            None => ControlFlow::Continue(()),
            Some(0) => ControlFlow::Break(()),
            Some(n) => {
                *n -= 1;
                ControlFlow::Continue(())
            }
        }
    }
}

#[test]
fn a_pass_that_is_stopped_changes_nothing_and_leaves_nothing() {
    let fs = disk();
    let mut log = with(&fs, compacting());
    for n in 0..40 {
        append(&mut log, NOW, &[("a", Some(&format!("{n}")))]);
    }
    log.flush().unwrap();
    let before = contents(&log);
    let end = log.log_end_offset();
    for left in 0..3 {
        let mut tally = Tally {
            left: Some(left),
            ..Tally::default()
        };
        let stopped = compact_at(&mut log, (NOW, end), 1 << 16, &mut tally);
        assert!(
            matches!(stopped, Err(CompactionError::Stopped)),
            "{stopped:?}"
        );
        assert_eq!(contents(&log), before);
        assert!(!names(&fs, &dir()).iter().any(|it| it.contains("swap")));
    }
    assert!(compact_all(&mut log, NOW).is_some());
}

#[test]
fn a_batch_that_rotted_is_named_and_not_written_again() {
    let fs = disk();
    let mut log = with(&fs, compacting());
    for n in 0..40 {
        append(&mut log, NOW, &[("a", Some(&format!("{n}")))]);
    }
    log.flush().unwrap();
    fs.flip_bit(&dir().join(&segments(&fs)[1]), 100);
    let end = log.log_end_offset();
    let refused = compact(&mut log, NOW, end, 1 << 16);
    assert!(
        matches!(
            &refused,
            Err(CompactionError::Storage(LogError::Corrupt(_)))
        ),
        "{refused:?}"
    );
    assert_eq!(log.first_dirty_offset(), Offset(0));
}

#[test]
fn a_cut_meanwhile_voids_what_was_rewritten() {
    use drave_log::Swapped;
    use drave_log::compaction::{FullSpeed, HashKey, OffsetMap};
    let fs = disk();
    let mut log = with(&fs, compacting());
    for n in 0..40 {
        append(&mut log, NOW, &[("a", Some(&format!("{n}")))]);
    }
    log.flush().unwrap();
    let end = log.log_end_offset();
    let plan = log.plan_compaction(NOW, end).unwrap().unwrap();
    assert!(
        log.plan_compaction(NOW, end).unwrap().is_none(),
        "one plan at a time"
    );
    let map = OffsetMap::new(1 << 16, 100, HashKey([1, 2]));
    let mut pass = plan.start(map, &mut FullSpeed).unwrap();
    let rewritten = pass.next_group(&mut FullSpeed).unwrap().unwrap();
    log.truncate_to(Offset(35)).unwrap();
    assert_eq!(log.swap_in(&rewritten).unwrap(), Swapped::Voided);
    log.compacted(&pass).unwrap();
    assert_eq!(contents(&log).1.len(), 35);
    assert_eq!(log.first_dirty_offset(), Offset(0));
    drop((rewritten, pass));
    let (log, report) = crash(&fs, log, CrashLoss::EverythingUnsynced);
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(contents(&log).1.len(), 35);
    assert!(!fs.exists(&dir().join("cleaned")).unwrap());
}

#[test]
fn segments_that_went_meanwhile_void_what_was_rewritten() {
    use drave_log::Swapped;
    use drave_log::compaction::{FullSpeed, HashKey, OffsetMap};
    let fs = disk();
    let mut log = with(&fs, compacting());
    for n in 0..40 {
        append(&mut log, NOW, &[("a", Some(&format!("{n}")))]);
    }
    log.flush().unwrap();
    let end = log.log_end_offset();
    let plan = log.plan_compaction(NOW, end).unwrap().unwrap();
    let map = OffsetMap::new(1 << 16, 100, HashKey([1, 2]));
    let mut pass = plan.start(map, &mut FullSpeed).unwrap();
    let rewritten = pass.next_group(&mut FullSpeed).unwrap().unwrap();
    log.advance_log_start_offset(Offset(20)).unwrap();
    assert_eq!(log.swap_in(&rewritten).unwrap(), Swapped::Voided);
    let gone = pass.next_group(&mut FullSpeed);
    assert!(
        matches!(gone, Err(CompactionError::Gone) | Ok(None)),
        "{gone:?}"
    );
}

#[test]
fn a_slice_outlives_the_segment_it_lies_in_when_that_is_compacted() {
    let fs = disk();
    let mut log = with(&fs, compacting());
    for n in 0..40 {
        append(&mut log, NOW, &[("a", Some(&format!("{n}")))]);
    }
    let end = log.log_end_offset();
    let slice = log.slice(Offset(0), end, 400).unwrap().unwrap();
    let before = slice.read().unwrap();
    compact_all(&mut log, NOW).unwrap();
    assert_eq!(slice.read().unwrap(), before);
    assert_ne!(log.read(Offset(0), end, 400).unwrap(), before);
}
