//! Running seeds: one with its trace, or many on all cores.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use drave_log::planted::{Fault, plant};

use crate::oracle::Violation;
use crate::swarm::Swarm;
use crate::world::{Tally, World};

/// What became of one seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub seed: u64,
    pub trace_hash: u64,
    pub violation: Option<Violation>,
    pub tally: Tally,
    /// The trace, if it was asked for.
    pub lines: Vec<String>,
}

pub fn run(seed: u64) -> Outcome {
    run_swarm(Swarm::of(seed), false)
}

pub fn run_traced(seed: u64) -> Outcome {
    run_swarm(Swarm::of(seed), true)
}

fn run_swarm(swarm: Swarm, is_traced: bool) -> Outcome {
    let seed = swarm.seed;
    let mut world = World::new(swarm, is_traced);
    // A lock a panic left behind is not poisoned, and nobody goes on with this world.
    let ran = panic::catch_unwind(AssertUnwindSafe(|| world.run()));
    if let Err(payload) = ran {
        let text = payload.downcast_ref::<String>().cloned();
        let text = text.or_else(|| payload.downcast_ref::<&str>().map(|it| (*it).to_owned()));
        world.panicked(text.unwrap_or_else(|| "a panic without a message".to_owned()));
    }
    Outcome {
        seed,
        trace_hash: world.trace_hash(),
        violation: world.oracle.violation().cloned(),
        tally: world.tally,
        lines: world.lines().to_vec(),
    }
}

/// Many seeds together.
#[derive(Clone, Debug, Default)]
pub struct Total {
    pub n_schedules: u64,
    pub tally: Tally,
    pub failures: Vec<(u64, Violation)>,
}

/// How long to go on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub first_seed: u64,
    pub n_seeds: u64,
    pub n_threads: usize,
    /// After so many failures the rest is left.
    pub n_failures: usize,
    pub planted: Option<Fault>,
}

/// Seeds from `first_seed` on, while `goes_on` says so.
pub fn run_many(limits: Limits, goes_on: &(dyn Fn() -> bool + Sync)) -> Total {
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let total = Mutex::new(Total::default());
    thread::scope(|scope| {
        for _ in 0..limits.n_threads {
            scope.spawn(|| work(limits, goes_on, &next, &stop, &total));
        }
    });
    let mut total = total.into_inner().expect("no worker panics");
    total.failures.sort_by_key(|it| it.0);
    total
}

fn work(
    limits: Limits,
    goes_on: &(dyn Fn() -> bool + Sync),
    next: &AtomicU64,
    stop: &AtomicBool,
    total: &Mutex<Total>,
) {
    // Faults are planted by thread.
    let _planted = limits.planted.map(plant);
    while !stop.load(Ordering::Relaxed) && goes_on() {
        let n = next.fetch_add(1, Ordering::Relaxed);
        if n >= limits.n_seeds {
            return;
        }
        let outcome = run(limits.first_seed.wrapping_add(n));
        let mut total = total.lock().expect("no worker panics");
        total.n_schedules += 1;
        let (sum, one) = (&mut total.tally, outcome.tally);
        sum.steps += one.steps;
        sum.virtual_us += one.virtual_us;
        sum.acked_records += one.acked_records;
        sum.faults += one.faults;
        sum.elections += one.elections;
        if let Some(violation) = outcome.violation {
            total.failures.push((outcome.seed, violation));
            if total.failures.len() >= limits.n_failures {
                stop.store(true, Ordering::Relaxed);
            }
        }
    }
}
