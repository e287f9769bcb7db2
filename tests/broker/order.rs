//! Many requests on one connection: handled in the order they came, answered in that order.

use drave_protocol::api::ApiKey;
use drave_protocol::frame::encode_request;
use drave_protocol::header::ResponseHeader;
use drave_protocol::message::Message;
use drave_protocol::schema::api_versions::ApiVersionsRequest;
use drave_protocol::schema::fetch::FetchRequest;
use drave_protocol::schema::metadata::{MetadataRequest, MetadataResponse};
use drave_protocol::schema::produce::ProduceRequest;
use drave_protocol::wire::Reader;

use crate::broker::node_with;
use crate::support::client::{
    ACKS_ALL, FETCH_BY_NAME, PRODUCE_BY_NAME, batch_of, fetch_request, produce_request, produced,
};
use crate::support::hostile::framed;
use crate::support::wire::header;

#[test]
fn answers_come_in_the_order_of_their_requests_whatever_each_waits_for() {
    let (_cluster, mut wire) = node_with(&["t"]);
    // A long poll at the end of the log first: all that follows is done before it, and told after it.
    let mut poll = fetch_request("t", 0, 0);
    (poll.max_wait_ms, poll.min_bytes) = (10_000, 1);
    wire.send(FETCH_BY_NAME, &poll).unwrap();
    for n in 0..50 {
        let acks = [ACKS_ALL, 1][n % 2];
        let request = produce_request("t", 0, acks, batch_of([format!("{n}")]));
        wire.send(PRODUCE_BY_NAME, &request).unwrap();
    }
    wire.send(0, &ApiVersionsRequest::default()).unwrap();
    let polled = wire.receive::<FetchRequest>(FETCH_BY_NAME).unwrap();
    assert_eq!(polled.responses[0].partitions[0].error_code, 0);
    for n in 0..50 {
        let answer = produced(wire.receive::<ProduceRequest>(PRODUCE_BY_NAME).unwrap());
        assert_eq!((answer.error_code, answer.base_offset), (0, n));
    }
    assert_eq!(wire.receive::<ApiVersionsRequest>(0).unwrap().error_code, 0);
}

#[test]
fn bytes_after_a_request_are_ignored() {
    let (_cluster, mut wire) = node_with(&["t"]);
    let all = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    let frame = encode_request(&header(ApiKey::Metadata, 12, 5), &all).unwrap();
    // librdkafka leaves three.
    let body = [&frame[4..], &[0, 0, 0]].concat();
    wire.send_bytes(&framed(&body)).unwrap();
    let mut reader = Reader::new(wire.read_frame().unwrap());
    let answered = ResponseHeader::decode(&mut reader, ApiKey::Metadata, 12).unwrap();
    assert_eq!(answered.correlation_id, 5);
    let answer = MetadataResponse::decode(&mut reader, 12).unwrap();
    assert!(
        answer
            .topics
            .iter()
            .any(|it| it.name.as_deref() == Some("t"))
    );
}

#[test]
fn a_request_that_arrives_byte_by_byte_is_one_request() {
    let (_cluster, mut wire) = node_with(&[]);
    let request = ApiVersionsRequest::default();
    let frame = encode_request(&header(ApiKey::ApiVersions, 2, 9), &request).unwrap();
    for byte in &frame {
        wire.send_bytes(&[*byte]).unwrap();
    }
    assert_eq!(wire.receive::<ApiVersionsRequest>(2).unwrap().error_code, 0);
}
