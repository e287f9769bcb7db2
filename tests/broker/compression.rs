//! What a topic's configuration does to the batches it is sent.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::record::attributes::{Compression, TimestampType};
use drave_protocol::record::batch::{self, BatchHeader};
use drave_protocol::record::builder::BatchBuilder;
use drave_protocol::record::compression::Packing;
use drave_protocol::schema::produce::PartitionProduceResponse;

use crate::support::client::{self, ACKS_ALL, code, fetch, produce_request, produced};
use crate::support::cluster::Cluster;
use crate::support::wire::Wire;

const NOW: i64 = 1_700_000_000_000;

fn node_with(configs: &[(&str, &str)]) -> (Cluster, Wire) {
    let mut cluster = Cluster::start(1);
    cluster.create_topic("t", 1, 1, configs);
    let wire = cluster.wire(1);
    (cluster, wire)
}

fn append(wire: &mut Wire, version: i16, batch: &BatchBuilder) -> PartitionProduceResponse {
    let records = batch.build().freeze();
    let request = produce_request("t", 0, ACKS_ALL, records);
    produced(wire.call(version, &request).unwrap())
}

fn first_stored(wire: &mut Wire) -> BatchHeader {
    let stored = fetch(wire, "t", 0, 0).unwrap().records.unwrap();
    assert!(batch::verify_crc(&stored));
    BatchHeader::parse(&stored).unwrap()
}

#[test]
fn records_are_packed_anew_and_stamped_when_the_topic_says_so() {
    let (_cluster, mut wire) = node_with(&[
        ("compression.type", "zstd"),
        ("compression.zstd.level", "12"),
        ("message.timestamp.type", "LogAppendTime"),
    ]);
    let sent = BatchBuilder::new().value(7, "a").value(8, "b");
    let answer = append(&mut wire, 12, &sent);
    assert_eq!(code(answer.error_code), ErrorCode::None, "{answer:?}");
    let header = first_stored(&mut wire);
    assert_eq!(header.compression(), Some(Compression::Zstd));
    assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(header.max_timestamp, answer.log_append_time_ms);
    assert_eq!(header.records_count, 2);
}

#[test]
fn records_without_a_key_are_named_one_by_one_where_a_topic_is_compacted() {
    let (_cluster, mut wire) = node_with(&[("cleanup.policy", "compact")]);
    let sent = BatchBuilder::new()
        .packed(Packing::of(Compression::Lz4))
        .key_value(NOW, "k", "a")
        .value(NOW, "b")
        .value(NOW, "c");
    for version in [7, 8, 12] {
        let answer = append(&mut wire, version, &sent);
        assert_eq!(code(answer.error_code), ErrorCode::InvalidRecord);
        let named: Vec<i32> = answer
            .record_errors
            .iter()
            .map(|it| it.batch_index)
            .collect();
        let message = answer.error_message.unwrap_or_default();
        if version >= 8 {
            assert_eq!(named, [1, 2]);
            assert!(
                message.contains("2 records of the batch are refused"),
                "{message}"
            );
        } else {
            assert_eq!((named.len(), message.as_str()), (0, ""));
        }
    }
    let keyed = BatchBuilder::new().key_value(NOW, "k", "a");
    let answer = append(&mut wire, 12, &keyed);
    assert_eq!(
        (code(answer.error_code), answer.base_offset),
        (ErrorCode::None, 0)
    );
}

#[test]
fn a_record_out_of_time_is_named() {
    let (_cluster, mut wire) = node_with(&[("message.timestamp.before.max.ms", "1000")]);
    let sent = BatchBuilder::new()
        .value(-1, "no time")
        .value(NOW, "of 2023");
    let answer = append(&mut wire, 12, &sent);
    assert_eq!(code(answer.error_code), ErrorCode::InvalidTimestamp);
    assert_eq!(answer.record_errors.len(), 1);
    assert_eq!(answer.record_errors[0].batch_index, 1);
}

#[test]
fn a_time_is_found_inside_a_compressed_batch() {
    let (_cluster, mut wire) = node_with(&[]);
    let mut sent = BatchBuilder::new().packed(Packing::of(Compression::Snappy));
    for n in 0..50 {
        sent = sent.value(NOW + n * 10, format!("value {n}"));
    }
    append(&mut wire, 12, &sent);
    let found = client::list_offset(&mut wire, "t", 0, NOW + 305).unwrap();
    assert_eq!(found.offset, 31);
}
