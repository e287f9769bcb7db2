//! The power fails at every change a compaction asks of the disk. What is opened afterwards holds
//! every key's last record, and can be compacted as if nothing had been.

use std::collections::BTreeMap;

use drave_log::fs::faulty::{CrashLoss, FaultyFs};
use drave_log::{LogConfig, PartitionLog};
use drave_protocol::ids::{LeaderEpoch, Offset};

use crate::compacted::{
    PLENTY, Rec, compact, compacting, contents, keyed, last_values, try_contents,
};
use crate::support::{NOW, dir, disk, names, open, open_at};

const DAY_MS: i64 = 86_400_000;

/// A log of many small segments, all of it durable, compacted once or not yet.
fn written(fs: &FaultyFs, is_second_pass: bool) -> PartitionLog {
    let mut log = open(fs);
    log.set_config(compacting());
    append(&mut log, 0..60);
    if is_second_pass {
        log.flush().unwrap();
        let end = log.log_end_offset();
        compact(&mut log, NOW - 2 * DAY_MS, end, PLENTY)
            .unwrap()
            .unwrap();
        append(&mut log, 60..100);
    }
    log.flush().unwrap();
    log.set_config(LogConfig {
        segment_bytes: 2_000,
        ..compacting()
    });
    log
}

fn append(log: &mut PartitionLog, range: std::ops::Range<i64>) {
    for n in range {
        let (key, value) = (format!("key {}", n % 7), format!("value {n}"));
        // Some keys are deleted, some only once.
        let value = (n % 5 != 0).then_some(value.as_str());
        let once = format!("once {n}");
        let batch = keyed(NOW - 2 * DAY_MS, &[(&key, value), (&once, value)]);
        log.append_as_leader(batch, LeaderEpoch(0), NOW).unwrap();
    }
}

struct Before {
    end: Offset,
    records: BTreeMap<i64, Rec>,
    values: BTreeMap<String, String>,
}

fn before(is_second_pass: bool) -> Before {
    let log = written(&disk(), is_second_pass);
    let (_, records) = contents(&log);
    Before {
        end: log.log_end_offset(),
        values: last_values(&records),
        records: records.into_iter().map(|it| (it.offset, it)).collect(),
    }
}

fn check(fs: &FaultyFs, trusted: i64, before: &Before) -> Result<(), String> {
    let (mut log, report) =
        open_at(fs, trusted).map_err(|error| format!("cannot open: {error}"))?;
    if !report.is_clean() {
        return Err(format!("{report:?}"));
    }
    check_contents(&log, before)?;
    let left = names(fs, &dir());
    if let Some(name) = left
        .iter()
        .find(|it| it.contains("swap") || *it == "cleaned")
    {
        return Err(format!("{name} is left over"));
    }
    log.set_config(compacting());
    compact(&mut log, NOW, before.end, PLENTY).map_err(|error| format!("compact: {error}"))?;
    check_contents(&log, before)
}

fn check_contents(log: &PartitionLog, before: &Before) -> Result<(), String> {
    let (_, records) = try_contents(log).map_err(|error| error.to_string())?;
    if log.log_end_offset() != before.end {
        return Err(format!("the log ends at {}", log.log_end_offset()));
    }
    if let Some(record) = records
        .iter()
        .find(|it| before.records.get(&it.offset) != Some(it))
    {
        return Err(format!("{record:?} is new"));
    }
    if last_values(&records) != before.values {
        return Err(format!("values are {:?}", last_values(&records)));
    }
    Ok(())
}

/// The first violation, with how to repeat it, or the number of crashes.
pub(crate) fn crash_everywhere() -> Result<u64, String> {
    let mut n_crashes = 0;
    for is_second_pass in [false, true] {
        let before = before(is_second_pass);
        for stop in 0.. {
            let chance = CrashLoss::ByChance { seed: stop * 7 + 1 };
            let mut has_ended = false;
            for loss in [CrashLoss::EverythingUnsynced, CrashLoss::Nothing, chance] {
                let fs = disk();
                let mut log = written(&fs, is_second_pass);
                fs.stop_after(stop);
                has_ended = compact(&mut log, NOW, before.end, PLENTY).is_ok();
                drop(log);
                fs.crash(loss);
                // A recovery point is noted now and then: it may be as old as one likes.
                let trusted = if stop % 2 == 0 { before.end.0 } else { 30 };
                check(&fs, trusted, &before).map_err(|fault| {
                    format!("second {is_second_pass}, stop after {stop}, {loss:?}: {fault}")
                })?;
                n_crashes += 1;
            }
            if has_ended {
                break;
            }
        }
    }
    Ok(n_crashes)
}

#[test]
fn whenever_the_power_fails_in_a_compaction_every_keys_last_record_is_there() {
    let n_crashes = crash_everywhere().unwrap();
    assert!(
        n_crashes > 300,
        "{n_crashes} crashes are too few to mean anything"
    );
}
