//! The disk fails at every change a log asks of it, in every way a disk can. What is opened
//! afterwards must be what was there: everything that was durable, then some of the rest in order,
//! nothing torn, and all that must hold of a log holds.

use drave_log::fs::faulty::{CrashLoss, FaultyFs, Trouble};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::invariants;
use crate::life::{Living, Model, Moment, Op, op, op_with_holes};
use crate::support::disk;

/// What happens at one change; the power fails at the latest when the life is over.
#[derive(Clone, Copy, Debug)]
enum Blow {
    PowerFails(CrashLoss),
    /// The process is killed when it notices that its log failed, and starts again.
    Befalls(Trouble),
}

/// Lives to the end, or until the machine is off.
fn live(fs: &FaultyFs, life: &[Op]) -> Result<Moment, String> {
    let mut model = Model::default();
    let Ok(mut living) = Living::open(fs) else {
        return Ok(Moment::quiet(model));
    };
    for op in life {
        let after = model.after(op);
        let done = living.apply(op, &model);
        let moment = Moment {
            before: model,
            after,
        };
        if fs.is_off() {
            return Ok(moment);
        }
        if done.is_err() {
            living = living_on(fs, living, &moment)?;
        }
        model = moment.settled(&living)?;
    }
    Ok(Moment::quiet(model))
}

/// After an operation that failed: there is space again, and a log that failed is opened anew.
fn living_on(fs: &FaultyFs, living: Living, moment: &Moment) -> Result<Living, String> {
    fs.set_capacity(u64::MAX);
    let living = if living.log.is_failed() {
        drop(living);
        Living::open(fs).map_err(|error| format!("cannot be opened again: {error}"))?
    } else {
        living
    };
    moment.check(&living)?;
    Ok(living)
}

fn check(fs: &FaultyFs, moment: &Moment) -> Result<(), String> {
    let living = Living::open(fs).map_err(|error| format!("cannot open: {error}"))?;
    moment.check(&living)?;
    invariants::check(&living, fs)
}

/// One life with one blow; what does not hold afterwards.
fn blow_at(fs: &FaultyFs, life: &[Op], at: u64, blow: Blow) -> Result<(), String> {
    let (moment, loss) = match blow {
        Blow::PowerFails(loss) => {
            fs.stop_after(at);
            (live(fs, life)?, loss)
        }
        Blow::Befalls(trouble) => {
            fs.trouble_after(at, trouble);
            (live(fs, life)?, CrashLoss::EverythingUnsynced)
        }
    };
    fs.set_capacity(u64::MAX);
    fs.crash(loss);
    check(fs, &moment)?;
    // Once repaired, it stays as it is.
    fs.crash(CrashLoss::EverythingUnsynced);
    check(fs, &moment).map_err(|fault| format!("opened again: {fault}"))
}

/// Each blow at each change of each life; the first violation, with how to repeat it.
pub(crate) fn blow_everywhere() -> Result<u64, String> {
    let mut n_blows = 0;
    for (n_life, life) in lives().iter().enumerate() {
        let fs = disk();
        live(&fs, life)?;
        for at in 0..fs.n_changes() {
            let seed = at * 31 + u64::try_from(n_life).unwrap();
            for blow in [
                Blow::PowerFails(CrashLoss::EverythingUnsynced),
                Blow::PowerFails(CrashLoss::Nothing),
                Blow::PowerFails(CrashLoss::ByChance { seed }),
                Blow::Befalls(Trouble::IoError),
                Blow::Befalls(Trouble::FullDisk),
            ] {
                blow_at(&disk(), life, at, blow)
                    .map_err(|fault| format!("life {n_life}, {blow:?} at {at}: {fault}"))?;
                n_blows += 1;
            }
        }
    }
    Ok(n_blows)
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
fn whatever_befalls_the_disk_what_was_durable_is_there_and_nothing_is_torn() {
    let n_blows = blow_everywhere().unwrap();
    assert!(
        n_blows > 10_000,
        "{n_blows} blows are too few to mean anything"
    );
}
