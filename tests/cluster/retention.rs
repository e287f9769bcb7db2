//! Old records leave all replicas, and what is left is whole.

use drave_protocol::error_code::ErrorCode;
use serde_json::Value;

use crate::support::client::{self, EARLIEST};
use crate::support::cluster::Cluster;
use crate::support::segments::assert_copies_are_equal;
use crate::support::wait::{seconds, wait_for};

const SETTINGS: [(&str, &str); 1] = [("log.retention.check.interval.ms", "100")];
const QUARTER_MIB: usize = 1 << 18;

/// Log start offset of a node's replica, as it says itself.
fn start_of(cluster: &Cluster, node: i32, topic: &str) -> Option<i64> {
    let answer = cluster.node(node).get("/v1/replicas").ok()?.json();
    let replicas = answer.get("replicas")?.as_array()?.clone();
    let found = replicas.iter().find(|it| it["topic"] == topic)?;
    found.get("log_start_offset").and_then(Value::as_i64)
}

fn wait_for_start(cluster: &Cluster, topic: &str, expected: i64) {
    wait_for("every replica to start there", seconds(20), || {
        let nodes = cluster.ids().into_iter();
        let starts: Vec<_> = nodes.map(|it| start_of(cluster, it, topic)).collect();
        if starts.iter().all(|it| *it == Some(expected)) {
            Ok(())
        } else {
            Err(format!("{starts:?}, not {expected}"))
        }
    });
}

#[test]
fn a_topic_keeps_as_many_bytes_as_it_was_told_on_every_replica() {
    const TOPIC: &str = "short";
    let mut cluster = Cluster::start_with(3, &SETTINGS);
    let configs = [
        ("segment.bytes", "1048576"),
        ("retention.bytes", "2097152"),
        ("retention.ms", "-1"),
    ];
    cluster.create_topic(TOPIC, 1, 3, &configs);
    let filling = "x".repeat(QUARTER_MIB);
    for n in 0..32 {
        assert_eq!(cluster.produce(TOPIC, 0, [format!("{n:04}{filling}")]), n);
    }
    // Three of these records fill a segment, and eight of them are 2 MiB.
    wait_for_start(&cluster, TOPIC, 24);
    let mut wire = cluster.leader_wire(TOPIC, 0);
    let first = client::list_offset(&mut wire, TOPIC, 0, EARLIEST).expect("an answer");
    assert_eq!(first.offset, 24);
    let mut next = 24;
    while next < 32 {
        let data = client::fetch(&mut wire, TOPIC, 0, next).expect("the leader answers");
        assert_eq!(client::code(data.error_code), ErrorCode::None);
        for (offset, value) in client::values_of(&data.records.expect("records")) {
            assert_eq!(offset, next);
            assert!(value.starts_with(format!("{next:04}x").as_bytes()));
            next += 1;
        }
    }
    let below = client::fetch(&mut wire, TOPIC, 0, 23).expect("the leader answers");
    assert_eq!(client::code(below.error_code), ErrorCode::OffsetOutOfRange);
    assert_copies_are_equal(&mut cluster, TOPIC, 0);
}

#[test]
fn a_topic_nobody_writes_to_empties_and_goes_on_where_it_ended() {
    const TOPIC: &str = "fleeting";
    let mut cluster = Cluster::start_with(3, &SETTINGS);
    cluster.create_topic(TOPIC, 1, 3, &[("retention.ms", "1000")]);
    for n in 0..10 {
        assert_eq!(cluster.produce(TOPIC, 0, ["gone soon"]), n);
    }
    wait_for_start(&cluster, TOPIC, 10);
    assert_eq!(cluster.high_watermark(TOPIC, 0), 10);
    for id in cluster.ids() {
        cluster.kill9(id);
    }
    cluster.spawn_all();
    cluster.wait_ready();
    assert_eq!(cluster.produce(TOPIC, 0, ["a new one"]), 10);
}
