//! Produce in all versions: what is stored, what is refused, and what is never answered.

use bytes::Bytes;
use drave_protocol::api::ApiKey;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{ProducerId, Uuid};
use drave_protocol::record::batch;
use drave_protocol::record::builder::BatchBuilder;
use drave_protocol::schema::produce::{PartitionProduceResponse, ProduceRequest};

use crate::broker::{node_with, versions};
use crate::support::client::{
    self, ACKS_ALL, PRODUCE_BY_NAME, batch_of, code, produce_request, produced,
};
use crate::support::cluster::Cluster;
use crate::support::wait::seconds;
use crate::support::wire::Wire;

fn request(cluster: &mut Cluster, version: i16, acks: i16, records: Bytes) -> ProduceRequest {
    let mut request = produce_request("t", 0, acks, records);
    if version >= 13 {
        request.topic_data[0].topic_id = cluster.topic("t").topic_id;
    }
    request
}

#[track_caller]
fn append(wire: &mut Wire, acks: i16, records: Bytes) -> PartitionProduceResponse {
    let request = produce_request("t", 0, acks, records);
    produced(wire.call(PRODUCE_BY_NAME, &request).unwrap())
}

#[test]
fn every_version_appends_and_names_the_offset_of_its_first_record() {
    let (mut cluster, mut wire) = node_with(&["t"]);
    let mut expected = Vec::new();
    for version in versions(ApiKey::Produce) {
        for acks in [1, ACKS_ALL] {
            let values = [
                format!("v{version} {acks} a"),
                format!("v{version} {acks} b"),
            ];
            let request = request(&mut cluster, version, acks, batch_of(&values));
            let answer = produced(wire.call(version, &request).unwrap());
            assert_eq!(
                code(answer.error_code),
                ErrorCode::None,
                "v{version} {answer:?}"
            );
            assert_eq!(answer.base_offset, i64::try_from(expected.len()).unwrap());
            assert_eq!(
                answer.log_append_time_ms, -1,
                "the records keep their own time"
            );
            assert_eq!(answer.log_start_offset, if version >= 5 { 0 } else { -1 });
            expected.extend(values.map(String::into_bytes));
        }
    }
    assert_eq!(cluster.read_all("t", 0), expected);
}

#[test]
fn a_topic_or_partition_that_is_not_there_is_refused() {
    let (mut cluster, mut wire) = node_with(&["t"]);
    for version in versions(ApiKey::Produce) {
        let mut wrong = request(&mut cluster, version, ACKS_ALL, batch_of(["x"]));
        wrong.topic_data[0].partition_data[0].index = 7;
        let answer = produced(wire.call(version, &wrong).unwrap());
        assert_eq!(
            code(answer.error_code),
            ErrorCode::UnknownTopicOrPartition,
            "v{version}"
        );
        assert_eq!(answer.base_offset, -1);
        wrong.topic_data[0].name = "nowhere".to_owned();
        wrong.topic_data[0].topic_id = Uuid([5; 16]);
        let answer = produced(wire.call(version, &wrong).unwrap());
        let unknown = match version {
            13 => ErrorCode::UnknownTopicId,
            _ => ErrorCode::UnknownTopicOrPartition,
        };
        assert_eq!(code(answer.error_code), unknown, "v{version}");
    }
}

#[test]
fn records_that_are_not_one_sound_batch_are_refused_and_leave_no_trace() {
    let (mut cluster, mut wire) = node_with(&["t"]);
    let good = batch_of(["good"]);
    let changed = |position: usize, to: u8| {
        let mut bytes = good.to_vec();
        bytes[position] = to;
        Bytes::from(bytes)
    };
    let rechecked = |position: usize, to: u8| {
        let mut bytes = changed(position, to).to_vec();
        let crc = batch::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        Bytes::from(bytes)
    };
    let two = [&good[..], &good[..]].concat();
    let refused = [
        (
            "damaged",
            changed(good.len() - 2, b'!'),
            ErrorCode::CorruptMessage,
        ),
        (
            "wrong checksum",
            changed(17, !good[17]),
            ErrorCode::CorruptMessage,
        ),
        (
            "magic 0",
            changed(16, 0),
            ErrorCode::UnsupportedForMessageFormat,
        ),
        (
            "magic 1",
            changed(16, 1),
            ErrorCode::UnsupportedForMessageFormat,
        ),
        ("magic 3", changed(16, 3), ErrorCode::InvalidRecord),
        ("no records at all", Bytes::new(), ErrorCode::InvalidRecord),
        (
            "half a batch",
            good.slice(..good.len() / 2),
            ErrorCode::InvalidRecord,
        ),
        (
            "a batch and more",
            Bytes::from(two),
            ErrorCode::InvalidRecord,
        ),
        (
            "a count that is wrong",
            rechecked(60, 2),
            ErrorCode::InvalidRecord,
        ),
        (
            "a last offset that is wrong",
            rechecked(26, 9),
            ErrorCode::InvalidRecord,
        ),
        (
            "a control batch",
            rechecked(22, 0x20),
            ErrorCode::InvalidRecord,
        ),
        (
            "a codec there is not",
            rechecked(22, 7),
            ErrorCode::UnsupportedCompressionType,
        ),
    ];
    for (what, records, expected) in refused {
        let answer = append(&mut wire, ACKS_ALL, records);
        assert_eq!(code(answer.error_code), expected, "{what}: {answer:?}");
        assert_eq!(answer.base_offset, -1, "{what}");
    }
    assert_eq!(
        append(&mut wire, ACKS_ALL, good).base_offset,
        0,
        "nothing of it was stored"
    );
    assert_eq!(cluster.read_all("t", 0), [b"good"]);
}

