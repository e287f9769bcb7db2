//! The simulation as a test: seeds that failed once, the same seed twice, and some more.

use drave_log::planted::Fault;
use drave_sim::run::{self, Limits};

fn limits(first_seed: u64, n_seeds: u64) -> Limits {
    Limits {
        first_seed,
        n_seeds,
        n_threads: 2,
        n_failures: 1,
        planted: None,
    }
}

#[test]
fn seeds_that_failed_once_hold() {
    for line in include_str!("../seeds.txt").lines() {
        let Some(seed) = line.split(' ').next().and_then(|it| it.parse().ok()) else {
            continue;
        };
        let outcome = run::run(seed);
        if let Some(violation) = outcome.violation {
            panic!("seed {seed}: {violation}\nmake sim SEED={seed}");
        }
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..20 {
        let (one, other) = (run::run(seed), run::run(seed));
        assert_eq!(one.trace_hash, other.trace_hash, "seed {seed}");
        assert!(one.tally.steps > 100, "seed {seed}: {:?}", one.tally);
    }
    assert_ne!(run::run(1).trace_hash, run::run(2).trace_hash);
}

#[test]
fn a_thousand_schedules_violate_nothing() {
    let total = run::run_many(limits(5_000_000, 1_000), &|| true);
    if let Some((seed, violation)) = total.failures.first() {
        panic!("seed {seed}: {violation}\nmake sim SEED={seed}");
    }
    assert_eq!(total.n_schedules, 1_000);
    assert!(total.tally.acked_records > 10_000, "{:?}", total.tally);
}

/// Each is found within so many schedules from the first seed on; see `docs/simulation.md` for the others.
const FOUND_WITHIN: u64 = 400;

#[test]
fn planted_faults_are_found() {
    let faults = [
        Fault::NoFileSync,
        Fault::NoFolderSync,
        Fault::TornTailKept,
        Fault::AckBeforeReplication,
        Fault::TruncateToHighWatermark,
        Fault::WindowOfFour,
        Fault::HighWatermarkOffByOne,
        Fault::UnsyncedCounts,
        Fault::ClaimsUnsynced,
        Fault::JoinsBeforeEpochStart,
        Fault::NoMaximalIsr,
        Fault::MinIsrIgnored,
        Fault::ReadsPastHighWatermark,
        Fault::LeaseIgnored,
        Fault::LeadsByOldImage,
        Fault::SilentUncleanElection,
        Fault::CrashTakenForStop,
        Fault::UnnotedStartClaimed,
    ];
    for fault in faults {
        let planted = Limits {
            planted: Some(fault),
            ..limits(1, FOUND_WITHIN)
        };
        let total = run::run_many(planted, &|| true);
        assert!(
            !total.failures.is_empty(),
            "{} is not found in {FOUND_WITHIN} schedules",
            fault.name()
        );
    }
}
