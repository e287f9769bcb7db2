//! `make sim`: runs seeds, prints what was done, and of a seed that fails how to run it again.
#![allow(clippy::print_stdout, reason = "a command for people")]

use std::env;
use std::panic;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use drave::clock::Clock;
use drave::random::Random;
use drave_log::planted::{Fault, plant};
use drave_sim::run::{self, Limits, Total};
use drave_sim::swarm::Swarm;

fn main() -> ExitCode {
    // An assertion that fails is a finding; it is reported with its seed.
    panic::set_hook(Box::new(|_| {}));
    if let Some(seed) = number("SEED") {
        return replay(seed);
    }
    if let Ok(name) = env::var("PLANTED") {
        return hunt(&name);
    }
    let n_seeds = number("SEEDS").unwrap_or(20_000);
    let first_seed = number("FIRST").unwrap_or_else(|| Random::system().u64() >> 16);
    println!("{n_seeds} schedules from seed {first_seed} on (FIRST={first_seed} repeats them)");
    let limits = Limits {
        first_seed,
        n_seeds,
        n_threads: n_threads(),
        n_failures: 10,
        planted: None,
    };
    let clock = Clock::system();
    let began = clock.now();
    let total = run::run_many(limits, &|| true);
    report(&total, clock.now().saturating_duration_since(began));
    for (seed, violation) in &total.failures {
        println!("seed {seed}: {violation}\n    make sim SEED={seed}");
    }
    if total.failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn replay(seed: u64) -> ExitCode {
    let planted = env::var("PLANTED").ok();
    let planted = planted.and_then(|it| Fault::by_name(&it)).map(plant);
    let outcome = run::run_traced(seed);
    drop(planted);
    for line in &outcome.lines {
        println!("{line}");
    }
    println!("{:#?}\n{:?}", Swarm::of(seed), outcome.tally);
    if let Some(violation) = outcome.violation {
        println!("seed {seed}: {violation}");
        ExitCode::FAILURE
    } else {
        println!("seed {seed}: nothing violated");
        ExitCode::SUCCESS
    }
}

/// Plants each named fault (`all`: each there is), and looks how soon it is found.
fn hunt(name: &str) -> ExitCode {
    let budget = Duration::from_secs(number("BUDGET").unwrap_or(60));
    let first_seed = number("FIRST").unwrap_or_else(|| Random::system().u64() >> 16);
    println!("| planted fault | found after | schedules | seed | by |\n|---|---|---|---|---|");
    let wanted = Fault::ALL
        .iter()
        .filter(|it| name == "all" || name.split(',').any(|name| name == it.name()));
    let mut all_found = true;
    for fault in wanted {
        let clock = Clock::system();
        let began = clock.now();
        let elapsed = || clock.now().saturating_duration_since(began);
        let limits = Limits {
            first_seed,
            n_seeds: u64::MAX,
            n_threads: n_threads(),
            n_failures: 1,
            planted: Some(*fault),
        };
        let total = run::run_many(limits, &|| elapsed() < budget);
        let (seconds, n) = (elapsed().as_secs_f64(), total.n_schedules);
        let name = fault.name();
        if let Some((seed, violation)) = total.failures.first() {
            let by = violation.invariant;
            println!("| {name} | {seconds:.2} s | {n} | {seed} | {by} |");
        } else {
            all_found = false;
            println!("| {name} | not within {seconds:.0} s | {n} | | |");
        }
    }
    if all_found {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn report(total: &Total, took: Duration) {
    let (n, seconds) = (total.n_schedules, took.as_secs_f64());
    let tally = total.tally;
    let per_second = |count: u64| ratio(count, seconds);
    println!(
        "{n} schedules in {seconds:.1} s: {:.0} schedules/s, {:.0} steps/s, {:.1} virtual hours, \
         {} records acked, {} faults, {} elections, {} failures",
        per_second(n),
        per_second(tally.steps),
        ratio(tally.virtual_us, 3.6e9),
        tally.acked_records,
        tally.faults,
        tally.elections,
        total.failures.len()
    );
}

#[allow(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a figure for people"
)]
fn ratio(count: u64, by: f64) -> f64 {
    count as f64 / by
}

fn n_threads() -> usize {
    let there_are = thread::available_parallelism().map_or(1, Into::into);
    number("THREADS")
        .and_then(|it| usize::try_from(it).ok())
        .unwrap_or(there_are)
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok().filter(|it| !it.is_empty())?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}
