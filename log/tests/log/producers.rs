//! A producer's retries are answered, whatever became of the log in between.

use drave_log::fs::FileSystem;
use drave_log::fs::faulty::{CrashLoss, FaultyFs};
use drave_log::producer_state::{Sequence, error::Refused};
use drave_log::{AppendError, Appended, PartitionLog};
use drave_protocol::ids::{LeaderEpoch, Offset, ProducerId};
use drave_protocol::record::builder::BatchBuilder;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::producer_life::{self, Model, Op, op};
use crate::support::*;

/// Ten records of producer 7, with the sequences of the `n`-th batch.
fn nth(n: i32) -> bytes::BytesMut {
    let mut builder = BatchBuilder::new().producer(ProducerId(7), 0, n * 10);
    for i in 0..10 {
        builder = builder.value(NOW + i, format!("record {i} of batch {n}"));
    }
    builder.build()
}

fn send(log: &mut PartitionLog, n: i32) -> Result<Appended, AppendError> {
    log.append_as_leader(nth(n), LeaderEpoch(0), NOW)
}

fn sent(log: &mut PartitionLog, n_batches: i32) {
    for n in 0..n_batches {
        assert!(!send(log, n).unwrap().is_duplicate);
    }
}

/// The batches of the first `n_batches` that are recognised, by number.
fn recognised(log: &mut PartitionLog, n_batches: i32) -> Vec<i32> {
    let mut recognised = Vec::new();
    for n in 0..n_batches {
        let end = log.log_end_offset();
        if let Ok(original) = send(log, n) {
            assert!(original.is_duplicate);
            let base = i64::from(n) * 10;
            assert_eq!(original.base_offset, Offset(base));
            assert_eq!(original.last_offset, Offset(base + 9));
            recognised.push(n);
        }
        assert_eq!(log.log_end_offset(), end, "nothing is appended twice");
    }
    recognised
}

fn snapshots(fs: &FaultyFs) -> Vec<String> {
    let mut names = names(fs, &dir());
    names.retain(|it| it.ends_with(".snapshot"));
    names
}

#[test]
fn a_duplicate_is_answered_with_its_first_offset() {
    let mut log = open(&disk());
    sent(&mut log, 7);
    assert_eq!(recognised(&mut log, 7), [2, 3, 4, 5, 6]);
}

#[test]
fn a_refused_batch_leaves_no_trace() {
    let mut log = open(&disk());
    sent(&mut log, 2);
    let before = log.producer_states().to_snapshot();
    let Err(AppendError::Producer(error)) = send(&mut log, 3) else {
        panic!("a gap must be refused");
    };
    let (last, got) = (Sequence(19), Sequence(30));
    assert_eq!(error.refused, Refused::OutOfOrder { last, got });
    assert_eq!(log.log_end_offset(), Offset(20));
    assert_eq!(log.producer_states().to_snapshot(), before);
    send(&mut log, 2).unwrap();
}

#[test]
fn a_batch_that_did_not_fit_the_disk_may_be_sent_again() {
    let fs = disk();
    let mut log = open(&fs);
    sent(&mut log, 2);
    fs.set_capacity(fs.used_bytes());
    assert!(matches!(send(&mut log, 2), Err(AppendError::Full)));
    fs.set_capacity(u64::MAX);
    assert!(!send(&mut log, 2).unwrap().is_duplicate);
    assert_eq!(recognised(&mut log, 3), [0, 1, 2]);
}

#[test]
fn the_whole_window_is_known_after_a_restart() {
    for loss in [CrashLoss::Nothing, CrashLoss::EverythingUnsynced] {
        let fs = disk();
        let mut log = open(&fs);
        sent(&mut log, 7);
        log.close().unwrap();
        let (mut log, _) = crash(&fs, log, loss);
        assert_eq!(recognised(&mut log, 7), [2, 3, 4, 5, 6], "{loss:?}");
        assert!(!send(&mut log, 7).unwrap().is_duplicate);
    }
}

#[test]
fn a_lost_or_bad_snapshot_costs_nothing_but_time() {
    let fs = disk();
    let mut log = open(&fs);
    sent(&mut log, 7);
    log.close().unwrap();
    let written = snapshots(&fs);
    assert!(written.len() > 2, "{written:?}");
    for name in &written[1..] {
        fs.flip_bit(&dir().join(name), 8);
    }
    fs.remove_file(&dir().join(&written[0])).unwrap();
    let (mut log, _) = crash(&fs, log, CrashLoss::Nothing);
    assert!(snapshots(&fs).is_empty(), "bad ones are removed");
    assert_eq!(recognised(&mut log, 7), [2, 3, 4, 5, 6]);
}

