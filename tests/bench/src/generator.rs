//! Who makes a load, and what it says of it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::system::{self, Cluster};

/// What a generator told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    pub(crate) n_bytes: f64,
    pub(crate) seconds: f64,
    pub(crate) n_requests: f64,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) p999_ms: Option<f64>,
}

impl Told {
    pub(crate) fn mb_per_second(&self) -> f64 {
        self.n_bytes / 1e6 / self.seconds
    }

    pub(crate) fn requests_per_second(&self) -> f64 {
        self.n_requests / self.seconds
    }
}

/// `drave perf`; `side` is "written" or "read".
pub(crate) fn perf(cluster: &Cluster, arguments: &str, side: &str) -> anyhow::Result<Told> {
    let mut command = Command::new(system::drave());
    command
        .arg("perf")
        .args(arguments.split_whitespace())
        // What it made and deletes is gone at once, and not a minute later, under another load.
        .args(["--config", "file.delete.delay.ms=0"])
        .args(["--bootstrap", &cluster.bootstrap(), "--format", "json"]);
    let said: Value = serde_json::from_str(&output(command)?)?;
    let told = said.get(side).context("drave perf says nothing of it")?;
    let number = |name: &str| told.get(name).and_then(Value::as_f64);
    let latency = |name: &str| told.pointer(&format!("/latency_ms/{name}"))?.as_f64();
    Ok(Told {
        n_bytes: number("bytes").context("no bytes")?,
        seconds: number("seconds").context("no seconds")?,
        n_requests: number("requests").unwrap_or_default(),
        p99_ms: latency("p99"),
        p999_ms: latency("p99.9"),
    })
}

/// Makes a topic that stays, for the generators that make none themselves.
pub(crate) fn create_topic(
    cluster: &Cluster,
    name: &str,
    partitions: u32,
    replicas: usize,
) -> anyhow::Result<()> {
    let mut command = Command::new(system::drave());
    command
        .args(["topic", "create", name, "--if-not-exists"])
        .args(["--partitions", &partitions.to_string()])
        .args(["--replication-factor", &replicas.to_string()])
        .args(["--timeout", "300", "--bootstrap", &cluster.bootstrap()]);
    output(command).map(drop)
}

/// Kafka's `ProducerPerformance`: records of 1 KiB, as fast as it can.
pub(crate) fn kafka_producer(
    cluster: &Cluster,
    topic: &str,
    n_records: u64,
    settings: &str,
) -> anyhow::Result<Told> {
    let mut command = system::java(CLIENT_JVM, "org.apache.kafka.tools.ProducerPerformance")?;
    command
        .args([
            "--topic",
            topic,
            "--record-size",
            "1024",
            "--throughput",
            "-1",
        ])
        .args(["--num-records", &n_records.to_string()])
        .arg("--producer-props")
        .arg(format!("bootstrap.servers={}", cluster.bootstrap()))
        .args(settings.split_whitespace());
    parse_producer(&output(command)?, n_records)
}

/// The last line sums up: `N records sent, R records/sec (M MB/sec), A ms avg latency, …, P ms 99th, …`.
fn parse_producer(said: &str, n_records: u64) -> anyhow::Result<Told> {
    let line = said
        .lines()
        .rfind(|it| it.contains("99th"))
        .with_context(|| format!("ProducerPerformance sums nothing up: {said}"))?;
    let before = |mark: &str| {
        let (front, _) = line.split_once(mark)?;
        front
            .rsplit([' ', '('])
            .find(|it| !it.is_empty())?
            .parse()
            .ok()
    };
    let rate: f64 = before(" records/sec").context("no rate")?;
    let records = f64::from(u32::try_from(n_records)?);
    Ok(Told {
        n_bytes: records * 1024.0,
        seconds: records / rate,
        p99_ms: before(" ms 99th"),
        p999_ms: before(" ms 99.9th"),
        ..Told::default()
    })
}

/// Kafka's `ConsumerPerformance` over a topic.
pub(crate) fn kafka_consumer(
    cluster: &Cluster,
    topic: &str,
    n_records: u64,
    dir: &Path,
) -> anyhow::Result<Told> {
    let config = dir.join("consumer.properties");
    std::fs::write(&config, "auto.offset.reset=earliest\n")?;
    let mut command = system::java(CLIENT_JVM, "org.apache.kafka.tools.ConsumerPerformance")?;
    command
        .args(["--bootstrap-server", &cluster.bootstrap(), "--topic", topic])
        .args(["--num-records", &n_records.to_string(), "--hide-header"])
        .args(["--timeout", "30000", "--command-config"])
        .arg(&config);
    parse_consumer(&output(command)?)
}

/// `start, end, MB, MB/s, records, records/s, rebalance ms, fetch ms, fetch MB/s, fetch records/s`.
fn parse_consumer(said: &str) -> anyhow::Result<Told> {
    let fields = |line: &str| -> Vec<f64> {
        let fields = line.split(',').skip(2);
        fields.filter_map(|it| it.trim().parse().ok()).collect()
    };
    let told = said.lines().map(fields).rfind(|it| it.len() >= 8);
    let Some([mb, _, _, _, _, fetch_ms, ..]) = told.as_deref() else {
        bail!("ConsumerPerformance says nothing: {said}");
    };
    Ok(Told {
        n_bytes: mb * 1024.0 * 1024.0,
        seconds: fetch_ms / 1e3,
        ..Told::default()
    })
}

/// What `kafka-run-class.sh` gives a tool.
const CLIENT_JVM: &[&str] = &["-Xmx512M", "-server", "-XX:+UseG1GC"];

pub(crate) fn output(mut command: Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command.stdin(Stdio::null()).output();
    let done = done.with_context(|| format!("{name} cannot be started"))?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    if !done.status.success() {
        let errors = String::from_utf8_lossy(&done.stderr).into_owned();
        bail!("{name} ended with {}: {said}{errors}", done.status);
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafkas_tools_are_understood() {
        let said = "10 records sent, 9.9 records/sec (0.01 MB/sec), 1.0 ms avg latency, 2.0 ms max latency.\n\
            5000 records sent, 2500.000000 records/sec (2.44 MB/sec), 1.53 ms avg latency, 210.00 ms max latency, \
            1 ms 50th, 3 ms 95th, 8 ms 99th, 21 ms 99.9th.\n";
        let told = parse_producer(said, 5000).unwrap();
        assert!((told.seconds - 2.0).abs() < 1e-9, "{told:?}");
        assert_eq!((told.p99_ms, told.p999_ms), (Some(8.0), Some(21.0)));
        let said = "2026-01-01 00:00:00:000, 2026-01-01 00:00:04:000, 100.0, 25.0, 102400, 25600.0, 500, 2000, 50.0, 51200.0\n";
        let told = parse_consumer(said).unwrap();
        assert!(
            (told.n_bytes / told.seconds - 52_428_800.0).abs() < 1.0,
            "{told:?}"
        );
    }
}
