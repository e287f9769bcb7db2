//! `drave verify`: writes numbered records, breaks things meanwhile, reads back, and tells what was lost,
//! duplicated, reordered, read and taken back, and for how long nobody could write.
//!
//! - [`workload`] the clients: [`writer`], [`reader`], [`watcher`]; [`payload`] what they write
//! - [`cluster`] the nodes that are tried, where it starts them: [`node`], [`wires`], [`disk`]
//! - [`faults`] what goes wrong and when · [`nemesis`] does it
//! - [`history`] all that is seen, in one order; `oracle` judges it · [`windows`] time without acks
//! - [`loss`] what may go with the power where acks do not wait for disks
//! - [`replicas`] compares disks · [`view`] while it runs · [`report`] at the end
//! - [`failover`] how long a failover takes · [`calm`] that none happens without a cause
//! - [`partitions`] what many partitions cost: [`writes`] to all of them, [`usage`] of the nodes
//!
//! Promise: 0 only when nothing was found; 1 when something was; what was started is ended.

mod calm;
mod cluster;
mod disk;
mod failover;
mod faults;
mod history;
mod home;
mod last_reading;
mod loss;
mod nemesis;
mod node;
mod partitions;
mod payload;
mod ports;
mod prober;
mod reader;
mod replicas;
mod report;
mod run;
mod usage;
mod view;
mod watcher;
mod whose;
mod windows;
mod wires;
mod workload;
mod writer;
mod writes;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Exit;
use crate::cli::duration::duration;
use crate::cli::output::Format;
use crate::cli::verify::faults::Kind;

const EXAMPLES: &str = "\
Examples:
  drave verify --nodes 3 --duration 2m            a cluster of its own, every fault there is
  drave verify --nodes 3 --faults kill,pause --seed 7
  drave verify --bootstrap kafka:9092             any cluster, no faults: break it yourself meanwhile
  drave verify --nodes 3 --power-cuts 50          needs root: disks that lose what was not synced
  drave verify --power-cuts 50 --set log.flush.mode=async    counts what goes, and how old it was
  drave verify failover --trials 200

Exit codes: 0 nothing was found, 1 something was.";

/// Prove that nothing that was acked is ever lost.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(super) struct Verify {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    trial: Trial,
}

#[derive(Debug, Subcommand)]
enum Command {
    Failover(failover::Failover),
    Calm(calm::Calm),
    Partitions(partitions::Partitions),
}

#[derive(Args, Clone, Debug)]
struct Trial {
    /// Brokers of a cluster that runs, with commas. It is written to a topic of its own.
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap: Option<String>,
    /// Start a cluster of this many nodes and try that one.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 3,
        conflicts_with = "bootstrap"
    )]
    nodes: i32,
    /// For how long faults strike (or, with --bootstrap, records are written): 90s, 10m, 8h.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = duration)]
    duration: Duration,
    /// Which faults; all by default. `none` for none.
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    faults: Option<Vec<String>>,
    /// Repeats a run's faults; drawn when not given.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Instead of drawn faults: cut the power of all nodes this many times. Needs root.
    #[arg(long, value_name = "N", conflicts_with_all = ["faults", "bootstrap"])]
    power_cuts: Option<usize>,
    /// Records a second, all producers together.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    rate: u32,
    /// Records in a batch.
    #[arg(long, value_name = "N", default_value_t = 5)]
    batch: u32,
    #[arg(long, value_name = "BYTES", default_value_t = 200)]
    record_bytes: usize,
    #[arg(long, value_name = "N", default_value_t = 6)]
    partitions: i32,
    /// Replicas of the topic; 3, or as many as there are nodes.
    #[arg(long, value_name = "N")]
    replicas: Option<i16>,
    /// How long the cluster may take to be whole again when all faults are gone.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    heal: Duration,
    /// A setting of every node that is started; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Write the report here too, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keep the history and the nodes' files even when nothing was found.
    #[arg(long)]
    keep: bool,
}

impl Verify {
    pub(super) fn run(self, format: Format) -> anyhow::Result<Exit> {
        in_runtime(async {
            match self.command {
                Some(Command::Failover(command)) => command.run(format).await,
                Some(Command::Calm(command)) => command.run(format).await,
                Some(Command::Partitions(command)) => command.run(format).await,
                None => run::run(&self.trial, format).await,
            }
        })
    }
}

/// Runs on this thread, which outlives every process started from it; ends early when asked to.
fn in_runtime(work: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    let built = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = built.context("cannot start the runtime")?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        tokio::select! {
            ended = work => ended,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
            _ = terminate.recv() => anyhow::bail!("asked to stop"),
        }
    })
}

impl Trial {
    /// The kinds asked for.
    fn kinds(&self) -> anyhow::Result<Vec<Kind>> {
        let Some(names) = &self.faults else {
            return Ok(Kind::ALL.to_vec());
        };
        let is_one = |name: &&String| name.as_str() != "none";
        let kind = |name: &String| {
            let mut all = Kind::ALL.iter();
            let found = all.find(|it| it.name() == name).copied();
            found.with_context(|| {
                let known: Vec<&str> = Kind::ALL.iter().map(|it| it.name()).collect();
                format!("no fault is called {name}; there are {}", known.join(", "))
            })
        };
        names.iter().filter(is_one).map(kind).collect()
    }
}

/// What `--set` gave.
fn pairs(set: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let pair = |text: &String| {
        let (name, value) = text
            .split_once('=')
            .with_context(|| format!("--set {text}: expected NAME=VALUE"))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    set.iter().map(pair).collect()
}