#[test]
fn what_is_truncated_may_be_sent_again() {
    let mut log = open(&disk());
    sent(&mut log, 8);
    log.truncate_to(Offset(60)).unwrap();
    assert_eq!(recognised(&mut log, 6), [1, 2, 3, 4, 5]);
    assert!(!send(&mut log, 6).unwrap().is_duplicate);
    log.truncate_to(Offset(0)).unwrap();
    assert_eq!(recognised(&mut log, 0), [0_i32; 0]);
    assert!(!send(&mut log, 0).unwrap().is_duplicate);
}

#[test]
fn a_follower_takes_what_it_gets_and_answers_retries_when_it_leads() {
    let mut leader = open(&disk());
    sent(&mut leader, 7);
    let mut follower = open(&disk());
    for (_, bytes) in read_all(&leader) {
        follower.append_as_follower(&bytes, NOW).unwrap();
    }
    assert_eq!(recognised(&mut follower, 7), [2, 3, 4, 5, 6]);
    // A gap is the leader's word: its log was compacted, or it knew nothing of the producer.
    let mut far = nth(100);
    drave_protocol::record::batch::patch(&mut far, Offset(70), LeaderEpoch(0));
    follower.append_as_follower(&far, NOW).unwrap();
}

#[test]
fn a_producer_outlives_its_batches() {
    let fs = disk();
    let mut log = open(&fs);
    sent(&mut log, 8);
    log.flush().unwrap();
    log.advance_log_start_offset(Offset(80)).unwrap();
    let bases = names(&fs, &dir());
    let first = bases.iter().find(|it| it.ends_with(".log")).unwrap();
    let first = first.replace(".log", ".snapshot");
    assert!(
        snapshots(&fs).first() >= Some(&first),
        "older snapshots go with their segments"
    );
    let (mut log, _) = crash(&fs, log, CrashLoss::EverythingUnsynced);
    assert_eq!(recognised(&mut log, 8), [3, 4, 5, 6, 7]);
}

#[test]
fn there_is_a_snapshot_for_each_segment_and_one_more() {
    let fs = disk();
    let mut log = open(&fs);
    for n in 0..8 {
        send(&mut log, n).unwrap();
        log.close().unwrap();
    }
    let names = names(&fs, &dir());
    let n_segments = names.iter().filter(|it| it.ends_with(".log")).count();
    assert!(
        (n_segments - 1..=n_segments).contains(&snapshots(&fs).len()),
        "{names:?}"
    );
    log.reset_to(Offset(500)).unwrap();
    assert!(snapshots(&fs).is_empty());
}

#[test]
fn a_producer_silent_for_long_is_forgotten() {
    let mut log = open(&disk());
    sent(&mut log, 1);
    let day = 24 * 3_600_000;
    log.expire_producers(NOW + day - 1);
    assert_eq!(recognised(&mut log, 1), [0]);
    log.expire_producers(NOW + day);
    assert!(log.producer_states().is_empty());
}

