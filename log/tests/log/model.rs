//! A random life of a log against a model in memory, with reopening at any time.

use std::collections::BTreeMap;

use drave_log::fs::faulty::CrashLoss;
use drave_log::{Checkpoint, ReadError};
use drave_protocol::ids::Offset;
use drave_protocol::record::batch;
use proptest::prelude::*;

use crate::life::{Living, Model, Op, Stored, op, op_with_holes, partition};
use crate::support::disk;

#[derive(Clone, Debug)]
enum Step {
    Do(Op),
    /// Stop and open again, believing only this percentage of what is durable.
    Reopen {
        trusted_percent: i64,
    },
    Read {
        from: i64,
        upper: i64,
        max_bytes: usize,
    },
}

fn steps(op: BoxedStrategy<Op>) -> BoxedStrategy<Vec<Step>> {
    proptest::collection::vec(step(op), 1..60).boxed()
}

fn step(op: BoxedStrategy<Op>) -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => op.prop_map(Step::Do),
        1 => (0..=100_i64).prop_map(|trusted_percent| Step::Reopen { trusted_percent }),
        4 => (-1..120_i64, 0..130_i64, 0..900_usize)
            .prop_map(|(from, upper, max_bytes)| Step::Read { from, upper, max_bytes }),
    ]
}

/// What a read must return: the model's answer.
fn expected(model: &Model, from: i64, upper: i64, max_bytes: usize) -> Vec<&Stored> {
    let mut size = 0;
    let from_there = model
        .batches
        .iter()
        .skip_while(|stored| stored.next <= from);
    let mut whole = from_there
        .take_while(|stored| stored.next <= upper)
        .peekable();
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

fn check_read(living: &Living, model: &Model, from: i64, upper: i64, max_bytes: usize) {
    let read = living.log.read(Offset(from), Offset(upper), max_bytes);
    if from < model.start || from > model.end {
        assert!(matches!(read, Err(ReadError::OffsetOutOfRange { .. })));
        return;
    }
    let read = read.unwrap();
    let expected = expected(model, from, upper, max_bytes);
    let found: Vec<&[u8]> = batch::iter(&read).map(|one| one.unwrap().2).collect();
    // A read may end early where a segment does, but not before the first batch.
    assert!(found.len() <= expected.len());
    assert_eq!(
        found.is_empty(),
        expected.is_empty(),
        "reading {from}..{upper}"
    );
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(*found, expected.bytes.as_slice());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_log_does_what_the_model_says(
        steps in prop_oneof![steps(op().boxed()), steps(op_with_holes().boxed())]
    ) {
        let fs = disk();
        let mut living = Living::open(&fs).unwrap();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Do(op) => {
                    living.apply(&op, &model).unwrap();
                    model = model.after(&op);
                }
                Step::Read { from, upper, max_bytes } => {
                    check_read(&living, &model, from, upper, max_bytes);
                }
                Step::Reopen { trusted_percent } => {
                    living.apply(&Op::Checkpoint, &model).unwrap();
                    let trusted = Offset(living.log.recovery_point().0 * trusted_percent / 100);
                    let trusted = BTreeMap::from([(partition(), trusted)]);
                    living.dir.write_checkpoint(Checkpoint::RecoveryPoint, &trusted).unwrap();
                    drop(living);
                    fs.crash(CrashLoss::Nothing);
                    living = Living::open(&fs).unwrap();
                    model.synced = model.end;
                }
            }
            prop_assert_eq!(living.log.log_end_offset().0, model.end);
            prop_assert_eq!(living.log.log_start_offset().0, model.start);
            prop_assert_eq!(living.log.recovery_point().0, model.synced);
        }
        let contents = living.contents().unwrap();
        living.check_times(&contents).unwrap();
        let kept: Vec<Stored> =
            model.batches.iter().filter(|stored| stored.next > model.start).cloned().collect();
        prop_assert_eq!(contents, kept);
    }
}
