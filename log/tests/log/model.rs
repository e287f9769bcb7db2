//! Random lives of a log against a model in memory: reads, slices held for a while, reopening,
//! crashes at rest.

use std::collections::BTreeMap;

use drave_log::fs::faulty::{CrashLoss, FaultyFs};
use drave_log::{Checkpoint, LogSlice, ReadError};
use drave_protocol::ids::Offset;
use drave_protocol::record::batch;
use proptest::prelude::*;

use crate::invariants;
use crate::life::{Living, Model, Moment, Op, Stored, op, op_with_holes, partition};
use crate::seeds::by_chance;
use crate::support::disk;

#[derive(Clone, Debug)]
enum Step {
    Do(Op),
    /// Stop and open again, believing only this percentage of what is durable.
    Reopen {
        trusted_percent: i64,
    },
    /// The power fails while nothing is being done.
    Crash {
        seed: u64,
    },
    Read {
        from: i64,
        upper: i64,
        max_bytes: usize,
    },
    /// A slice is found now and read later.
    Hold {
        from: i64,
    },
}

/// A slice, and what it must give as long as nothing was cut.
struct Held {
    slice: LogSlice,
    bytes: Vec<u8>,
}

struct Story {
    fs: FaultyFs,
    living: Living,
    model: Model,
    held: Vec<Held>,
}

fn steps(op: impl Strategy<Value = Op>) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        30 => op.prop_map(Step::Do),
        2 => (0..=100_i64).prop_map(|trusted_percent| Step::Reopen { trusted_percent }),
        1 => any::<u64>().prop_map(|seed| Step::Crash { seed }),
        10 => (-1..120_i64, 0..130_i64, 0..900_usize)
            .prop_map(|(from, upper, max_bytes)| Step::Read { from, upper, max_bytes }),
        2 => (0..=100_i64).prop_map(|from| Step::Hold { from }),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What a read must return: the model's answer.
fn expected(model: &Model, from: i64, upper: i64, max_bytes: usize) -> Vec<&Stored> {
    let mut size = 0;
    let from_there = model.batches.iter().skip_while(|it| it.next <= from);
    let mut whole = from_there.take_while(|it| it.next <= upper).peekable();
    let mut answer = Vec::new();
    while let Some(stored) = whole.next_if(|_| from < model.end) {
        size += stored.bytes.len();
        if size > max_bytes && !answer.is_empty() {
            break;
        }
        answer.push(stored);
    }
    answer
}

impl Story {
    fn begin() -> Self {
        let fs = disk();
        Self {
            living: Living::open(&fs).unwrap(),
            fs,
            model: Model::default(),
            held: Vec::new(),
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Do(op) => return self.act(op),
            Step::Reopen { trusted_percent } => self.reopen(*trusted_percent),
            Step::Crash { seed } => return self.crash(*seed),
            Step::Read {
                from,
                upper,
                max_bytes,
            } => return self.read(*from, *upper, *max_bytes),
            Step::Hold { from } => self.hold(self.model.at(*from)),
        }
        Ok(())
    }

    fn act(&mut self, op: &Op) -> Result<(), String> {
        self.living
            .apply(op, &self.model)
            .map_err(|error| error.to_string())?;
        let after = self.model.after(op);
        let before = std::mem::replace(&mut self.model, after);
        if let Op::Retain { .. } = op {
            let (start, most) = (self.living.log.log_start_offset().0, self.model.start);
            if start < before.start || start > most {
                return Err(format!(
                    "starts at {start}, not in {}..={most}",
                    before.start
                ));
            }
            self.model.start = start;
        }
        if self.model.end < before.end || matches!(op, Op::Reset { .. }) {
            self.held.clear();
        }
        self.check_held()
    }

