//! What a produce is checked for before it reaches a log, and how it is answered.

use bytes::Bytes;
use drave_protocol::api::ApiKey;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{Offset, TopicIdPartition};
use drave_protocol::message::Message;
use drave_protocol::record::attributes::Compression;
use drave_protocol::record::builder::BatchBuilder;
use drave_protocol::schema::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};

use crate::replica::Appended;
use crate::server::frame::Frame;
use crate::server::handlers::data::produce::{
    Outcome, Produce, Refusal, Topic, acks, check, respond, silence,
};
use crate::server::handlers::sample;

fn batch() -> Vec<u8> {
    BatchBuilder::new().value(0, "value").build().to_vec()
}

fn code(result: Result<impl Sized, Refusal>) -> Option<ErrorCode> {
    result.err().map(|it| it.code)
}

#[test]
fn only_one_whole_batch_of_format_2_passes() {
    let invalid = Some(ErrorCode::InvalidRecord);
    assert_eq!(code(check(13, false, &batch())), None);
    assert_eq!(code(check(13, false, b"")), invalid);
    assert_eq!(code(check(13, false, &batch()[..40])), invalid);
    assert_eq!(
        code(check(13, false, &[batch(), batch()].concat())),
        invalid
    );
    let old_format = Some(ErrorCode::UnsupportedForMessageFormat);
    for (magic, expected) in [
        (0, old_format),
        (1, old_format),
        (3, invalid),
        (0xff, invalid),
    ] {
        let mut old = batch();
        old[16] = magic;
        assert_eq!(code(check(7, false, &old)), expected, "{magic}");
    }
}

#[test]
fn codecs_need_a_name_and_clients_that_know_it_and_transactions_what_we_lack() {
    let mut zstd = batch();
    zstd[22] |= u8::try_from(Compression::Zstd.bits()).unwrap();
    assert_eq!(
        code(check(6, false, &zstd)),
        Some(ErrorCode::UnsupportedCompressionType)
    );
    assert_eq!(code(check(7, false, &zstd)), None);
    zstd[22] = 7;
    assert_eq!(
        code(check(7, false, &zstd)),
        Some(ErrorCode::UnsupportedCompressionType)
    );
    assert_eq!(
        code(check(7, true, &batch())),
        Some(ErrorCode::InvalidTxnState)
    );
}

#[test]
fn acks_are_none_one_or_all() {
    for number in [0, 1, -1] {
        assert!(acks(number).is_ok(), "{number}");
    }
    assert_eq!(code(acks(2)), Some(ErrorCode::InvalidRequiredAcks));
}

#[test]
fn records_are_taken_out_of_the_frame_in_their_order() {
    let data = |index, records: Option<&'static [u8]>| PartitionProduceData {
        index,
        records: records.map(Bytes::from_static),
    };
    let topic = |name: &str, partition_data| TopicProduceData {
        name: name.to_owned(),
        partition_data,
        ..TopicProduceData::default()
    };
    let request = ProduceRequest {
        topic_data: vec![
            topic("a", vec![data(0, Some(b"first")), data(1, None)]),
            topic("b", vec![data(0, Some(b"second"))]),
        ],
        ..ProduceRequest::default()
    };
    let mut writer = drave_protocol::wire::Writer::new();
    request.encode(&mut writer, 9).unwrap();
    let mut frame = Frame::new(writer.into_bytes_mut());
    let decoded = ProduceRequest::decode(&mut frame.reader(), 9).unwrap();
    let produce = Produce::detach(decoded, &mut frame);
    let records = |topic: usize| -> Vec<&[u8]> {
        let partitions = produce.topics[topic].partitions.iter();
        partitions.map(|(_, records)| &records[..]).collect()
    };
    assert_eq!(records(0), [&b"first"[..], b""]);
    assert_eq!(records(1), [&b"second"[..]]);
}

fn outcome(partition: i32, result: Result<Appended, Refusal>) -> (i32, Outcome) {
    let outcome = Outcome {
        partition: Some(TopicIdPartition {
            topic_id: sample::ORDERS,
            partition,
        }),
        n_bytes: 0,
        n_records: 0,
        result,
    };
    (partition, outcome)
}

fn outcomes() -> Vec<Topic<Outcome>> {
    let appended = Appended {
        base_offset: Offset(12),
        log_append_time_ms: None,
        log_start_offset: Offset(3),
        ticket: None,
    };
    let elsewhere = Refusal::new(ErrorCode::NotLeaderOrFollower, "elsewhere".to_owned());
    vec![Topic {
        name: "orders".to_owned(),
        id: sample::ORDERS,
        partitions: vec![outcome(0, Ok(appended)), outcome(1, Err(elsewhere))],
    }]
}

fn answer(version: i16) -> ProduceResponse {
    respond(
        &sample::context(ApiKey::Produce, version),
        &sample::view(),
        outcomes(),
    )
}

#[test]
fn a_refused_producer_is_told_where_the_leader_is() {
    let response = answer(13);
    let [appended, refused] = &response.responses[0].partition_responses[..] else {
        panic!("two partitions");
    };
    assert_eq!((appended.base_offset, appended.error_code), (12, 0));
    assert_eq!((refused.base_offset, refused.error_code), (-1, 6));
    let leader = &refused.current_leader;
    assert_eq!((leader.leader_id, leader.leader_epoch), (2, 4));
    let [endpoint] = &response.node_endpoints[..] else {
        panic!("one leader was named");
    };
    assert_eq!((endpoint.node_id, endpoint.host.as_str()), (2, "host2"));
}

#[test]
fn answers_have_bytes_in_every_version() {
    sample::encodes_in_every_version(ApiKey::Produce, answer);
}

#[test]
fn a_producer_that_wants_no_answer_loses_its_connection_on_an_error() {
    let refusal = silence(&outcomes()).unwrap_err().to_string();
    assert!(
        refusal.contains("orders-1: NOT_LEADER_OR_FOLLOWER"),
        "{refusal}"
    );
}
