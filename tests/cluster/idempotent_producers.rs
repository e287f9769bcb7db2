//! Producers that number what they send: each record is there once, in order, whoever is killed.

use crate::support::cluster::Cluster;
use crate::support::java::{self, Java};
use crate::support::librdkafka::{self, Librdkafka};
use crate::support::lines;
use crate::support::wait::{seconds, wait_until};

const TOPIC: &str = "once";
const N_PARTITIONS: i32 = 3;
const N_RECORDS: usize = 60_000;
const N_KILLS: usize = 2;

#[test]
fn the_java_producer_with_its_defaults_writes_each_record_once_and_in_order() {
    if !java::is_here() {
        return;
    }
    let mut cluster = Cluster::start(3);
    cluster.create_topic(TOPIC, N_PARTITIONS, 3, &[]);
    let n_partitions = N_PARTITIONS.to_string();
    let arguments = [&cluster.bootstrap(), TOPIC, &n_partitions];
    let mut producer = Java::spawn("DefaultProducer", &arguments);
    let mut lines = producer.lines();
    let mut wait_for_more = |n: u64| {
        let acked = |line: &String| line.strip_prefix("acked ")?.parse::<u64>().ok();
        let mut counts = lines.by_ref().filter_map(|line| acked(&line));
        let now = counts.next().expect("the producer goes on");
        let enough = counts.find(|it| *it >= now + n);
        enough.expect("the producer goes on, and is acknowledged");
    };
    wait_for_more(5_000);
    for _ in 0..N_KILLS {
        let leader = cluster.leader_of(TOPIC, 0);
        cluster.kill9(leader);
        wait_for_more(10_000);
        cluster.start_again(leader);
        cluster.wait_for_isr(TOPIC, 3, seconds(30));
        wait_for_more(5_000);
    }
    producer.end_input();
    let last = lines.last();
    producer.finish();
    let last = last.expect("it says how it ended");
    let n_sent: i64 = last.strip_prefix("sound ").expect(&last).parse().unwrap();
    let ends = (0..N_PARTITIONS).map(|it| cluster.high_watermark(TOPIC, it));
    assert_eq!(ends.sum::<i64>(), n_sent, "as many records as were sent");
}

#[test]
fn librdkafka_with_idempotence_writes_each_record_once_and_in_order() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic(TOPIC, N_PARTITIONS, 3, &[]);
    let bootstrap = cluster.bootstrap();
    let settings = [
        ("enable.idempotence", "true"),
        ("batch.num.messages", "500"),
        ("message.timeout.ms", "120000"),
    ];
    let producer = Librdkafka::new(&bootstrap, &settings);
    let partition_of = |n: usize| i32::try_from(n).unwrap() % N_PARTITIONS;
    let send = |n: usize| producer.send(TOPIC, Some(partition_of(n)), n, &lines::line(n));
    let part = N_RECORDS / (N_KILLS + 1);
    for round in 0..=N_KILLS {
        (round * part..(round + 1) * part).for_each(send);
        let some = round * part + part / 3;
        wait_until("a third of them to be delivered", seconds(60), || {
            producer.n_delivered() >= some
        });
        if round < N_KILLS {
            let leader = cluster.leader_of(TOPIC, 0);
            cluster.kill9(leader);
            cluster.start_again(leader);
        }
    }
    let reports = producer.finish(seconds(120));
    assert_eq!(reports.deliveries.len(), N_RECORDS);
    for report in &reports.deliveries {
        assert!(report.outcome.is_ok(), "{report:?}");
    }
    for partition in 0..N_PARTITIONS {
        let end = cluster.high_watermark(TOPIC, partition);
        let read = librdkafka::read_partition(&bootstrap, TOPIC, partition, end);
        let found: Vec<usize> = read
            .iter()
            .map(|(_, value)| lines::number_of(value))
            .collect();
        let expected: Vec<usize> = (0..N_RECORDS)
            .filter(|it| partition_of(*it) == partition)
            .collect();
        assert_eq!(found.len(), expected.len(), "partition {partition}");
        assert!(
            found == expected,
            "partition {partition}: each once, in order"
        );
    }
}

#[test]
fn the_java_producer_is_told_at_once_that_there_are_no_transactions() {
    if !java::is_here() {
        return;
    }
    let cluster = Cluster::start(1);
    let mut producer = Java::spawn("Transactions", &[&cluster.bootstrap()]);
    let said: Vec<String> = producer.lines().collect();
    producer.finish();
    let (millis, error) = said.first().unwrap().split_once(' ').unwrap();
    assert!(error.contains("transactions are not served"), "{error}");
    assert!(millis.parse::<u64>().unwrap() < 10_000, "took {millis} ms");
}

#[test]
fn librdkafka_is_told_at_once_that_there_are_no_transactions() {
    let cluster = Cluster::start(1);
    let error = librdkafka::refused_transactions(&cluster.bootstrap(), seconds(20));
    assert!(error.contains("transactions are not served"), "{error}");
}
