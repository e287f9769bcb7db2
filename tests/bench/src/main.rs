//! `make bench`: drave and Apache Kafka side by side on one machine, never at once, in turns.
//!
//! - [`system`] the brokers: drave and Kafka, started alike · [`process`] what the kernel knows of them
//! - [`load`] the loads, and what is aimed at · [`generator`] who makes them: `drave perf`, Kafka's own tools
//! - [`kcat`] librdkafka's · [`partitions`] ten thousand of them
//! - [`round`] one system under all loads · [`rest`] what lies between two · [`sample`] what a load measured · [`compare`] medians and ratios
//! - [`limit`] what the machine can do · [`report`] the files · [`plot`] pictures
//! - [`curve`] how cost grows, for itself: `CURVES=1`, or the axes' names
//!
//! From the environment: `QUICK=1` one short round, `ROUNDS=n`, `LOAD_SECONDS=n` each, `ONLY=name,name`, `BENCH_DIR` where data lies,
//! `DRAVE` and `JAVA_CLASSPATH` where the programs are.
#![allow(clippy::print_stdout, reason = "a program for people")]
#![allow(
    clippy::disallowed_methods,
    reason = "it stands beside the brokers it measures, and has none of their doors"
)]

mod compare;
mod curve;
mod generator;
mod kcat;
mod limit;
mod load;
mod partitions;
mod plot;
mod process;
mod report;
mod rest;
mod round;
mod sample;
mod system;

use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::load::{Generator, Load};
use crate::rest::Rest;
use crate::sample::Samples;
use crate::system::System;

/// Ten thousand connections or logs, and what a process needs besides.
const OPEN_FILES: u64 = 20_000;

/// Writing and reading in small and in large pieces; for the short run and the long one.
const WARM_UP: [&str; 2] = [
    "mixed --acks 1 --connections 2 --warm-up 0s --duration 6s",
    "mixed --acks 1 --connections 2 --warm-up 0s --duration 25s",
];

/// How much is done.
#[derive(Debug)]
struct Plan {
    is_quick: bool,
    n_rounds: u32,
    /// Seconds a load is counted.
    seconds: u32,
    /// What a cluster is given to do first: Kafka's code is compiled while it runs.
    warm_up: &'static str,
    /// Bytes a second, where a load needs it.
    kafka_peak: f64,
    loads: Vec<&'static Load>,
    rest: Rest,
    dir: PathBuf,
    out: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let mut plan = plan()?;
    system::check_programs()?;
    process::allow_open_files(OPEN_FILES)?;
    if let Some(names) = variable("CURVES") {
        return curve::run(&plan, &names);
    }
    let limits = limit::measure(&plan.dir)?;
    for limit in &limits {
        println!("limit: {limit}");
    }
    if plan
        .loads
        .iter()
        .any(|it| matches!(it.generator, Generator::EndToEnd(_)))
    {
        plan.kafka_peak = round::kafka_peak(&plan)?;
        println!("Kafka's peak: {:.0} MB/s", plan.kafka_peak / 1e6);
    }
    let mut samples = Samples::default();
    let mut page = String::new();
    let mut kept_files = Vec::new();
    for i_round in 0..plan.n_rounds {
        let mut systems = System::ALL;
        // Who comes second finds the page cache fuller and the machine warmer: each is it in turn.
        if i_round % 2 == 1 {
            systems.reverse();
        }
        for n_nodes in [1, 3] {
            for system in systems {
                println!(
                    "round {} of {}: {} with {n_nodes} node(s)",
                    i_round + 1,
                    plan.n_rounds,
                    system.name()
                );
                kept_files.extend(round::run(&plan, system, n_nodes, &mut samples)?);
            }
        }
        // A run that is cut short leaves what it has.
        page = report::write(&plan, &limits, &samples)?;
    }
    println!("\n{page}\nin {}", plan.out.display());
    Ok(())
}

fn plan() -> anyhow::Result<Plan> {
    let is_quick = variable("QUICK").is_some_and(|it| it != "0");
    let only = variable("ONLY");
    let wanted = |load: &&'static Load| match &only {
        Some(names) => is_named(load.name, names),
        None => !is_quick || load.is_quick,
    };
    let loads: Vec<_> = load::LOADS.iter().filter(wanted).collect();
    if loads.is_empty() {
        let known: Vec<_> = load::LOADS.iter().map(|it| it.name).collect();
        bail!("ONLY names no load; there are {}", known.join(", "));
    }
    let n_rounds = number("ROUNDS", if is_quick { 1 } else { 5 })?;
    let seconds = number("LOAD_SECONDS", if is_quick { 3 } else { 8 })?;
    let dir = variable("BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    Ok(Plan {
        is_quick,
        n_rounds,
        seconds,
        warm_up: if is_quick { WARM_UP[0] } else { WARM_UP[1] },
        kafka_peak: 0.0,
        loads,
        rest: Rest::new(&dir, !is_quick)?,
        dir,
        out: PathBuf::from("target/bench"),
    })
}

/// Whether one of the names, by commas between them, is how this one starts.
fn is_named(name: &str, names: &str) -> bool {
    names.split(',').any(|it| name.starts_with(it.trim()))
}

fn number(name: &str, default: u32) -> anyhow::Result<u32> {
    let set = variable(name).map(|n| n.parse().with_context(|| format!("{name}={n}")));
    set.unwrap_or(Ok(default))
}

/// What is set, and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|it| !it.is_empty())
}
