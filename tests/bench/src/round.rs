//! One system under all loads, one after the other, in one life of its nodes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;

use crate::Plan;
use crate::generator::{self, Told};
use crate::kcat;
use crate::load::{Figure, Generator, Load};
use crate::partitions;
use crate::process::{self, Usage};
use crate::sample::{Sample, Samples};
use crate::system::{self, Cluster, System};

/// Records of 1 KiB for Kafka's own tools and kcat, in place of each second of a load: as many as a JVM takes in one.
const RECORDS_PER_SECOND: u64 = 100_000;
const SETTLE: Duration = Duration::from_secs(2);
const ALL_WITHIN: Duration = Duration::from_mins(1);
/// Connections made at once: fewer than `socket.listen.backlog.size`, 50 by default, of those not accepted yet.
const KNOCK_MAX: usize = 32;
const KNOCK_EVERY: Duration = Duration::from_millis(10);
const TOPIC: &str = "bench";
const KCAT_TOPIC: &str = "bench-kcat";

/// Answers with files that are to stay until the last round is over: a file system may take its time to make
/// new ones after many were deleted (ext4 without a journal looks for inodes that were not deleted in the last five minutes).
pub(crate) fn run(
    plan: &Plan,
    system: System,
    n_nodes: usize,
    samples: &mut Samples,
) -> anyhow::Result<Option<Rc<TempDir>>> {
    let loads = plan.loads.iter().filter(|it| it.n_nodes == n_nodes);
    let loads: Vec<&&Load> = loads.collect();
    if loads.is_empty() {
        return Ok(None);
    }
    let mut generators = loads.iter().map(|it| it.generator);
    let makes_many_files = generators.any(|it| matches!(it, Generator::Partitions(_)));
    let mut cluster = Cluster::start(system, n_nodes, &plan.dir)?;
    wait_for_all(&cluster, n_nodes)?;
    let mut is_warm = false;
    for load in loads {
        if load.wants_warmth && !is_warm {
            generator::perf(&cluster, plan.warm_up, "written")?;
            is_warm = true;
        }
        // A load before the warm-up is of a cluster that has hardly written, and may be its start: nothing to wait for.
        if is_warm {
            plan.rest.take()?;
        }
        let sample = measure(plan, &mut cluster, load)
            .with_context(|| format!("{} under {}", system.name(), load.name))?;
        let told: Vec<String> = sample
            .iter()
            .map(|(figure, value)| format!("{} {value:.3}", figure.name()))
            .collect();
        println!("  {:16} {}", load.name, told.join(", "));
        samples.add(load.name, system, sample);
    }
    Ok(makes_many_files.then(|| cluster.dir()))
}

fn measure(plan: &Plan, cluster: &mut Cluster, load: &Load) -> anyhow::Result<Sample> {
    let timing = format!(
        "--duration {}s --warm-up {}s",
        plan.seconds,
        plan.seconds.div_ceil(4)
    );
    let before = Used::until_now(cluster)?;
    let mut sample = Sample::new();
    let told = match load.generator {
        Generator::Perf(arguments) if load.name == "ready" => {
            let told = generator::perf(cluster, arguments, "written")?;
            // The first ack came before this; what the generator did after it is the same for all.
            let seconds = (system::now() - cluster.started).as_secs_f64();
            sample.insert(Figure::ReadySeconds, seconds);
            // What is idle is looked at when it has been so for a while.
            thread::sleep(SETTLE);
            told
        }
        Generator::Perf(arguments) => {
            generator::perf(cluster, &format!("{arguments} {timing}"), "written")?
        }
        Generator::CatchUp(arguments) => {
            return catch_up(plan, cluster, &format!("{arguments} {timing}"));
        }
        Generator::EndToEnd(percent) => {
            let rate = plan.kafka_peak / 1024.0 * f64::from(percent) / 100.0;
            let arguments = format!("end-to-end --acks 1 --linger 1ms --rate {rate:.0} {timing}");
            generator::perf(cluster, &arguments, "read")?
        }
        Generator::KafkaProducer(settings) => {
            generator::create_topic(cluster, TOPIC, 6, 1)?;
            generator::kafka_producer(cluster, TOPIC, n_records(plan), settings)?
        }
        Generator::KafkaConsumer => {
            generator::kafka_consumer(cluster, TOPIC, n_records(plan), &plan.dir)?
        }
        Generator::KcatProducer(settings) => {
            generator::create_topic(cluster, KCAT_TOPIC, 6, 1)?;
            kcat::produce(cluster, KCAT_TOPIC, n_records(plan), settings, &plan.dir)?
        }
        Generator::KcatConsumer => kcat::consume(cluster, KCAT_TOPIC, n_records(plan))?,
        Generator::IdleConnections(n) => return idle_connections(cluster, n),
        Generator::Partitions(n) => return partitions::measure(cluster, n),
    };
    let used = Used::until_now(cluster)?.since(before);
    figures(&mut sample, load, told, used);
    Ok(sample)
}

