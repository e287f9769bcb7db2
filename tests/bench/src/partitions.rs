//! Many partitions: until all are made, and until all are led again after every node was killed.

use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::bail;
use serde_json::Value;

use crate::generator::{create_topic, output};
use crate::load::Figure;
use crate::sample::Sample;
use crate::system::{self, Cluster, now};

/// Kafka makes at most 10,000 records of a request, and so not as many partitions.
const N_TOPICS: u32 = 10;
const WITHIN: Duration = Duration::from_mins(10);
/// Between two looks, each of which costs the cluster a description of all partitions.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(crate) fn measure(cluster: &mut Cluster, n: u32) -> anyhow::Result<Sample> {
    let started = now();
    for topic in topics() {
        create_topic(cluster, &topic, n / N_TOPICS, 3)?;
    }
    wait_until(cluster, n, |it| has_leader(it) && n_in_sync(it) == 3)?;
    let created = now() - started;
    let rss_mb = cluster.usage()?.rss_mb;
    let started = now();
    cluster.kill_and_start()?;
    wait_until(cluster, n, has_leader)?;
    Ok(Sample::from([
        (Figure::CreateSeconds, created.as_secs_f64()),
        (Figure::RestartSeconds, (now() - started).as_secs_f64()),
        (Figure::RssMb, rss_mb),
    ]))
}

fn wait_until(cluster: &Cluster, n: u32, is_so: impl Fn(&Value) -> bool) -> anyhow::Result<()> {
    let deadline = now() + WITHIN;
    let mut n_so = 0;
    while now() < deadline {
        // A node that has just been started may answer nothing yet.
        if let Ok(told) = describe(cluster) {
            let topics = told.as_array().into_iter().flatten();
            let partitions = topics.filter_map(|it| it.get("partitions")?.as_array());
            n_so = partitions.flatten().filter(|it| is_so(it)).count();
            if n_so == usize::try_from(n)? {
                return Ok(());
            }
        }
        // The condition is looked at between two of these.
        thread::sleep(LOOK_EVERY);
    }
    bail!("only {n_so} of {n} partitions are as they should be after {WITHIN:?}");
}

fn describe(cluster: &Cluster) -> anyhow::Result<Value> {
    let mut command = Command::new(system::drave());
    command.args(["topic", "describe", "--format", "json"]);
    command.args(topics());
    command.args(["--bootstrap", &cluster.bootstrap()]);
    Ok(serde_json::from_str(&output(command)?)?)
}

fn topics() -> impl Iterator<Item = String> {
    (0..N_TOPICS).map(|i| format!("many-{i}"))
}

fn has_leader(partition: &Value) -> bool {
    partition
        .get("leader")
        .and_then(Value::as_i64)
        .is_some_and(|it| it >= 0)
}

fn n_in_sync(partition: &Value) -> usize {
    partition
        .get("isr")
        .and_then(Value::as_array)
        .map_or(0, Vec::len)
}
