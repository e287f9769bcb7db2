//! Random producers against a plain model: the list of all that was appended, searched anew for
//! every question; with truncations, restarts from a snapshot, and replays.

use drave_protocol::ids::ProducerId;
use proptest::prelude::*;

use super::batch::{Contents, ProducerBatch};
use super::error::Refused;
use super::rules::records;
use super::sequence::Sequence;
use super::{Origin, Original, ProducerStates, Verdict, WINDOW};

#[derive(Clone, Debug)]
enum Step {
    /// The next batch of a producer, or one that is off by a little.
    Send {
        id: i64,
        epoch_off: i16,
        off: i32,
        n: i32,
    },
    /// One of the last batches again.
    Resend {
        back: usize,
    },
    /// Cut to this percentage, rebuilt from the last snapshot below.
    Truncate {
        percent: usize,
    },
    Snapshot,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3_i64, 1..4_i32).prop_map(|(id, n)| Step::Send { id, epoch_off: 0, off: 0, n }),
        2 => (0..3_i64, -1..=1_i16, -6..6_i32, 1..4_i32)
            .prop_map(|(id, epoch_off, off, n)| Step::Send { id, epoch_off, off, n }),
        4 => (0..20_usize).prop_map(|back| Step::Resend { back }),
        1 => (30..100_usize).prop_map(|percent| Step::Truncate { percent }),
        1 => Just(Step::Snapshot),
    ]
}

fn sequences(batch: &ProducerBatch) -> (Sequence, Sequence) {
    match batch.contents {
        Contents::Records { first, last, .. } => (first, last),
        Contents::End(_) => unreachable!("the model sends records only"),
    }
}

/// What must be said of `batch` after `history`.
fn verdict(history: &[ProducerBatch], batch: &ProducerBatch) -> Result<Verdict, Refused> {
    let of_id: Vec<&ProducerBatch> = history
        .iter()
        .filter(|it| it.producer_id == batch.producer_id)
        .collect();
    let Some(current) = of_id.last().map(|it| it.epoch) else {
        return Ok(Verdict::Append);
    };
    let start = of_id.iter().rposition(|it| it.epoch != current);
    let under_epoch = &of_id[start.map_or(0, |it| it + 1)..];
    let (first, last) = sequences(batch);
    let remembered = &under_epoch[under_epoch.len().saturating_sub(WINDOW)..];
    let same = |it: &&&ProducerBatch| sequences(it) == (first, last) && it.epoch == batch.epoch;
    if let Some(original) = remembered.iter().find(same) {
        return Ok(Verdict::Duplicate(Original {
            base_offset: original.base_offset,
            last_offset: original.last_offset,
            timestamp: original.max_timestamp,
        }));
    }
    if batch.epoch < current {
        return Err(Refused::OldEpoch { current });
    }
    if batch.epoch > current {
        let got = first;
        let starts = first == Sequence(0);
        return if starts {
            Ok(Verdict::Append)
        } else {
            Err(Refused::NewEpochInTheMiddle { got })
        };
    }
    let known = sequences(under_epoch[under_epoch.len() - 1]).1;
    let next = if known.0 == i32::MAX { 0 } else { known.0 + 1 };
    if first.0 == next {
        return Ok(Verdict::Append);
    }
    let (last, got) = (known, first);
    Err(Refused::OutOfOrder { last, got })
}

/// An old duplicate may be refused by either name: a restart forgets how a producer began.
fn same(found: Result<Verdict, Refused>, expected: Result<Verdict, Refused>) -> bool {
    let is_old = matches!(found, Err(Refused::OldDuplicate { .. }));
    found == expected || is_old && matches!(expected, Err(Refused::OutOfOrder { .. }))
}

#[derive(Default)]
struct World {
    history: Vec<ProducerBatch>,
    end: i64,
    states: ProducerStates,
    /// How many batches it sums up, and its bytes.
    snapshots: Vec<(usize, Vec<u8>)>,
}

impl World {
    fn send(&mut self, batch: ProducerBatch) -> Result<(), TestCaseError> {
        let found = self.states.check(&batch, Origin::Client);
        let found = found.map_err(|error| error.refused);
        let expected = verdict(&self.history, &batch);
        prop_assert!(
            same(found, expected),
            "{batch:?}: {found:?}, not {expected:?}"
        );
        if let Err(Refused::OldDuplicate { first, last }) = found {
            let was_sent = |n: i32| {
                self.history.iter().any(|it| {
                    let (from, to) = sequences(it);
                    (it.producer_id, it.epoch) == (batch.producer_id, batch.epoch)
                        && from.0 <= n
                        && n <= to.0
                })
            };
            prop_assert!(
                (first.0..=last.0).all(was_sent),
                "{first} to {last} were never sent"
            );
        }
        if found == Ok(Verdict::Append) {
            self.states.apply(&batch, 0);
            self.end = batch.last_offset.0 + 1;
            self.history.push(batch);
        }
        Ok(())
    }

    fn truncate(&mut self, n_kept: usize) {
        self.history.truncate(n_kept);
        self.end = self.history.last().map_or(0, |it| it.last_offset.0 + 1);
        self.snapshots.retain(|(n, _)| *n <= n_kept);
        let nothing = (0, ProducerStates::default().to_snapshot());
        let (n, bytes) = self.snapshots.last().unwrap_or(&nothing);
        self.states = ProducerStates::from_snapshot(bytes, WINDOW).unwrap();
        for batch in &self.history[*n..] {
            self.states.apply(batch, 0);
        }
    }

    fn next(&self, id: i64, n: i32, (epoch_off, off): (i16, i32)) -> ProducerBatch {
        let own = self.history.iter().rev().find(|it| it.producer_id.0 == id);
        // The first producer begins close to the wrap.
        let begin = if id == 0 { i32::MAX - 20 } else { 0 };
        let (epoch, next) = own.map_or((0, Sequence(begin)), |it| {
            (it.epoch, sequences(it).1.plus(1))
        });
        let first = if epoch_off > 0 && off < 3 {
            0
        } else {
            next.plus(off.max(0)).minus((-off).max(0)).0
        };
        let last = Sequence(first).plus(n - 1).0;
        let batch = records((epoch + epoch_off).max(0), (first, last), self.end);
        ProducerBatch {
            producer_id: ProducerId(id),
            ..batch
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn producers_are_judged_as_their_whole_history_says(steps in proptest::collection::vec(step(), 1..80)) {
        let mut world = World::default();
        for step in steps {
            match step {
                Step::Send { id, epoch_off, off, n } => {
                    world.send(world.next(id, n, (epoch_off, off)))?;
                }
                Step::Resend { back } => {
                    if let Some(batch) = world.history.iter().rev().nth(back).copied() {
                        world.send(batch)?;
                    }
                }
                Step::Truncate { percent } => world.truncate(world.history.len() * percent / 100),
                Step::Snapshot => {
                    let bytes = world.states.to_snapshot();
                    let again = ProducerStates::from_snapshot(&bytes, WINDOW).unwrap();
                    prop_assert_eq!(again.to_snapshot(), bytes.clone());
                    world.snapshots.push((world.history.len(), bytes));
                }
            }
        }
        let mut rebuilt = ProducerStates::default();
        for batch in &world.history {
            rebuilt.apply(batch, 0);
        }
        prop_assert_eq!(rebuilt.to_snapshot(), world.states.to_snapshot());
    }
}
