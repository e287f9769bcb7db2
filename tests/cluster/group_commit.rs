//! What it costs to have records on disk before they are acked, in figures.
//!
//! Not a test of anything but the machine; it prints. A build is compared with another, by turns, when it is
//! given one: `AGAINST=/path/to/drave cargo test --release --test cluster -- --ignored --nocapture in_figures`.
//! `BUILD=/path/to/drave` measures that one in place of this test's own.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use drave_protocol::schema::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};

use crate::support::client::{ACKS_ALL, PRODUCE_BY_NAME, batch_of};
use crate::support::cluster::Cluster;
use crate::support::wire::Wire;

const N_ROUNDS: usize = 5;
const N_CONNECTIONS: i32 = 8;
const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(3);
const RECORD_BYTES: usize = 1000;

/// One run: how many batches were acked in a second, and how long a request took.
#[derive(Clone, Copy, Debug)]
struct Figures {
    acked_per_second: f64,
    p50_us: f64,
    p99_us: f64,
}

#[test]
#[ignore = "prints figures"]
#[allow(
    clippy::print_stdout,
    reason = "figures are for whoever asked for them"
)]
fn acks_of_a_lone_replica_in_figures() {
    let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let (build, against) = (path("BUILD"), path("AGAINST"));
    for (n_partitions, n_connections) in [(1, 1), (64, N_CONNECTIONS), (500, N_CONNECTIONS)] {
        let mut ours = Vec::new();
        let mut theirs = Vec::new();
        for _ in 0..N_ROUNDS {
            if let Some(program) = &against {
                theirs.push(run(Some(program.clone()), n_partitions, n_connections));
            }
            ours.push(run(build.clone(), n_partitions, n_connections));
        }
        println!(
            "{n_partitions} partitions, {n_connections} connections, {RECORD_BYTES} B a batch:"
        );
        tell("this build", &ours);
        if !theirs.is_empty() {
            tell("the other", &theirs);
            let ratio = |of: fn(&Figures) -> f64| median(&ours, of) / median(&theirs, of);
            println!(
                "  ratio: acked {:.2}, p50 {:.2}, p99 {:.2}",
                ratio(|it| it.acked_per_second),
                ratio(|it| it.p50_us),
                ratio(|it| it.p99_us)
            );
        }
    }
}

#[allow(clippy::print_stdout, reason = "as above")]
fn tell(who: &str, runs: &[Figures]) {
    println!(
        "  {who}: {:.0} acked/s, p50 {:.0} us, p99 {:.0} us",
        median(runs, |it| it.acked_per_second),
        median(runs, |it| it.p50_us),
        median(runs, |it| it.p99_us)
    );
}

fn median(runs: &[Figures], of: fn(&Figures) -> f64) -> f64 {
    let mut all: Vec<f64> = runs.iter().map(of).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn run(program: Option<PathBuf>, n_partitions: i32, n_connections: i32) -> Figures {
    let mut cluster = Cluster::prepare(1, &[]);
    if let Some(program) = program {
        cluster.node_mut(1).program = program;
    }
    cluster.spawn_all();
    cluster.wait_ready();
    cluster.create_topic("figures", n_partitions, 1, &[]);
    let port = cluster.node(1).ports.kafka;
    let writers: Vec<_> = (0..n_connections)
        .map(|first| {
            let step = usize::try_from(n_connections).unwrap();
            let own: Vec<i32> = (first..n_partitions).step_by(step).collect();
            std::thread::spawn(move || write(port, &own))
        })
        .collect();
    let latencies: Vec<(Duration, usize)> = writers
        .into_iter()
        .flat_map(|it| it.join().unwrap())
        .collect();
    let n_acked: usize = latencies.iter().map(|(_, n_batches)| n_batches).sum();
    let mut us: Vec<f64> = latencies
        .iter()
        .map(|(it, _)| it.as_secs_f64() * 1e6)
        .collect();
    us.sort_by(f64::total_cmp);
    Figures {
        acked_per_second: f64::from(u32::try_from(n_acked).unwrap()) / MEASURED.as_secs_f64(),
        p50_us: us[us.len() / 2],
        p99_us: us[us.len() * 99 / 100],
    }
}

/// One request after another, each with a batch for each partition.
fn write(port: u16, partitions: &[i32]) -> Vec<(Duration, usize)> {
    let records = batch_of([vec![b'x'; RECORD_BYTES]]);
    let data = partitions.iter().map(|it| PartitionProduceData {
        index: *it,
        records: Some(records.clone()),
    });
    let request = ProduceRequest {
        acks: ACKS_ALL,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: "figures".to_owned(),
            partition_data: data.collect(),
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    };
    let mut wire = Wire::connect(port).unwrap();
    let warm = Instant::now() + WARM_UP;
    let end = warm + MEASURED;
    let mut latencies = Vec::new();
    loop {
        let began = Instant::now();
        if began >= end {
            return latencies;
        }
        let answer = wire.call(PRODUCE_BY_NAME, &request).unwrap();
        let all = answer
            .responses
            .iter()
            .flat_map(|it| &it.partition_responses);
        assert!(all.clone().all(|it| it.error_code == 0), "{answer:?}");
        if began >= warm {
            latencies.push((began.elapsed(), partitions.len()));
        }
    }
}