#[test]
fn a_producer_of_old_records_is_not_forgotten_while_it_writes() {
    let mut log = open(&disk());
    let later = NOW + 400 * 24 * 3_600_000;
    log.append_as_leader(nth(0), LeaderEpoch(0), later).unwrap();
    log.expire_producers(later + 1_000);
    assert_eq!(recognised(&mut log, 1), [0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn producers_are_known_as_the_whole_log_says(
        steps in proptest::collection::vec((op(), 0..12_u8), 1..60),
    ) {
        let fs = disk();
        let mut log = producer_life::open(&fs, Offset::ZERO).unwrap();
        let mut model = Model::default();
        for (op, chance) in steps {
            producer_life::apply(&mut log, &op, &model).unwrap();
            model = model.after(&op);
            if chance == 0 {
                let trusted = log.recovery_point_to_note();
                drop(log);
                fs.crash(CrashLoss::Nothing);
                log = producer_life::open(&fs, trusted).unwrap();
                model.start = log.log_start_offset().0;
            }
            if let Err(fault) = model.check(&log) {
                prop_assert!(false, "after {:?}: {}", op, fault);
            }
        }
    }
}

/// Lives until the disk stops; what there was before and after the operation it stopped in, and the
/// last recovery point anybody noted.
fn live(fs: &FaultyFs, life: &[Op]) -> (Model, Option<Op>, Offset) {
    let mut model = Model::default();
    let mut noted = Offset::ZERO;
    let Ok(mut log) = producer_life::open(fs, Offset::ZERO) else {
        return (model, None, noted);
    };
    for op in life {
        if producer_life::apply(&mut log, op, &model).is_err() || log.is_failed() {
            return (model, Some(op.clone()), noted);
        }
        model = model.after(op);
        if matches!(op, Op::Sync) {
            noted = log.recovery_point_to_note();
        }
    }
    (model, None, noted)
}

fn check_after_crash(fs: &FaultyFs, lived: &(Model, Option<Op>, Offset)) -> Result<(), String> {
    let (before, stopped_in, noted) = lived;
    let log = producer_life::open(fs, *noted).map_err(|error| format!("cannot open: {error}"))?;
    let model = match stopped_in {
        // It may have got anywhere.
        Some(Op::Reset) => return Ok(()),
        Some(op) if before.added(op).is_some() => before.after(op),
        Some(_) | None => before.clone(),
    };
    model.cut_at(log.log_end_offset().0).check(&log)
}

/// The first violation, with how to repeat it, or the number of crashes.
pub(crate) fn crash_everywhere() -> Result<u64, String> {
    let mut runner = TestRunner::deterministic();
    let life = proptest::collection::vec(op(), 25..45);
    let mut n_crashes = 0;
    for n_life in 0..8_u64 {
        let life = life.new_tree(&mut runner).unwrap().current();
        let fs = disk();
        live(&fs, &life);
        for stop in 0..fs.n_changes() {
            let seed = stop * 31 + n_life;
            for loss in [
                CrashLoss::EverythingUnsynced,
                CrashLoss::Nothing,
                CrashLoss::ByChance { seed },
            ] {
                let fs = disk();
                fs.stop_after(stop);
                let lived = live(&fs, &life);
                fs.crash(loss);
                let in_op = &lived.1;
                let repeat = format!("life {n_life}, stop after {stop}, {loss:?}, in {in_op:?}");
                check_after_crash(&fs, &lived).map_err(|fault| format!("{repeat}: {fault}"))?;
                // Once found, it stays so.
                fs.crash(CrashLoss::EverythingUnsynced);
                check_after_crash(&fs, &lived)
                    .map_err(|fault| format!("{repeat}, again: {fault}"))?;
                n_crashes += 1;
            }
        }
    }
    Ok(n_crashes)
}

#[test]
fn whenever_the_power_fails_producers_are_known_as_the_whole_log_says() {
    let n_crashes = crash_everywhere().unwrap();
    assert!(
        n_crashes > 2_000,
        "{n_crashes} crashes are too few to mean anything"
    );
}

/// Crashes at the end of a life, in many ways.
fn crash_by_chance(life: &[Op]) {
    for seed in 0..300 {
        let fs = disk();
        let lived = live(&fs, life);
        fs.crash(CrashLoss::ByChance { seed });
        check_after_crash(&fs, &lived).unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
    }
}

fn written_by(id: i64) -> Op {
    let (n, is_transactional) = (1, false);
    Op::Append {
        id,
        n,
        is_transactional,
    }
}

#[test]
fn a_snapshot_of_what_was_truncated_does_not_come_back() {
    let mut life = vec![written_by(0); 4];
    life.extend([Op::Close, Op::Sync, Op::Truncate { percent: 30 }]);
    life.extend(vec![written_by(1); 3]);
    crash_by_chance(&life);
}

#[test]
fn an_aborted_transaction_below_a_snapshot_is_never_lost() {
    let (id, n, is_transactional) = (0, 1, true);
    let aborted = [
        Op::Append {
            id,
            n,
            is_transactional,
        },
        Op::End {
            id,
            is_aborted: true,
        },
    ];
    let mut life = Vec::new();
    for _ in 0..3 {
        life.extend(aborted.clone());
        life.extend(aborted.clone());
        life.extend([Op::Close, Op::Sync]);
    }
    crash_by_chance(&life);
}
