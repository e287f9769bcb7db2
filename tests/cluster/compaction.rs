//! Replicas compact for themselves; whoever reads any of them knows the same in the end.

use std::collections::BTreeMap;

use drave_protocol::error_code::ErrorCode;
use drave_protocol::record::batch;
use drave_protocol::record::builder::BatchBuilder;
use drave_protocol::record::record;
use serde_json::Value;

use crate::support::client::{self, ACKS_ALL, PRODUCE_BY_NAME};
use crate::support::cluster::Cluster;
use crate::support::wait::{seconds, wait_for};

const TOPIC: &str = "latest";
const SETTINGS: [(&str, &str); 1] = [("log.cleaner.backoff.ms", "100")];
const CONFIGS: [(&str, &str); 3] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", "1048576"),
    ("min.cleanable.dirty.ratio", "0.01"),
];
const N_KEYS: usize = 20;
const VALUE_BYTES: usize = 16 * 1024;

type Values = BTreeMap<Vec<u8>, Vec<u8>>;

/// One batch with a new value for every key.
fn produce(cluster: &mut Cluster, round: usize, expected: &mut Values) {
    let mut builder = BatchBuilder::new();
    for n in 0..N_KEYS {
        let key = format!("key {n:02}").into_bytes();
        let value = format!("{round:04} {}", "x".repeat(VALUE_BYTES)).into_bytes();
        builder = builder.key_value(1_700_000_000_000, key.clone(), value.clone());
        expected.insert(key, value);
    }
    let records = builder.build().freeze();
    wait_for("an ack", seconds(30), || {
        let request = client::produce_request(TOPIC, 0, ACKS_ALL, records.clone());
        let mut wire = cluster.leader_wire(TOPIC, 0);
        let answer = wire
            .call(PRODUCE_BY_NAME, &request)
            .map_err(|error| error.to_string())?;
        match client::code(client::produced(answer).error_code) {
            ErrorCode::None => Ok(()),
            refusal => Err(format!("{refusal:?}")),
        }
    });
}

/// What a consumer of all of it knows in the end, asking the leader.
fn read(cluster: &mut Cluster) -> Values {
    let end = cluster.high_watermark(TOPIC, 0);
    let mut wire = cluster.leader_wire(TOPIC, 0);
    let mut values = Values::new();
    let mut next = 0;
    while next < end {
        let data = client::fetch(&mut wire, TOPIC, 0, next).expect("the leader answers");
        assert_eq!(client::code(data.error_code), ErrorCode::None);
        let after = take_in(&data.records.expect("records"), &mut values);
        assert!(after > next, "a fetch at {next} below {end} gets on");
        next = after;
    }
    values
}

/// What lies on a node's disk, to the end of its log.
fn on_disk(cluster: &Cluster, node: i32) -> Values {
    let folder = cluster.node(node).log_folder(TOPIC, 0);
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let paths = entries.map(|it| it.expect("an entry").path());
    let mut logs: Vec<_> = paths
        .filter(|it| it.extension().is_some_and(|it| it == "log"))
        .collect();
    logs.sort();
    let mut values = Values::new();
    for path in logs {
        take_in(&std::fs::read(path).expect("a segment"), &mut values);
    }
    values
}

/// Says where the last batch ends.
fn take_in(batches: &[u8], values: &mut Values) -> i64 {
    let mut end = -1;
    for one in batch::iter(batches) {
        let (_, header, bytes) = one.expect("whole batches");
        assert!(batch::verify_crc(bytes));
        for record in record::iter(bytes).expect("uncompressed records") {
            let record = record.expect("a whole record");
            let (key, value) = (record.key.expect("a key"), record.value.expect("a value"));
            values.insert(key.to_vec(), value.to_vec());
        }
        end = header.next_offset().0;
    }
    end
}

fn size_of(cluster: &Cluster, node: i32) -> Option<u64> {
    let answer = cluster.node(node).get("/v1/replicas").ok()?.json();
    let replicas = answer.get("replicas")?.as_array()?.clone();
    let found = replicas.iter().find(|it| it["topic"] == TOPIC)?;
    found.get("size_bytes").and_then(Value::as_u64)
}

fn wait_until_small(cluster: &Cluster, nodes: &[i32]) {
    wait_for("logs to be compacted", seconds(30), || {
        let sizes: Vec<_> = nodes.iter().map(|it| size_of(cluster, *it)).collect();
        if sizes.iter().all(|it| it.is_some_and(|it| it < 3 << 20)) {
            Ok(())
        } else {
            Err(format!("{sizes:?}"))
        }
    });
}

#[test]
fn a_follower_that_was_away_while_its_leader_compacted_catches_up() {
    let mut cluster = Cluster::start_with(3, &SETTINGS);
    cluster.create_topic(TOPIC, 1, 3, &CONFIGS);
    let mut expected = Values::new();
    for round in 0..3 {
        produce(&mut cluster, round, &mut expected);
    }
    let leader = cluster.leader_of(TOPIC, 0);
    let away = cluster.others(leader)[0];
    cluster.kill9(away);
    for round in 3..30 {
        produce(&mut cluster, round, &mut expected);
    }
    wait_until_small(&cluster, &cluster.others(away));
    assert!(read(&mut cluster) == expected, "compacted or not");
    cluster.start_again(away);
    cluster.wait_for_isr(TOPIC, 3, seconds(60));
    wait_until_small(&cluster, &cluster.ids());
    for node in cluster.ids() {
        assert!(
            on_disk(&cluster, node) == expected,
            "node {node} has other values"
        );
    }
    // What was compacted opens again, and leads.
    for node in cluster.ids() {
        cluster.kill9(node);
    }
    cluster.spawn_all();
    cluster.wait_ready();
    assert!(read(&mut cluster) == expected, "after a restart of all");
    produce(&mut cluster, 30, &mut expected);
    assert!(read(&mut cluster) == expected, "and it goes on");
}
