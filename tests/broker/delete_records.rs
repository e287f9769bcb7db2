//! DeleteRecords.

use drave_protocol::api::ApiKey;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsTopic,
};

use crate::broker::{node_with, versions};
use crate::support::client::{self, EARLIEST, code, delete_records};
use crate::support::cluster::Cluster;
use crate::support::wait::{seconds, wait_until};
use crate::support::wire::Wire;

const HIGH_WATERMARK: i64 = -1;

/// The records of these tests are years old.
const KEEP: (&str, &str) = ("retention.ms", "-1");

fn node_that_keeps(topic: &str) -> (Cluster, Wire) {
    let (mut cluster, wire) = node_with(&[]);
    cluster.create_topic(topic, 1, 1, &[KEEP]);
    (cluster, wire)
}

fn fill(wire: &mut Wire, topic: &str, n: usize) {
    for value in 0..n {
        let produced = client::produce(wire, topic, 0, [format!("{value}")]).unwrap();
        assert_eq!(produced.error_code, 0);
    }
}

fn answer(result: &DeleteRecordsPartitionResult) -> (ErrorCode, i64) {
    (code(result.error_code), result.low_watermark)
}

#[test]
fn every_version_deletes_and_tells_the_low_watermark() {
    let (_cluster, mut wire) = node_that_keeps("t");
    fill(&mut wire, "t", 20);
    for (version, before) in versions(ApiKey::DeleteRecords).zip([3, 7, 12]) {
        let request = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: "t".to_owned(),
                partitions: vec![DeleteRecordsPartition {
                    partition_index: 0,
                    offset: before,
                }],
            }],
            timeout_ms: 10_000,
        };
        let response = wire.call(version, &request).unwrap();
        let result = &response.topics[0].partitions[0];
        assert_eq!(answer(result), (ErrorCode::None, before), "v{version}");
        let earliest = client::list_offset(&mut wire, "t", 0, EARLIEST).unwrap();
        assert_eq!(earliest.offset, before);
    }
}

#[test]
fn what_is_deleted_is_out_of_range_and_the_rest_stays() {
    let (mut cluster, mut wire) = node_that_keeps("t");
    fill(&mut wire, "t", 10);
    let result = delete_records(&mut wire, "t", 0, 4).unwrap();
    assert_eq!(answer(&result), (ErrorCode::None, 4));
    let below = client::fetch(&mut wire, "t", 0, 3).unwrap();
    assert_eq!(code(below.error_code), ErrorCode::OffsetOutOfRange);
    assert_eq!(below.high_watermark, -1);
    let data = client::fetch(&mut wire, "t", 0, 4).unwrap();
    assert_eq!((data.log_start_offset, data.high_watermark), (4, 10));
    let values = client::values_of(&data.records.unwrap());
    assert_eq!(values.first(), Some(&(4, b"4".to_vec())));
    // Neither asking for less again nor a crash brings anything back.
    let result = delete_records(&mut wire, "t", 0, 2).unwrap();
    assert_eq!(answer(&result), (ErrorCode::None, 4));
    cluster.kill9(1);
    cluster.start_again(1);
    let mut wire = cluster.leader_wire("t", 0);
    let earliest = client::list_offset(&mut wire, "t", 0, EARLIEST).unwrap();
    assert_eq!(earliest.offset, 4);
    let result = delete_records(&mut wire, "t", 0, HIGH_WATERMARK).unwrap();
    assert_eq!(answer(&result), (ErrorCode::None, 10));
    let produced = client::produce(&mut wire, "t", 0, ["next"]).unwrap();
    assert_eq!((produced.base_offset, produced.log_start_offset), (10, 10));
}

#[test]
fn what_cannot_be_deleted_is_refused_with_its_reason() {
    let (mut cluster, mut wire) = node_that_keeps("t");
    cluster.create_topic("compacted", 1, 1, &[("cleanup.policy", "compact")]);
    cluster.create_topic("both", 1, 1, &[KEEP, ("cleanup.policy", "compact,delete")]);
    fill(&mut wire, "t", 5);
    let mut refusal = |topic: &str, partition, offset| {
        let result = delete_records(&mut wire, topic, partition, offset).unwrap();
        answer(&result)
    };
    let beyond = (ErrorCode::OffsetOutOfRange, -1);
    assert_eq!(refusal("t", 0, 6), beyond);
    assert_eq!(refusal("t", 0, -2), beyond);
    let unknown = (ErrorCode::UnknownTopicOrPartition, -1);
    assert_eq!(refusal("t", 1, 0), unknown);
    assert_eq!(refusal("nope", 0, 0), unknown);
    assert_eq!(refusal("compacted", 0, 0), (ErrorCode::PolicyViolation, -1));
    assert_eq!(refusal("both", 0, 0), (ErrorCode::None, 0));
    assert_eq!(refusal("t", 0, 0), (ErrorCode::None, 0));
}

#[test]
fn segments_below_the_start_leave_the_disk_soon() {
    let (mut cluster, mut wire) = node_with(&[]);
    cluster.create_topic("t", 1, 1, &[KEEP, ("segment.bytes", "1048576")]);
    let filling = "x".repeat(400_000);
    for _ in 0..9 {
        client::produce(&mut wire, "t", 0, [&filling]).unwrap();
    }
    let folder = cluster.node(1).data_dir().join("t-0");
    let n_segments = || {
        let entries = std::fs::read_dir(&folder).unwrap();
        let paths = entries.map(|it| it.unwrap().path());
        paths
            .filter(|it| it.extension().is_some_and(|it| it == "log"))
            .count()
    };
    assert!(n_segments() >= 4, "{}", n_segments());
    let result = delete_records(&mut wire, "t", 0, HIGH_WATERMARK).unwrap();
    assert_eq!(answer(&result), (ErrorCode::None, 9));
    // Retention looks every five minutes; this does not wait for it.
    wait_until("old segments to go", seconds(10), || n_segments() == 1);
}
