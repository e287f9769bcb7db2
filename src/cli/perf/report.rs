//! What a run measured, for people and programs; and how it goes while it runs.

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::output::Table;
use crate::cli::perf::meter::Tally;
use crate::cli::perf::{Kind, Run};
use crate::tasks::Tasks;

const LINE_EVERY: Duration = Duration::from_secs(1);
const QUANTILES: [(&str, f64); 5] = [
    ("p50", 0.5),
    ("p95", 0.95),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("max", 1.0),
];

#[derive(Debug)]
pub(super) struct Report {
    kind: Kind,
    settings: Value,
    sides: Vec<(&'static str, Tally)>,
}

/// A line a second on standard error: the report alone is on standard output.
pub(super) async fn progress(run: Run, tasks: Tasks) {
    let (mut written, mut read) = (run.written.sum(), run.read.sum());
    loop {
        tokio::select! {
            () = run.clock.sleep_until(run.clock.now() + LINE_EVERY) => {}
            () = tasks.stopping() => return,
        }
        let (written_now, read_now) = (run.written.sum(), run.read.sum());
        let elapsed = run.clock.now().saturating_duration_since(run.started);
        let line = format!(
            "{:4} s: written {:7.1} MB/s ({} records/s), read {:7.1} MB/s ({} records/s), {} failed\n",
            elapsed.as_secs(),
            mega(written_now.n_bytes - written.n_bytes),
            written_now.n_records - written.n_records,
            mega(read_now.n_bytes - read.n_bytes),
            read_now.n_records - read.n_records,
            written_now.n_failed + read_now.n_failed,
        );
        // Whoever closed standard error does not look.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
        (written, read) = (written_now, read_now);
    }
}

impl Report {
    pub(super) fn of(kind: Kind, run: &Run) -> Self {
        let mut sides = Vec::new();
        if kind.writes() {
            sides.push(("written", run.written.sum()));
        }
        if kind.reads() {
            sides.push(("read", run.read.sum()));
        }
        let load = &run.load;
        Self {
            kind,
            settings: json!({
                "connections": load.connections,
                "rate": load.rate,
                "record_bytes": load.record_bytes,
                "batch_bytes": load.batch_bytes,
                "linger_ms": load.linger.as_secs_f64() * 1e3,
                "acks": load.acks.number(),
                "idempotence": load.idempotence,
                "compression": format!("{:?}", load.compression).to_lowercase(),
                "in_flight": load.in_flight,
                "fetch_bytes": load.fetch_bytes,
                "partitions": load.partitions,
                "duration_s": load.duration.as_secs_f64(),
            }),
            sides,
        }
    }

    pub(super) fn n_failed(&self) -> u64 {
        self.sides.iter().map(|(_, it)| it.n_failed).sum()
    }

    pub(super) fn table(&self) -> String {
        let mut headings = vec!["", "RECORDS", "RECORDS/S", "MB/S"];
        headings.extend(["P50 MS", "P95 MS", "P99 MS", "P99.9 MS", "MAX MS"]);
        let mut table = Table::new(&headings);
        for (name, tally) in &self.sides {
            let seconds = tally.span.as_secs_f64().max(1e-9);
            let mut cells = vec![
                (*name).to_owned(),
                tally.n_records.to_string(),
                format!("{:.0}", per(tally.n_records, seconds)),
                format!("{:.1}", mega(tally.n_bytes) / seconds),
            ];
            cells.extend(QUANTILES.map(|(_, q)| latency(tally, q)));
            table.row(cells);
        }
        let failures = self.sides.iter().filter_map(|(name, tally)| {
            let why = tally.first_failure.as_ref()?;
            Some(format!("\n{} {name} failed, first: {why}", tally.n_failed))
        });
        format!("{}{}", table.render(), failures.collect::<String>())
    }

    pub(super) fn json(&self) -> Value {
        let mut whole = serde_json::Map::new();
        whole.insert("kind".to_owned(), json!(self.kind.name()));
        whole.insert("settings".to_owned(), self.settings.clone());
        for (name, tally) in &self.sides {
            let seconds = tally.span.as_secs_f64().max(1e-9);
            let latency: serde_json::Map<String, Value> = QUANTILES
                .iter()
                .map(|(name, q)| ((*name).to_owned(), json!(millis(tally, *q))))
                .collect();
            let side = json!({
                "records": tally.n_records,
                "bytes": tally.n_bytes,
                "requests": tally.n_requests,
                "seconds": seconds,
                "records_per_s": per(tally.n_records, seconds),
                "mb_per_s": mega(tally.n_bytes) / seconds,
                "latency_ms": latency,
                "failed": tally.n_failed,
                "first_failure": tally.first_failure,
            });
            whole.insert((*name).to_owned(), side);
        }
        Value::Object(whole)
    }
}

fn latency(tally: &Tally, quantile: f64) -> String {
    if tally.latency.is_empty() {
        return "-".to_owned();
    }
    format!("{:.2}", millis(tally, quantile))
}

#[allow(
    clippy::cast_precision_loss,
    clippy::as_conversions,
    reason = "three digits are kept of it"
)]
fn millis(tally: &Tally, quantile: f64) -> f64 {
    tally.latency.value_at_quantile(quantile) as f64 / 1e3
}

#[allow(
    clippy::cast_precision_loss,
    clippy::as_conversions,
    reason = "for people, to some digits"
)]
fn per(n: u64, seconds: f64) -> f64 {
    n as f64 / seconds
}

fn mega(n_bytes: u64) -> f64 {
    per(n_bytes, 1e6)
}