#[test]
fn a_batch_larger_than_the_topic_allows_is_refused() {
    let (mut cluster, mut wire) = node_with(&[]);
    cluster.create_topic("t", 1, 1, &[("max.message.bytes", "1000")]);
    let answer = append(&mut wire, ACKS_ALL, batch_of(["x".repeat(2000)]));
    assert_eq!(code(answer.error_code), ErrorCode::MessageTooLarge);
    let answer = append(&mut wire, ACKS_ALL, batch_of(["x".repeat(500)]));
    assert_eq!(code(answer.error_code), ErrorCode::None);
}

#[test]
fn zstd_and_unknown_acks_are_refused_where_the_protocol_does() {
    let (_cluster, mut wire) = node_with(&["t"]);
    let mut zstd = batch_of(["not really compressed"]).to_vec();
    zstd[22] = 4;
    let crc = batch::crc32c(&zstd[21..]);
    zstd[17..21].copy_from_slice(&crc.to_be_bytes());
    let request = produce_request("t", 0, ACKS_ALL, Bytes::from(zstd));
    let answer = produced(wire.call(6, &request).unwrap());
    assert_eq!(
        code(answer.error_code),
        ErrorCode::UnsupportedCompressionType
    );
    for acks in [2, -2, i16::MAX] {
        let answer = append(&mut wire, acks, batch_of(["x"]));
        assert_eq!(
            code(answer.error_code),
            ErrorCode::InvalidRequiredAcks,
            "acks {acks}"
        );
    }
}

#[test]
fn a_producer_id_nobody_was_given_is_stored_as_it_came() {
    let (_cluster, mut wire) = node_with(&["t"]);
    let records = BatchBuilder::new()
        .producer(ProducerId(4), 0, 0)
        .value(1, "x")
        .build();
    let answer = append(&mut wire, ACKS_ALL, records.freeze());
    assert_eq!(code(answer.error_code), ErrorCode::None);
}

#[test]
fn a_batch_that_comes_again_is_answered_like_the_first_time_with_any_acks() {
    let (mut cluster, mut wire) = node_with(&["t"]);
    append(&mut wire, ACKS_ALL, batch_of(["before", "it"]));
    let records = BatchBuilder::new()
        .producer(ProducerId(4), 0, 0)
        .value(1, "once")
        .build()
        .freeze();
    for acks in [1, ACKS_ALL, 1, ACKS_ALL] {
        let answer = append(&mut wire, acks, records.clone());
        assert_eq!(
            (answer.error_code, answer.base_offset),
            (0, 2),
            "acks {acks}"
        );
    }
    let request = produce_request("t", 0, 0, records);
    wire.send(PRODUCE_BY_NAME, &request).unwrap();
    let answer = append(&mut wire, ACKS_ALL, batch_of(["after"]));
    assert_eq!((answer.error_code, answer.base_offset), (0, 3));
    assert_eq!(cluster.read_all("t", 0).len(), 4);
}

#[test]
fn a_batch_that_comes_again_has_the_time_it_was_stamped_with() {
    let (mut cluster, mut wire) = node_with(&[]);
    cluster.create_topic("t", 1, 1, &[("message.timestamp.type", "LogAppendTime")]);
    let records = BatchBuilder::new()
        .producer(ProducerId(4), 0, 0)
        .value(1, "once");
    let first = append(&mut wire, ACKS_ALL, records.build().freeze());
    assert!(first.log_append_time_ms > 0, "{first:?}");
    let again = append(&mut wire, ACKS_ALL, records.build().freeze());
    assert_eq!(again, first);
}

#[test]
fn acks_0_is_stored_without_an_answer_and_hung_up_on_when_it_fails() {
    let (mut cluster, mut wire) = node_with(&["t"]);
    for n in 0..10 {
        let request = produce_request("t", 0, 0, batch_of([format!("silent {n}")]));
        wire.send(PRODUCE_BY_NAME, &request).unwrap();
    }
    // The next answer on the connection is the next request's.
    let answer = append(&mut wire, ACKS_ALL, batch_of(["loud"]));
    assert_eq!((answer.error_code, answer.base_offset), (0, 10));
    let values = cluster.read_all("t", 0);
    assert_eq!(values.len(), 11);
    assert_eq!(values[9], b"silent 9");

    let request = produce_request("nowhere", 0, 0, batch_of(["x"]));
    wire.send(PRODUCE_BY_NAME, &request).unwrap();
    let said = wire.read_to_hang_up(seconds(5)).unwrap();
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn acks_all_waits_for_as_many_replicas_as_the_topic_asks_and_refuses_without() {
    // Of one replica at most one can be in sync: what asks for more is held to what there is.
    let (mut cluster, mut wire) = node_with(&[]);
    cluster.create_topic("t", 1, 1, &[("min.insync.replicas", "2")]);
    let answer = append(&mut wire, ACKS_ALL, batch_of(["x"]));
    assert_eq!(code(answer.error_code), ErrorCode::None);
    let fetched = client::fetch(&mut wire, "t", 0, 0).unwrap();
    assert_eq!(fetched.high_watermark, 1, "acked is committed");
}
