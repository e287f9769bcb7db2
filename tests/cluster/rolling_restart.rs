//! Nodes are restarted one after another, as for an upgrade, under a producer and a consumer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::cluster::Cluster;
use crate::support::librdkafka::{Librdkafka, Reports, Tail};
use crate::support::lines;
use crate::support::segments::assert_copies_are_equal;
use crate::support::wait::{seconds, wait_until};

const TOPIC: &str = "rolling";
const N_PARTITIONS: i32 = 3;
/// Far above what it takes, for a debug build on a machine that does other things too; the figures are
/// those that are printed.
const GAP_LIMIT: Duration = seconds(10);

#[test]
fn nodes_restarted_one_after_another_lose_and_repeat_nothing() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic(TOPIC, N_PARTITIONS, 3, &[("min.insync.replicas", "2")]);
    cluster.wait_for_isr(TOPIC, 3, seconds(20));
    let bootstrap = cluster.bootstrap();
    let settings = [
        ("enable.idempotence", "true"),
        ("linger.ms", "2"),
        ("retry.backoff.ms", "20"),
        ("message.timeout.ms", "120000"),
    ];
    let producer = Librdkafka::new(&bootstrap, &settings);
    let tail = Tail::of(&bootstrap, TOPIC, N_PARTITIONS);
    let is_over = AtomicBool::new(false);
    let mut restarts = Vec::new();
    let n_sent = std::thread::scope(|scope| {
        let sending = scope.spawn(|| send_until(&producer, &is_over));
        wait_until("acks to come", seconds(30), || producer.n_delivered() > 200);
        for node in 1..=3 {
            let began = Instant::now();
            let status = cluster.node_mut(node).stop();
            assert!(status.success(), "node {node} ends with {status}");
            cluster.start_again(node);
            cluster.wait_for_isr(TOPIC, 3, seconds(60));
            restarts.push((node, began, Instant::now()));
            let delivered = producer.n_delivered();
            wait_until("acks to go on", seconds(30), || {
                producer.n_delivered() > delivered + 200
            });
        }
        is_over.store(true, Ordering::Relaxed);
        sending.join().unwrap()
    });
    let reports = producer.finish(seconds(60));
    tell_gaps(&reports, &restarts);
    let acked = all_acked_once(&reports, n_sent);
    for partition in 0..N_PARTITIONS {
        let end = cluster.high_watermark(TOPIC, partition);
        wait_until("the consumer to have read all", seconds(30), || {
            tail.position(partition) == end
        });
        assert_copies_are_equal(&mut cluster, TOPIC, partition);
    }
    for (partition, read) in tail.stop() {
        let expected = &acked[&partition];
        assert_eq!(read.len(), expected.len(), "partition {partition}");
        for ((offset, value), (expected_offset, n)) in read.iter().zip(expected) {
            assert_eq!(offset, expected_offset, "partition {partition}");
            assert_eq!(value, lines::line(*n).as_bytes(), "partition {partition}");
        }
    }
}

fn send_until(producer: &Librdkafka, is_over: &AtomicBool) -> usize {
    let mut n = 0;
    while !is_over.load(Ordering::Relaxed) {
        let partition = i32::try_from(n).unwrap() % N_PARTITIONS;
        producer.send(TOPIC, Some(partition), n, &lines::line(n));
        n += 1;
        std::thread::park_timeout(Duration::from_millis(1));
    }
    n
}

/// Offset and number of every record, by partition: each was acked, none twice.
fn all_acked_once(reports: &Reports, n_sent: usize) -> BTreeMap<i32, Vec<(i64, usize)>> {
    assert_eq!(reports.deliveries.len(), n_sent);
    let mut acked: BTreeMap<i32, Vec<(i64, usize)>> = BTreeMap::new();
    for delivery in &reports.deliveries {
        let (partition, offset) = delivery.outcome.clone().unwrap();
        acked
            .entry(partition)
            .or_default()
            .push((offset, delivery.n));
    }
    for records in acked.values_mut() {
        records.sort_unstable();
        for (expected, (offset, _)) in (0..).zip(records.iter()) {
            assert_eq!(*offset, expected, "one record at each offset");
        }
    }
    acked
}

/// The longest time a partition was without an ack, restart by restart.
#[allow(
    clippy::print_stdout,
    reason = "figures are for whoever runs the measurement"
)]
fn tell_gaps(reports: &Reports, restarts: &[(i32, Instant, Instant)]) {
    for (node, began, ended) in restarts {
        let mut longest = Duration::ZERO;
        for partition in 0..N_PARTITIONS {
            let of_partition = reports
                .deliveries
                .iter()
                .filter(|it| it.outcome.as_ref().is_ok_and(|(of, _)| *of == partition));
            let times: Vec<Instant> = of_partition.map(|it| it.at).collect();
            let gaps = times.iter().zip(times.iter().skip(1));
            let within = gaps.filter(|(before, after)| *after >= began && *before <= ended);
            let gap = within
                .map(|(before, after)| after.duration_since(*before))
                .max();
            longest = longest.max(gap.unwrap_or_default());
        }
        let took = ended.duration_since(*began);
        println!(
            "node {node} restarted in {took:.1?}; longest time without an ack on a partition {longest:.0?}"
        );
        assert!(longest < GAP_LIMIT, "node {node}: {longest:?}");
    }
}
