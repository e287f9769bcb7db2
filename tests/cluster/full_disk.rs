//! A disk fills up: records are refused, everything else goes on, and records return with the room.

use drave_protocol::ErrorCode;
use drave_protocol::schema::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use serde_json::Value;

use crate::support::client;
use crate::support::cluster::Cluster;
use crate::support::disk::Disk;
use crate::support::segments::assert_copies_are_equal;
use crate::support::wait::{seconds, wait_for};

const DISK_MEBIBYTES: u64 = 96;
const RESERVE_BYTES: &str = "8388608";
const VALUE_BYTES: usize = 256 * 1024;
const BIG: &str = "big";
const SMALL: &str = "small";

const SETTINGS: [(&str, &str); 2] = [
    ("log.dirs.reserve.bytes", RESERVE_BYTES),
    ("log.segment.bytes", "1048576"),
];

/// One produce of one large value, or the refusal.
fn try_produce(cluster: &mut Cluster, topic: &str) -> ErrorCode {
    let value = vec![b'x'; VALUE_BYTES];
    let mut wire = cluster.leader_wire(topic, 0);
    let answer = client::produce(&mut wire, topic, 0, [&value]).unwrap();
    client::code(answer.error_code)
}

/// Produces until the disk is full; returns how many records were acked.
fn fill(cluster: &mut Cluster, topic: &str) -> usize {
    for n_acked in 0..10_000 {
        match try_produce(cluster, topic) {
            ErrorCode::None => {}
            ErrorCode::KafkaStorageError => return n_acked,
            refusal => panic!("after {n_acked} records: {refusal:?}"),
        }
    }
    panic!("the disk never fills");
}

fn delete(cluster: &mut Cluster, topic: &str) {
    let by_name = DeleteTopicState {
        name: Some(topic.to_owned()),
        ..DeleteTopicState::default()
    };
    let request = DeleteTopicsRequest {
        topics: vec![by_name],
        timeout_ms: 10_000,
        ..DeleteTopicsRequest::default()
    };
    let answer = cluster.ask(|wire| wire.call_newest(&request));
    assert_eq!(answer.responses[0].error_code, 0, "{answer:?}");
}

/// A topic on all nodes whose only partition is led by another than `node`.
fn led_elsewhere(cluster: &mut Cluster, name: &str, node: i32) -> String {
    for number in 0..10 {
        let topic = format!("{name}-{number}");
        cluster.create_topic(&topic, 1, 3, &[]);
        if cluster.leader_of(&topic, 0) != node {
            return topic;
        }
    }
    panic!("node {node} leads everything");
}

fn is_full(cluster: &Cluster, id: i32) -> bool {
    let answer = cluster.node(id).get("/v1/log-dirs").unwrap().json();
    answer["log_dirs"][0]["full"] == Value::Bool(true)
}

fn n_lines(cluster: &Cluster, id: i32, text: &str) -> usize {
    let said = cluster.node(id).output();
    said.lines().filter(|it| it.contains(text)).count()
}

#[test]
fn a_full_disk_refuses_records_and_nothing_else() {
    let mut cluster = Cluster::prepare(1, &SETTINGS);
    let data_dir = cluster.node(1).data_dir();
    let Some(_disk) = Disk::mount(&data_dir, DISK_MEBIBYTES) else {
        return;
    };
    cluster.spawn_all();
    cluster.wait_ready();
    cluster.create_topic(BIG, 1, 1, &[]);
    cluster.create_topic(SMALL, 1, 1, &[]);
    cluster.produce(SMALL, 0, ["before"]);
    let n_acked = fill(&mut cluster, BIG);
    assert!(is_full(&cluster, 1));

    // Reads, metadata and restarts go on.
    assert_eq!(cluster.read_all(BIG, 0).len(), n_acked);
    assert_eq!(
        try_produce(&mut cluster, SMALL),
        ErrorCode::KafkaStorageError
    );
    cluster.create_topic("made-on-a-full-disk", 1, 1, &[]);
    for _ in 0..2 {
        cluster.kill9(1);
        cluster.node_mut(1).spawn();
        cluster.node(1).wait_ready(seconds(90));
        for topic in [BIG, SMALL] {
            cluster.wait_for_leaders(topic);
        }
        assert_eq!(cluster.read_all(BIG, 0).len(), n_acked);
        assert_eq!(
            try_produce(&mut cluster, SMALL),
            ErrorCode::KafkaStorageError
        );
    }
    assert!(
        n_lines(&cluster, 1, "the disk is full") <= 4,
        "once a process"
    );

    delete(&mut cluster, BIG);
    wait_for(
        "records to be taken again",
        seconds(20),
        || match try_produce(&mut cluster, SMALL) {
            ErrorCode::None => Ok(()),
            refusal => Err(format!("{refusal:?}")),
        },
    );
    assert!(!is_full(&cluster, 1));
    let read = cluster.read_all(SMALL, 0);
    assert_eq!((read.len(), read[0].as_slice()), (2, b"before".as_slice()));
}

#[test]
fn a_follower_whose_disk_is_full_says_so_once_and_catches_up_later() {
    let mut settings = SETTINGS.to_vec();
    settings.push(("replica.lag.time.max.ms", "1000"));
    let mut cluster = Cluster::prepare(3, &settings);
    let data_dir = cluster.node(3).data_dir();
    let Some(_disk) = Disk::mount(&data_dir, DISK_MEBIBYTES) else {
        return;
    };
    cluster.spawn_all();
    cluster.wait_ready();
    // What fills the disk goes to all three; only the third has so little room.
    let big = led_elsewhere(&mut cluster, BIG, 3);
    let small = led_elsewhere(&mut cluster, SMALL, 3);
    wait_for("the follower's disk to be full", seconds(120), || {
        if is_full(&cluster, 3) {
            return Ok(());
        }
        Err(format!("{:?}", try_produce(&mut cluster, &big)))
    });
    for _ in 0..20 {
        cluster.produce(&small, 0, ["while one is full"]);
    }
    assert!(cluster.node_mut(3).is_running());
    let n_told = n_lines(&cluster, 3, "the disk is full") + n_lines(&cluster, 3, "not taken");
    assert!(n_told <= 6, "{n_told} lines");

    delete(&mut cluster, &big);
    cluster.wait_for_isr(&small, 3, seconds(60));
    assert_eq!(cluster.read_all(&small, 0).len(), 20);
    assert_copies_are_equal(&mut cluster, &small, 0);
}
