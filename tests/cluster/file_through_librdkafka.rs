//! Records through the rdkafka crate while a leader is killed, each with its delivery report.

use std::collections::BTreeMap;

use crate::support::cluster::Cluster;
use crate::support::librdkafka::{self, Delivery, Librdkafka};
use crate::support::lines;
use crate::support::wait::{seconds, wait_until};

const N_RECORDS: usize = 100_000;
const N_PARTITIONS: i32 = 3;
const TOPIC: &str = "reported";

#[test]
fn every_record_reported_as_delivered_is_where_its_report_says() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic(TOPIC, N_PARTITIONS, 3, &[]);
    let bootstrap = cluster.bootstrap();
    let settings = [
        ("max.in.flight.requests.per.connection", "1"),
        ("batch.num.messages", "1000"),
        ("message.timeout.ms", "120000"),
    ];
    let producer = Librdkafka::new(&bootstrap, &settings);
    let partition_of = |n: usize| i32::try_from(n).unwrap() % N_PARTITIONS;
    let send = |n: usize| producer.send(TOPIC, Some(partition_of(n)), n, &lines::line(n));
    (0..N_RECORDS / 2).for_each(send);
    wait_until(
        "a third of the records to be delivered",
        seconds(60),
        || producer.n_delivered() >= N_RECORDS / 3,
    );
    let leader = cluster.leader_of(TOPIC, 0);
    cluster.kill9(leader);
    (N_RECORDS / 2..N_RECORDS).for_each(send);
    let reports = producer.finish(seconds(120));

    assert_eq!(
        reports.deliveries.len(),
        N_RECORDS,
        "one report for each record"
    );
    let mut repeats = 0;
    for partition in 0..N_PARTITIONS {
        let end = cluster.high_watermark(TOPIC, partition);
        let read = librdkafka::read_partition(&bootstrap, TOPIC, partition, end);
        let numbers = read.iter().map(|(_, value)| lines::number_of(value));
        let kept = lines::in_order(numbers);
        repeats += kept.repeats;
        let by_offset: BTreeMap<i64, &str> = read
            .iter()
            .map(|(offset, value)| (*offset, value.as_str()))
            .collect();
        for Delivery { n, outcome, .. } in &reports.deliveries {
            let (at, offset) = outcome.as_ref().expect("every record is delivered");
            assert_eq!(*at, partition_of(*n), "a record goes where it was sent");
            if *at == partition {
                let found = by_offset.get(offset).copied();
                assert_eq!(
                    found,
                    Some(lines::line(*n).as_str()),
                    "{partition} at {offset}"
                );
            }
        }
    }
    let retried = reports.retried;
    assert!(
        repeats <= retried,
        "{repeats} records came again, {retried} were sent again"
    );
}