    fn reopen(&mut self, trusted_percent: i64) {
        self.living.checkpoint().unwrap();
        self.model.noted_start = self.model.start;
        let trusted = Offset(self.living.log.recovery_point_to_note().0 * trusted_percent / 100);
        let trusted = BTreeMap::from([(partition(), trusted)]);
        let dir = &self.living.dir;
        dir.write_checkpoint(Checkpoint::RecoveryPoint, &trusted)
            .unwrap();
        self.start_again(CrashLoss::Nothing);
        self.model.synced = self.model.end;
    }

    fn start_again(&mut self, loss: CrashLoss) {
        self.held.clear();
        self.fs.crash(loss);
        self.living = Living::open(&self.fs).unwrap();
    }

    fn crash(&mut self, seed: u64) -> Result<(), String> {
        self.start_again(CrashLoss::ByChance { seed });
        let moment = Moment::quiet(self.model.clone());
        moment.check(&self.living)?;
        self.model = moment.settled(&self.living)?;
        Ok(())
    }

    fn read(&self, from: i64, upper: i64, max_bytes: usize) -> Result<(), String> {
        let read = self.living.log.read(Offset(from), Offset(upper), max_bytes);
        if from < self.model.start || from > self.model.end {
            return match read {
                Err(ReadError::OffsetOutOfRange { .. }) => Ok(()),
                other => Err(format!("{from} is out of range, and gives {other:?}")),
            };
        }
        let read = read.map_err(|error| error.to_string())?;
        let expected = expected(&self.model, from, upper, max_bytes);
        let found: Vec<&[u8]> = batch::iter(&read).map(|one| one.unwrap().2).collect();
        // A read may end early where a segment does, but not before the first batch.
        let agrees = found.len() <= expected.len()
            && found.is_empty() == expected.is_empty()
            && found
                .iter()
                .zip(&expected)
                .all(|(found, it)| *found == it.bytes);
        if agrees {
            return Ok(());
        }
        Err(format!(
            "{from}..{upper} gives {} batches, not {}",
            found.len(),
            expected.len()
        ))
    }

    fn hold(&mut self, from: i64) {
        let upper = Offset(self.model.end);
        let found = self.living.log.slice(Offset(from), upper, 500);
        if let Some(slice) = found.unwrap() {
            let bytes = slice.read().unwrap().to_vec();
            self.held.push(Held { slice, bytes });
        }
    }

    fn check_held(&self) -> Result<(), String> {
        for Held { slice, bytes } in &self.held {
            let now = slice.read().map_err(|error| error.to_string())?;
            if now != *bytes {
                return Err(format!("{slice:?} gives other bytes than before"));
            }
        }
        Ok(())
    }

    fn agrees(&self) -> Result<(), String> {
        let (log, model) = (&self.living.log, &self.model);
        let found = (
            log.log_start_offset().0,
            log.log_end_offset().0,
            log.recovery_point().0,
        );
        let expected = (model.start, model.end, model.synced);
        if found == expected {
            Ok(())
        } else {
            Err(format!(
                "start, end, durable are {found:?}, not {expected:?}"
            ))
        }
    }
}

fn does_what_the_model_says(steps: &[Step]) -> Result<(), String> {
    let mut story = Story::begin();
    for step in steps {
        story
            .step(step)
            .map_err(|fault| format!("{step:?}: {fault}"))?;
        story
            .agrees()
            .map_err(|fault| format!("{step:?}: {fault}"))?;
    }
    let contents = story.living.contents()?;
    if contents != story.model.readable() {
        return Err(format!(
            "{contents:?} is there, not {:?}",
            story.model.readable()
        ));
    }
    story.living.check_times(&contents)?;
    invariants::check(&story.living, &story.fs)
}

#[test]
fn a_log_does_what_the_model_says() {
    by_chance(6_000, &steps(op()), |steps| does_what_the_model_says(steps));
}

#[test]
fn a_log_with_holes_does_what_the_model_says() {
    by_chance(6_000, &steps(op_with_holes()), |steps| {
        does_what_the_model_says(steps)
    });
}
