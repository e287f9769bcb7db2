//! `drave perf`: loads for any cluster that speaks Kafka's protocol, and what they measured.
//!
//! - [`load`] what is asked for · [`stage`] the topic, its leaders, and who writes and reads where
//! - [`produce`] and [`consume`] the clients · [`payload`] what they write
//! - [`pace`] when a batch is due, [`alarm`] waits for it · [`meter`] counts and latencies · [`report`] what is told
//!
//! Promise: with `--rate` the latency of a record counts from when it was due, not from when a client that
//! was held up came to send it: no coordinated omission.

mod alarm;
mod consume;
mod load;
mod meter;
mod pace;
mod payload;
mod produce;
mod report;
mod stage;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, Subcommand};

use crate::cli::Exit;
use crate::cli::output::{self, Format};
use crate::cli::perf::load::Load;
use crate::cli::perf::meter::Meter;
use crate::cli::perf::report::Report;
use crate::cli::perf::stage::Stage;
use crate::clock::Clock;
use crate::tasks::Tasks;

const EXAMPLES: &str = "\
Examples:
  drave perf produce --duration 30s                          flat out, 1 KiB records, acks=all
  drave perf produce --acks 1 --batch-bytes 1048576 --in-flight 5
  drave perf produce --rate 50000 --linger 5ms               latency at a rate, from when records were due
  drave perf consume --topic orders                          all there is, from the start
  drave perf end-to-end --rate 20000 --linger 1ms            from due to read
  drave perf mixed --connections 8 --partitions 12

Without --topic a topic is made for the run and deleted after it.
Exit codes: 0 measured, 1 not, or some requests failed.";

/// How long what is under way may take at the end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Measure a cluster: throughput, and latency without coordinated omission.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Perf {
    #[command(subcommand)]
    kind: Kind,
    #[command(flatten)]
    load: Load,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
enum Kind {
    /// Write; latency is from due (flat out: from sent) to acked.
    Produce,
    /// Read what is there, from the start; latency is that of a fetch.
    Consume,
    /// Write at a rate and read along; latency is from due to read, record by record.
    EndToEnd,
    /// Write and read along, both as fast as they can or at a rate.
    Mixed,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Consume => "consume",
            Self::EndToEnd => "end-to-end",
            Self::Mixed => "mixed",
        }
    }

    fn writes(self) -> bool {
        self != Self::Consume
    }

    fn reads(self) -> bool {
        self != Self::Produce
    }
}

impl Perf {
    pub(super) fn run(self, format: Format) -> anyhow::Result<Exit> {
        self.load.check(self.kind)?;
        let built = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.load.threads)
            .enable_all()
            .build();
        let runtime = built.context("cannot start the runtime")?;
        let report = runtime.block_on(measure(self.kind, &self.load))?;
        match format {
            Format::Table => output::say(&report.table()),
            Format::Json => output::say_json(&report.json()),
        }
        if let Some(path) = &self.load.json {
            write(path, &format!("{:#}\n", report.json()))?;
        }
        Ok(if report.n_failed() == 0 {
            Exit::Done
        } else {
            Exit::Failed
        })
    }
}

#[allow(clippy::disallowed_methods, reason = "the report, written once")]
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// What all clients of a run share.
#[derive(Clone, Debug)]
struct Run {
    load: Arc<Load>,
    clock: Clock,
    /// Records are due, and counted, from here on; what comes before warms up.
    counted_from: Instant,
    ends_at: Instant,
    /// Where the times in records count from.
    started: Instant,
    written: Arc<Meter>,
    read: Arc<Meter>,
}

impl Run {
    fn is_over(&self, now: Instant) -> bool {
        now >= self.ends_at
    }
}

async fn measure(kind: Kind, load: &Load) -> anyhow::Result<Report> {
    let clock = Clock::system();
    let stage = Stage::set(load, kind, &clock).await?;
    let measured = tokio::select! {
        measured = on_stage(kind, load, &stage, &clock) => measured,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    // The topic made for the run goes in any case.
    let cleared = stage.clear().await;
    let report = measured?;
    cleared?;
    Ok(report)
}

async fn on_stage(kind: Kind, load: &Load, stage: &Stage, clock: &Clock) -> anyhow::Result<Report> {
    let started = clock.now();
    // One who reads what is there needs no warming up: it reads it once.
    let warm_up = if kind.writes() {
        load.warm_up
    } else {
        Duration::ZERO
    };
    let run = Run {
        load: Arc::new(load.clone()),
        clock: clock.clone(),
        counted_from: started + warm_up,
        ends_at: started + warm_up + load.duration,
        started,
        written: Arc::new(Meter::new(load.connections)),
        read: Arc::new(Meter::new(load.connections)),
    };
    let (writers, readers, view) = (Tasks::new(), Tasks::new(), Tasks::new());
    view.spawn("perf view", report::progress(run.clone(), view.clone()));
    if kind.reads() {
        stage.start_readers(&readers, &run, kind).await?;
    }
    if kind.writes() {
        stage.start_writers(&writers, &run, kind).await?;
    }
    // Nobody is asked to stop before: they all know when it is over.
    writers.drain(warm_up + load.duration + PATIENCE).await;
    readers.drain(load.duration + PATIENCE).await;
    view.drain(PATIENCE).await;
    Ok(Report::of(kind, &run))
}
