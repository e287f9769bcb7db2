//! The power fails after every change a log asks of the disk. What is opened afterwards must be
//! what was there: everything that was durable, then some of the rest in order, nothing torn.

use drave_log::fs::faulty::{CrashLoss, FaultyFs, PlantedFault};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::life::{Living, Model, Op, Stored, op, op_with_holes};
use crate::support::disk;

/// A model before and after the operation the power failed in; the same when it failed in none.
struct Moment {
    before: Model,
    after: Model,
}

/// Lives until the disk stops.
fn live(fs: &FaultyFs, life: &[Op]) -> Moment {
    let mut model = Model::default();
    let opened = Living::open(fs);
    let Ok(mut living) = opened else {
        return Moment {
            before: model.clone(),
            after: model,
        };
    };
    for op in life {
        let after = model.after(op);
        if living.apply(op, &model).is_err() {
            return Moment {
                before: model,
                after,
            };
        }
        model = after;
    }
    Moment {
        before: model.clone(),
        after: model,
    }
}

/// Whether `found` may be what is left of `model`: a run of its batches.
fn is_left_of(found: &[Stored], model: &Model) -> bool {
    let Some(first) = found.first() else {
        return true;
    };
    let there = model
        .batches
        .iter()
        .position(|stored| stored.base == first.base);
    there.is_some_and(|at| model.batches[at..].starts_with(found))
}

fn check(fs: &FaultyFs, moment: &Moment) -> Result<(), String> {
    let living = Living::open(fs).map_err(|error| format!("cannot open: {error}"))?;
    let found = living.contents()?;
    living.check_times(&found)?;
    let Moment { before, after } = moment;
    if !is_left_of(&found, before) && !is_left_of(&found, after) {
        return Err(format!(
            "found {found:?}, which is left neither of {before:?} nor {after:?}"
        ));
    }
    // A reset that was under way may have got anywhere.
    if after.batches.is_empty() && after.start > before.start {
        return Ok(());
    }
    let (start, end) = (
        living.log.log_start_offset().0,
        living.log.log_end_offset().0,
    );
    let durable = before.synced.min(after.synced);
    if end < durable {
        return Err(format!("the log ends at {end}, {durable} was durable"));
    }
    let first_needed = before.start.max(after.start);
    if start > first_needed {
        return Err(format!(
            "the log starts at {start}, {first_needed} was readable"
        ));
    }
    Ok(())
}

/// Crashes at each change of each life in each way; the first violation, with how to repeat it.
fn crash_everywhere(planted: Option<PlantedFault>) -> Result<u64, String> {
    let mut n_crashes = 0;
    for (n_life, life) in lives().iter().enumerate() {
        let world = || {
            let fs = disk();
            if let Some(fault) = planted {
                fs.plant(fault);
            }
            fs
        };
        let fs = world();
        live(&fs, life);
        for stop in 0..fs.n_changes() {
            let chance = CrashLoss::ByChance {
                seed: stop * 31 + u64::try_from(n_life).unwrap(),
            };
            for loss in [CrashLoss::EverythingUnsynced, CrashLoss::Nothing, chance] {
                let fs = world();
                fs.stop_after(stop);
                let moment = live(&fs, life);
                fs.crash(loss);
                let repeat = || format!("life {n_life}, stop after {stop}, {loss:?}");
                check(&fs, &moment).map_err(|fault| format!("{}: {fault}", repeat()))?;
                // Once repaired, it stays as it is.
                if loss == chance {
                    fs.crash(CrashLoss::EverythingUnsynced);
                    check(&fs, &moment).map_err(|fault| format!("{}, again: {fault}", repeat()))?;
                }
                n_crashes += 1;
            }
        }
    }
    Ok(n_crashes)
}

fn lives() -> Vec<Vec<Op>> {
    let mut runner = TestRunner::deterministic();
    let dense = proptest::collection::vec(op(), 30..50).boxed();
    let holed = proptest::collection::vec(op_with_holes(), 30..50).boxed();
    [dense, holed]
        .iter()
        .flat_map(|life| std::iter::repeat_n(life, 6))
        .map(|life| life.new_tree(&mut runner).unwrap().current())
        .collect()
}

#[test]
fn whenever_the_power_fails_what_was_durable_is_there_and_nothing_is_torn() {
    let n_crashes = crash_everywhere(None).unwrap();
    assert!(
        n_crashes > 2_000,
        "{n_crashes} crashes are too few to mean anything"
    );
}

#[test]
fn a_sync_that_does_nothing_is_found_out() {
    let found = crash_everywhere(Some(PlantedFault::FileSyncsDoNothing));
    assert!(
        found.is_err(),
        "the crash test would not notice a missing sync"
    );
}

#[test]
fn a_folder_sync_that_does_nothing_is_found_out() {
    let found = crash_everywhere(Some(PlantedFault::FolderSyncsDoNothing));
    assert!(
        found.is_err(),
        "the crash test would not notice a missing folder sync"
    );
}
