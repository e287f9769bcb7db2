//! One node and one copy of everything: SIGKILL takes nothing that was acked, and what an asynchronous log
//! leaves to the page cache goes to disk when it was told to.

use serde_json::Value;

use crate::support::client::{PRODUCE_BY_NAME, batch_of, produce_request, produced};
use crate::support::cluster::Cluster;
use crate::support::librdkafka::{self, Librdkafka};
use crate::support::lines;
use crate::support::steady::{Account, Steady};
use crate::support::wait::{seconds, wait_for, wait_until};

const TOPIC: &str = "alone";
const N_KILLS: usize = 10;
/// Partition 0 has plain producers, the others one that numbers its batches.
const N_PLAIN: usize = 3;
const NUMBERED: [i32; 2] = [1, 2];
const N_NUMBERED_PER_LIFE: usize = 2_000;
const N_ACKED_PER_LIFE: usize = 30;
const NEVER: &str = "9223372036854775807";

#[test]
fn a_node_on_its_own_is_killed_ten_times_and_keeps_what_it_acked_in_order() {
    be_killed_and_keep_all(&[]);
}

/// The page cache is the system's: it outlives the process, though not the machine.
#[test]
fn without_syncs_before_acks_a_killed_process_keeps_what_it_acked_as_well() {
    be_killed_and_keep_all(&[
        ("log.flush.mode", "async"),
        ("log.flush.interval.ms", NEVER),
    ]);
}

fn be_killed_and_keep_all(settings: &[(&str, &str)]) {
    let mut cluster = Cluster::start_with(1, settings);
    cluster.create_topic(TOPIC, 3, 1, &[]);
    let port = cluster.node(1).ports.kafka;
    let numbered = Librdkafka::new(
        &cluster.bootstrap(),
        &[
            ("enable.idempotence", "true"),
            ("batch.num.messages", "100"),
            ("message.timeout.ms", "120000"),
        ],
    );
    let partition_of = |n: usize| NUMBERED[n % NUMBERED.len()];
    let mut accounts: Vec<Account> = Vec::new();
    for life in 0..N_KILLS {
        let plain: Vec<Steady> = (0..N_PLAIN)
            .map(|_| Steady::to_node(port, TOPIC, 0))
            .collect();
        for n in life * N_NUMBERED_PER_LIFE..(life + 1) * N_NUMBERED_PER_LIFE {
            numbered.send(TOPIC, Some(partition_of(n)), n, &lines::line(n));
        }
        let enough = life * N_NUMBERED_PER_LIFE + N_NUMBERED_PER_LIFE / 4;
        wait_until("some of each to be acked", seconds(60), || {
            numbered.n_delivered() >= enough
                && plain.iter().all(|it| it.n_acked() >= N_ACKED_PER_LIFE)
        });
        cluster.kill9(1);
        accounts.extend(plain.into_iter().map(Steady::stop));
        cluster.start_again(1);
        cluster.wait_for_leaders(TOPIC);
    }
    keeps_the_plain(&mut cluster, &accounts);
    let reports = numbered.finish(seconds(120));
    let n_numbered = N_KILLS * N_NUMBERED_PER_LIFE;
    assert_eq!(reports.deliveries.len(), n_numbered);
    for report in &reports.deliveries {
        assert!(report.outcome.is_ok(), "{report:?}");
    }
    for partition in NUMBERED {
        let end = cluster.high_watermark(TOPIC, partition);
        let read = librdkafka::read_partition(&cluster.bootstrap(), TOPIC, partition, end);
        let found: Vec<usize> = read.iter().map(|(_, it)| lines::number_of(it)).collect();
        let sent = (0..n_numbered).filter(|it| partition_of(*it) == partition);
        assert!(sent.eq(found), "partition {partition}: each once, in order");
    }
}

fn keeps_the_plain(cluster: &mut Cluster, accounts: &[Account]) {
    let values = cluster.read_all(TOPIC, 0);
    for account in accounts {
        assert!(account.acked.len() >= N_ACKED_PER_LIFE);
        assert!(
            account.acked.is_sorted_by_key(|(_, offset)| *offset),
            "what a producer wrote later lies behind what it wrote before"
        );
        for (value, offset) in &account.acked {
            let found = values.get(usize::try_from(*offset).unwrap());
            let found = found.map(|it| String::from_utf8_lossy(it));
            assert_eq!(found.as_deref(), Some(value.as_str()), "at {offset}");
        }
    }
}

#[test]
fn an_asynchronous_log_goes_to_disk_after_its_time_its_records_or_its_segment() {
    let settings = [
        ("log.flush.mode", "async"),
        ("log.flush.interval.ms", NEVER),
        ("replica.high.watermark.checkpoint.interval.ms", "50"),
    ];
    let mut cluster = Cluster::start_with(1, &settings);
    cluster.create_topic("by-count", 1, 1, &[("flush.messages", "10")]);
    cluster.create_topic("by-time", 1, 1, &[("flush.ms", "300")]);
    cluster.create_topic("by-segment", 1, 1, &[("segment.bytes", "1048576")]);
    for n in 0..9 {
        cluster.produce("by-count", 0, [lines::line(n)]);
    }
    cluster.produce("by-time", 0, ["one"]);
    wait_for_disk(&cluster, "by-time", 1);
    assert_eq!(
        durable_below(&cluster, "by-count").unwrap(),
        0,
        "nobody asked for it"
    );
    cluster.produce("by-count", 0, [lines::line(9)]);
    wait_for_disk(&cluster, "by-count", 10);

    let large = batch_of([vec![b'x'; 700_000]]);
    let mut wire = cluster.wire(1);
    for _ in 0..2 {
        let request = produce_request("by-segment", 0, 1, large.clone());
        let answer = produced(wire.call(PRODUCE_BY_NAME, &request).unwrap());
        assert_eq!(answer.error_code, 0);
    }
    wait_for_disk(&cluster, "by-segment", 2);
    assert!(cluster.node_mut(1).stop().success());
}

fn wait_for_disk(cluster: &Cluster, topic: &str, end: i64) {
    wait_for("the records to be on disk", seconds(20), || {
        let durable = durable_below(cluster, topic)?;
        if durable >= end {
            Ok(())
        } else {
            Err(format!("{topic}: only below {durable}"))
        }
    });
}

fn durable_below(cluster: &Cluster, topic: &str) -> Result<i64, String> {
    let answer = cluster.node(1).get(&format!("/v1/topics/{topic}"))?.json();
    let replica = &answer["partitions"][0]["replica_states"][0];
    let point: &Value = &replica["recovery_point"];
    point.as_i64().ok_or_else(|| answer.to_string())
}
