//! A connection against a scripted broker on a real socket.

use std::time::Duration;

use bytes::Bytes;
use drave_protocol::api::APIS;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::frame::{FrameDecoder, encode_response};
use drave_protocol::header::{RequestHeader, ResponseHeader};
use drave_protocol::limits;
use drave_protocol::message::Message;
use drave_protocol::schema::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use drave_protocol::schema::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use drave_protocol::wire::Reader;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::error::ClientError;
use crate::network::connection::Connection;

const PATIENCE: Duration = Duration::from_secs(10);

/// The broker's end of the connection.
struct Broker {
    stream: TcpStream,
    frames: FrameDecoder,
}

impl Broker {
    async fn accept(listener: &TcpListener) -> Self {
        Self {
            stream: listener.accept().await.unwrap().0,
            frames: FrameDecoder::for_requests(limits::REQUEST_BYTES_MAX),
        }
    }

    async fn request(&mut self) -> Option<(RequestHeader, Reader)> {
        loop {
            if let Some(frame) = self.frames.next_frame().unwrap() {
                let mut reader = Reader::new(frame);
                return Some((RequestHeader::decode(&mut reader).unwrap(), reader));
            }
            if self.stream.read_buf(self.frames.space()).await.unwrap() == 0 {
                return None;
            }
        }
    }

    async fn send(&mut self, frame: Bytes) {
        self.stream.write_all(&frame).await.unwrap();
    }

    async fn shake_hands(&mut self) {
        let (header, _) = self.request().await.unwrap();
        self.send(versions(&header, header.api_version, ErrorCode::None))
            .await;
    }

    async fn answer_metadata(&mut self, header: &RequestHeader, cluster_id: &str) {
        let response = MetadataResponse {
            cluster_id: Some(cluster_id.to_owned()),
            ..MetadataResponse::default()
        };
        let to = ResponseHeader {
            correlation_id: header.correlation_id,
        };
        let frame = encode_response::<MetadataRequest>(to, header.api_version, &response);
        self.send(frame.unwrap()).await;
    }
}

