//! The power fails at every single write, sync, rename and removal of a scripted life, and what was
//! answered must be there.

use std::sync::mpsc::{Receiver, channel};

use crate::backend::{EncodedEntry, LogBackend, Recovered, Write};
use crate::disk::faulty::FaultyDisk;
use crate::stored::{LogIdV1, VoteV1};
use crate::wal::Wal;
use crate::wal::wal_test::{entry, open, vote};

/// xorshift: a life is its seed.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, sides: u64) -> u64 {
        self.roll() % sides
    }
}

/// What the log should hold.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    vote: Option<VoteV1>,
    purged: Option<LogIdV1>,
    entries: Vec<(LogIdV1, usize)>,
}

impl Model {
    fn of(recovered: &Recovered) -> Self {
        let entries = recovered.entries.iter().map(|(entry, location)| {
            assert_eq!(location.read().unwrap(), entry.bytes);
            (entry.id, entry.bytes.len())
        });
        Self {
            vote: recovered.vote,
            purged: recovered.purged,
            entries: entries.collect(),
        }
    }

    fn next_index(&self) -> u64 {
        let last = self.entries.last().map(|(id, _)| *id).or(self.purged);
        last.map_or(0, |id| id.index + 1)
    }
}

enum Step {
    Append(Vec<EncodedEntry>),
    Vote(VoteV1),
    Truncate(Option<u64>),
    Purge(LogIdV1),
}

fn next_step(dice: &mut Dice, model: &mut Model, term: &mut u64) -> Step {
    let kept = u64::try_from(model.entries.len()).unwrap();
    match dice.below(10) {
        0 => {
            *term += 1;
            model.vote = Some(vote(*term));
            Step::Vote(vote(*term))
        }
        1 if kept > 2 => {
            let drop_count = usize::try_from(dice.below(3) + 1).unwrap();
            model.entries.truncate(model.entries.len() - drop_count);
            let after = model.entries.last().map(|(id, _)| id.index);
            Step::Truncate(after.or(model.purged.map(|it| it.index)))
        }
        2 if kept > 4 => {
            let place = usize::try_from(dice.below(kept - 1)).unwrap();
            let upto = model.entries[place].0;
            model.entries.drain(..=place);
            model.purged = Some(upto);
            Step::Purge(upto)
        }
        _ => {
            let count = dice.below(4) + 1;
            let entries: Vec<_> = (0..count)
                .map(|it| {
                    let size = usize::try_from(dice.below(900) + 1).unwrap();
                    entry(*term, model.next_index() + it, size)
                })
                .collect();
            let added = entries.iter().map(|it| (it.id, it.bytes.len()));
            model.entries.extend(added);
            Step::Append(entries)
        }
    }
}

/// `Some` for steps that are answered.
fn submit(wal: &Wal, step: Step) -> Option<Receiver<bool>> {
    let (answer, answered) = channel();
    match step {
        Step::Append(entries) => wal.submit(Write::Append {
            entries,
            done: Box::new(move |result| answer.send(result.is_ok()).unwrap_or(())),
        }),
        Step::Vote(vote) => wal.submit(Write::Vote {
            vote,
            done: Box::new(move |result| answer.send(result.is_ok()).unwrap_or(())),
        }),
        Step::Truncate(after) => {
            wal.submit(Write::Truncate { after });
            return None;
        }
        Step::Purge(upto) => {
            wal.submit(Write::Purge { upto });
            return None;
        }
    }
    Some(answered)
}

/// Lives on from what was found. Returns every state the log went through, and how many of them
/// were answered for: after a power cut it must be in that one, or in a later one.
fn live(wal: &Wal, from: Model, dice: &mut Dice, steps: usize) -> (Vec<Model>, usize) {
    let mut states = vec![from.clone()];
    let mut model = from;
    let mut term = model.vote.map_or(1, |vote| vote.term);
    let mut answered = 0;
    let mut waiting = Vec::new();
    for _ in 0..steps {
        let step = next_step(dice, &mut model, &mut term);
        states.push(model.clone());
        let place = states.len() - 1;
        waiting.extend(submit(wal, step).map(|it| (place, it)));
        // Often several wait at once, so that groups form.
        if dice.below(3) > 0 {
            for (place, receiver) in waiting.drain(..) {
                if !receiver.recv().unwrap_or(false) {
                    return (states, answered);
                }
                answered = place;
            }
        }
    }
    for (place, receiver) in waiting {
        if !receiver.recv().unwrap_or(false) {
            return (states, answered);
        }
        answered = place;
    }
    (states, answered)
}

fn check(found: &Model, states: &[Model], answered: usize, story: &str) {
    let possible = &states[answered..];
    assert!(
        possible.contains(found),
        "{story}: found {found:?}\nanswered for {:?}\nlatest {:?}",
        states[answered],
        states.last()
    );
}

#[test]
fn what_was_answered_survives_a_power_cut_at_every_operation() {
    const STEPS: usize = 60;
    let mut cuts = 0;
    for seed in 1..=4_u64 {
        let disk = FaultyDisk::default();
        let (wal, _) = open(&disk).unwrap();
        live(&wal, Model::default(), &mut Dice(seed), STEPS);
        drop(wal);
        let operations = disk.operations();
        for cut in 1..=operations {
            let story = format!("seed {seed}, power cut at operation {cut}");
            let mut dice = Dice(seed);
            let mut fate = Dice(seed * 1000 + cut);
            let disk = FaultyDisk::default();
            disk.cut_at(cut);
            let (states, answered) = match open(&disk) {
                Ok((wal, _)) => live(&wal, Model::default(), &mut dice, STEPS),
                Err(_) => (vec![Model::default()], 0),
            };
            let disk = disk.after_power_cut(&mut || fate.roll());
            let (wal, recovered) = open(&disk).unwrap_or_else(|error| panic!("{story}: {error}"));
            let found = Model::of(&recovered);
            check(&found, &states, answered, &story);
            // And again, from what was recovered: a second cut a few operations on.
            disk.cut_at(disk.operations() + 1 + fate.below(12));
            let (states, answered) = live(&wal, found, &mut dice, 15);
            drop(wal);
            let disk = disk.after_power_cut(&mut || fate.roll());
            let (_, recovered) = open(&disk).unwrap_or_else(|error| panic!("{story}: {error}"));
            check(&Model::of(&recovered), &states, answered, &story);
            cuts += 2;
        }
    }
    assert!(cuts > 500, "only {cuts} power cuts");
}

#[test]
fn a_power_cut_during_recovery_loses_nothing() {
    let mut fate = Dice(11);
    for cut in 1..=60 {
        let disk = FaultyDisk::default();
        let (wal, _) = open(&disk).unwrap();
        disk.cut_at(disk.operations() + cut);
        let (states, answered) = live(&wal, Model::default(), &mut Dice(cut), 40);
        drop(wal);
        let mut disk = disk.after_power_cut(&mut || fate.roll());
        for again in 1..=4 {
            disk.cut_at(disk.operations() + again);
            drop(open(&disk));
            disk = disk.after_power_cut(&mut || fate.roll());
        }
        let (_, recovered) = open(&disk).unwrap();
        let story = format!("cut {cut}");
        check(&Model::of(&recovered), &states, answered, &story);
    }
}
