//! What readers of committed records see of a log with transactions, one that a Kafka broker wrote.

use std::fs;
use std::path::Path;

use drave_protocol::schema::fetch::PartitionData;

use crate::broker::node_with;
use crate::support::client::{self, FETCH_BY_NAME, LATEST, fetch_request, fetched, values_of};
use crate::support::cluster::Cluster;
use crate::support::wire::Wire;

const READ_COMMITTED: i8 = 1;
/// The newest epoch in the log: who leads it next has a newer one.
const LAST_EPOCH: i32 = 2;

/// A node whose topic `t` has the log of the fixture.
fn with_kafkas_log() -> (Cluster, Wire) {
    let (mut cluster, _) = node_with(&["t"]);
    while cluster.partition("t", 0).leader_epoch < LAST_EPOCH {
        cluster.kill9(1);
        cluster.start_again(1);
    }
    cluster.kill9(1);
    let ours = cluster.node(1).data_dir().join("t-0");
    let kafkas =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("log/tests/fixtures/kafka-4/transactions-0");
    for entry in fs::read_dir(kafkas).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "partition.metadata" {
            fs::copy(entry.path(), ours.join(entry.file_name())).unwrap();
        }
    }
    cluster.start_again(1);
    assert_eq!(cluster.high_watermark("t", 0), 35);
    let wire = cluster.wire(1);
    (cluster, wire)
}

fn read(wire: &mut Wire, isolation_level: i8, offset: i64, bytes_max: i32) -> PartitionData {
    let mut request = fetch_request("t", 0, offset);
    request.isolation_level = isolation_level;
    request.topics[0].partitions[0].partition_max_bytes = bytes_max;
    fetched(wire.call(FETCH_BY_NAME, &request).unwrap())
}

fn aborted(data: &PartitionData) -> Option<Vec<(i64, i64)>> {
    let aborted = data.aborted_transactions.as_ref()?;
    let named = aborted.iter().map(|it| (it.producer_id, it.first_offset));
    Some(named.collect())
}

#[test]
fn aborted_transactions_are_named_to_readers_of_committed_records() {
    let (_cluster, mut wire) = with_kafkas_log();
    // (from, bytes at most) and the aborted transactions among what comes.
    let cases = [
        (0, 1, vec![]),
        (0, 1_000_000, vec![(6, 1)]),
        (9, 1, vec![(6, 1)]),
        (10, 1_000_000, vec![(6, 11)]),
        (20, 1_000_000, vec![(6, 21)]),
    ];
    for (from, bytes_max, expected) in cases {
        let data = read(&mut wire, READ_COMMITTED, from, bytes_max);
        assert!(
            data.records.as_ref().is_some_and(|it| !it.is_empty()),
            "from {from}"
        );
        assert_eq!(aborted(&data), Some(expected), "from {from}");
        let all = read(&mut wire, 0, from, bytes_max);
        assert_eq!(aborted(&all), None, "from {from}");
        assert_eq!(all.records, data.records, "from {from}");
    }
}

#[test]
fn readers_of_committed_records_stop_at_the_first_open_transaction() {
    let (_cluster, mut wire) = with_kafkas_log();
    let data = read(&mut wire, READ_COMMITTED, 28, 1_000_000);
    assert_eq!((data.high_watermark, data.last_stable_offset), (35, 30));
    let bytes = data.records.unwrap();
    let offsets: Vec<i64> = values_of(&bytes)
        .iter()
        .map(|(offset, _)| *offset)
        .collect();
    assert_eq!(offsets, [28, 29]);
    for offset in 30..=35 {
        let data = read(&mut wire, READ_COMMITTED, offset, 1_000_000);
        assert_eq!(data.error_code, 0, "at {offset}");
        assert!(data.records.is_none_or(|it| it.is_empty()), "at {offset}");
        let all = read(&mut wire, 0, offset, 1_000_000);
        assert_eq!(all.records.is_none_or(|it| it.is_empty()), offset == 35);
    }
    let latest = client::list_offset(&mut wire, "t", 0, LATEST).unwrap();
    assert_eq!(latest.offset, 35);
    let stable = client::list_committed_offset(&mut wire, "t", 0, LATEST).unwrap();
    assert_eq!(stable.offset, 30);
}