fn versions(header: &RequestHeader, version: i16, code: ErrorCode) -> Bytes {
    let api = |it: &drave_protocol::api::Api| ApiVersion {
        api_key: it.key.number(),
        min_version: it.versions.0,
        max_version: it.versions.1,
    };
    let response = ApiVersionsResponse {
        error_code: code.number(),
        api_keys: APIS.iter().map(api).collect(),
        ..ApiVersionsResponse::default()
    };
    let to = ResponseHeader {
        correlation_id: header.correlation_id,
    };
    encode_response::<ApiVersionsRequest>(to, version, &response).unwrap()
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

async fn connect(address: &str) -> Result<Connection, ClientError> {
    Connection::connect(address, "test", PATIENCE).await
}

#[tokio::test]
async fn requests_are_pipelined_and_answered_in_order() {
    let (listener, address) = listener().await;
    let mut broker = JoinSet::new();
    broker.spawn(async move {
        let mut broker = Broker::accept(&listener).await;
        broker.shake_hands().await;
        let (first, _) = broker.request().await.unwrap();
        let (second, _) = broker.request().await.unwrap();
        assert_eq!(first.client_id.as_deref(), Some("test"));
        broker.answer_metadata(&first, "first").await;
        broker.answer_metadata(&second, "second").await;
    });
    let connection = connect(&address).await.unwrap();
    let request = MetadataRequest::default();
    let (first, second) = tokio::join!(
        connection.send(&request, PATIENCE),
        connection.send(&request, PATIENCE)
    );
    assert_eq!(first.unwrap().cluster_id.as_deref(), Some("first"));
    assert_eq!(second.unwrap().cluster_id.as_deref(), Some("second"));
    broker.join_all().await;
}

#[tokio::test]
async fn a_broker_that_knows_only_version_0_of_api_versions_is_asked_again() {
    let (listener, address) = listener().await;
    let mut broker = JoinSet::new();
    broker.spawn(async move {
        let mut broker = Broker::accept(&listener).await;
        let (first, _) = broker.request().await.unwrap();
        assert_eq!(first.api_version, 3);
        broker
            .send(versions(&first, 0, ErrorCode::UnsupportedVersion))
            .await;
        let (second, _) = broker.request().await.unwrap();
        assert_eq!(second.api_version, 0);
        broker.send(versions(&second, 0, ErrorCode::None)).await;
        let (third, mut body) = broker.request().await.unwrap();
        MetadataRequest::decode(&mut body, third.api_version).unwrap();
        broker.answer_metadata(&third, "old").await;
    });
    let connection = connect(&address).await.unwrap();
    let answer = connection.send(&MetadataRequest::default(), PATIENCE).await;
    assert_eq!(answer.unwrap().cluster_id.as_deref(), Some("old"));
    broker.join_all().await;
}

#[tokio::test]
async fn an_answer_nobody_asked_for_ends_the_connection() {
    let (listener, address) = listener().await;
    let mut broker = JoinSet::new();
    broker.spawn(async move {
        let mut broker = Broker::accept(&listener).await;
        broker.shake_hands().await;
        let (mut header, _) = broker.request().await.unwrap();
        header.correlation_id += 7;
        broker.answer_metadata(&header, "stray").await;
        while broker.request().await.is_some() {}
    });
    let connection = connect(&address).await.unwrap();
    let answer = connection.send(&MetadataRequest::default(), PATIENCE).await;
    let error = answer.unwrap_err();
    assert!(
        matches!(&error, ClientError::Closed { reason, .. } if reason.contains("was due")),
        "{error}"
    );
    assert!(connection.is_closed());
    drop(connection);
    broker.join_all().await;
}

#[tokio::test]
async fn a_request_without_an_answer_times_out_and_the_connection_with_it() {
    let (listener, address) = listener().await;
    let mut broker = JoinSet::new();
    broker.spawn(async move {
        let mut broker = Broker::accept(&listener).await;
        broker.shake_hands().await;
        while broker.request().await.is_some() {}
    });
    let connection = connect(&address).await.unwrap();
    let soon = Duration::from_millis(20);
    let answer = connection.send(&MetadataRequest::default(), soon).await;
    assert!(matches!(answer, Err(ClientError::Timeout { .. })));
    let answer = connection.send(&MetadataRequest::default(), PATIENCE).await;
    assert!(matches!(answer, Err(ClientError::Closed { .. })));
    broker.join_all().await;
}

#[tokio::test]
async fn a_refused_dial_names_the_address() {
    let (listener, address) = listener().await;
    drop(listener);
    let error = connect(&address).await.unwrap_err();
    assert!(error.to_string().contains(&address), "{error}");
    assert!(error.is_retriable());
}

#[tokio::test]
async fn what_the_socket_does_not_take_at_once_follows_whole_and_in_order() {
    let (listener, address) = listener().await;
    let (told, mut ready) = tokio::sync::mpsc::channel(1);
    let mut broker = JoinSet::new();
    broker.spawn(async move {
        let mut broker = Broker::accept(&listener).await;
        broker.shake_hands().await;
        // Reads only when more was posted than the socket's buffers hold.
        ready.recv().await.unwrap();
        for _ in 0..N_LARGE {
            let (header, mut body) = broker.request().await.unwrap();
            let request = MetadataRequest::decode(&mut body, header.api_version).unwrap();
            assert_eq!(request.topics, large_request().topics);
            broker
                .answer_metadata(&header, &header.correlation_id.to_string())
                .await;
        }
    });
    let connection = connect(&address).await.unwrap();
    let mut posted = Vec::new();
    for _ in 0..N_LARGE {
        posted.push(connection.post(&large_request()).await.unwrap());
    }
    told.send(()).await.unwrap();
    for (i, posted) in posted.into_iter().enumerate() {
        let answer = connection.answer(posted, PATIENCE).await.unwrap();
        // The first was that of the handshake.
        assert_eq!(answer.cluster_id, Some((i + 1).to_string()));
    }
    broker.join_all().await;
}

/// More than a socket's buffers hold, and fewer than may be under way.
const N_LARGE: usize = 40;

fn large_request() -> MetadataRequest {
    let topic = |i: i32| MetadataRequestTopic {
        name: Some(format!("{i:0>200}")),
        ..MetadataRequestTopic::default()
    };
    MetadataRequest {
        topics: Some((0..4_000).map(topic).collect()),
        ..MetadataRequest::default()
    }
}