fn figures(sample: &mut Sample, load: &Load, told: Told, used: Used) {
    if load.name != "ready" {
        sample.insert(Figure::MbPerSecond, told.mb_per_second());
        // Warming up costs too: its bytes are not counted, so this is a little too much, for all alike.
        used.per_gb(told, sample);
    }
    sample.insert(Figure::RssMb, used.brokers.rss_mb);
    if load.name == "small" {
        sample.insert(Figure::RequestsPerSecond, told.requests_per_second());
    }
    for (figure, value) in [(Figure::P99Ms, told.p99_ms), (Figure::P999Ms, told.p999_ms)] {
        if let Some(value) = value.filter(|_| load.name != "ready") {
            sample.insert(figure, value);
        }
    }
}

/// Until each node is known to be one: a topic that needs them all can be made then.
fn wait_for_all(cluster: &Cluster, n_nodes: usize) -> anyhow::Result<()> {
    // One is there when it listens, and how soon it is, is measured.
    if n_nodes == 1 {
        return Ok(());
    }
    let deadline = system::now() + ALL_WITHIN;
    loop {
        match generator::create_topic(cluster, "all-there", 1, n_nodes) {
            Ok(()) => return Ok(()),
            Err(error) if system::now() >= deadline => return Err(error),
            // The condition is looked at between two of these.
            Err(_) => thread::sleep(SETTLE),
        }
    }
}

/// What Kafka takes in flat out once it is warm, bytes a second: rates that are the same for all are parts of it.
pub(crate) fn kafka_peak(plan: &Plan) -> anyhow::Result<f64> {
    let cluster = Cluster::start(System::Kafka, 1, &plan.dir)?;
    generator::perf(&cluster, plan.warm_up, "written")?;
    plan.rest.take()?;
    let arguments =
        "produce --acks 1 --batch-bytes 16384 --connections 2 --warm-up 1s --duration 4s";
    let told = generator::perf(&cluster, arguments, "written")?;
    Ok(told.n_bytes / told.seconds)
}

/// Writes a topic, then reads it, and counts the reading.
fn catch_up(plan: &Plan, cluster: &Cluster, arguments: &str) -> anyhow::Result<Sample> {
    let topic = "catch-up";
    generator::create_topic(cluster, topic, 6, 1)?;
    let written = format!("produce --acks 1 --topic {topic} {arguments}");
    generator::perf(cluster, &written, "written")?;
    plan.rest.write_out()?;
    let before = Used::until_now(cluster)?;
    let read = format!("consume --topic {topic} --connections 2 --duration 60s");
    let told = generator::perf(cluster, &read, "read")?;
    let used = Used::until_now(cluster)?.since(before);
    let mut sample = Sample::from([(Figure::MbPerSecond, told.mb_per_second())]);
    used.per_gb(told, &mut sample);
    Ok(sample)
}

fn idle_connections(cluster: &Cluster, n: usize) -> anyhow::Result<Sample> {
    let before = cluster.usage()?;
    let port = cluster.first_port();
    let mut open = Vec::new();
    for i in 0..n {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        introduce(&mut stream)?;
        open.push(stream);
        if i % KNOCK_MAX == 0 {
            // Who finds Kafka's line full tries again a second later, and nobody says when it is empty.
            thread::sleep(KNOCK_EVERY);
        }
    }
    // The same: there is nothing to wait for.
    thread::sleep(SETTLE);
    let after = cluster.usage()?;
    drop(open);
    Ok(Sample::from([
        (Figure::RssMb, after.rss_mb),
        // A machine whose memory shrank meanwhile added nothing that could be seen.
        (Figure::RssAddedMb, (after.rss_mb - before.rss_mb).max(0.1)),
    ]))
}

/// The first words of every client, `ApiVersions` in version 0, and the broker's answer.
fn introduce(stream: &mut TcpStream) -> anyhow::Result<()> {
    stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff])?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(length))?];
    Ok(stream.read_exact(&mut answer)?)
}

/// By the brokers, and by all but the generators.
#[derive(Clone, Copy, Debug)]
struct Used {
    brokers: Usage,
    others_cpu_seconds: f64,
}

impl Used {
    fn until_now(cluster: &Cluster) -> anyhow::Result<Self> {
        Ok(Self {
            brokers: cluster.usage()?,
            others_cpu_seconds: process::others_cpu_seconds()?,
        })
    }

    fn since(self, before: Self) -> Self {
        Self {
            brokers: Usage {
                cpu_seconds: self.brokers.cpu_seconds - before.brokers.cpu_seconds,
                rss_mb: self.brokers.rss_mb,
            },
            others_cpu_seconds: self.others_cpu_seconds - before.others_cpu_seconds,
        }
    }

    fn per_gb(self, told: Told, sample: &mut Sample) {
        let gb = told.n_bytes / 1e9;
        sample.insert(Figure::CpuSecondsPerGb, self.brokers.cpu_seconds / gb);
        sample.insert(Figure::MachineCpuSecondsPerGb, self.others_cpu_seconds / gb);
    }
}

fn n_records(plan: &Plan) -> u64 {
    u64::from(plan.seconds) * RECORDS_PER_SECOND
}
