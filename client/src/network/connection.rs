//! One TCP connection to one broker: requests go out pipelined, responses come back in order.
//!
//! Invariants: a response whose correlation id is not the oldest outstanding one ends the connection; so
//! does a request that ran into its timeout, because what follows would be late too.
//! Cancellation: dropping a `send` abandons the answer only; a frame in the line is written whole.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use drave_protocol::api::ApiKey;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::frame::{self, FrameDecoder};
use drave_protocol::header::{RequestHeader, ResponseHeader};
use drave_protocol::limits;
use drave_protocol::message::{Message, Request};
use drave_protocol::pieces::Pieces;
use drave_protocol::schema::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use drave_protocol::schema::fetch::{FetchRequest, FetchResponse};
use drave_protocol::wire::{DecodeError, Reader};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::error::ClientError;
use crate::network::line::{Closed, Line, Waiting};
use crate::network::versions::ServedVersions;

/// An open, negotiated connection. Dropping it closes the socket.
pub struct Connection {
    address: String,
    client_id: String,
    served: ServedVersions,
    line: Arc<Line>,
    next_correlation_id: AtomicI32,
    /// Owns the two tasks; they end with it.
    _tasks: JoinSet<()>,
}

/// A request that was posted: its place behind those posted before it is taken.
#[derive(Debug)]
pub struct Posted<R> {
    version: i16,
    response: oneshot::Receiver<Bytes>,
    request: PhantomData<fn() -> R>,
}

impl Connection {
    /// Dials `address` (`host:port`) and learns which versions it serves, all within `timeout`.
    pub async fn connect(
        address: &str,
        client_id: &str,
        timeout: Duration,
    ) -> Result<Self, ClientError> {
        let dial = async {
            let failed = |error: std::io::Error| ClientError::Connect {
                address: address.to_owned(),
                reason: error.to_string(),
            };
            let stream = TcpStream::connect(address).await.map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            let mut connection = Self::start(stream, address, client_id);
            connection.served = connection.negotiate(timeout).await?;
            Ok(connection)
        };
        within(timeout, address, "connecting", dial).await
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn is_closed(&self) -> bool {
        self.line.closed_because().is_some()
    }

    /// Sends in the newest version both ends speak.
    pub async fn send<R: Request>(
        &self,
        request: &R,
        timeout: Duration,
    ) -> Result<R::Response, ClientError> {
        let version = self.newest_version::<R>()?;
        self.send_version(request, version, timeout).await
    }

    /// Sends in exactly this version.
    pub async fn send_version<R: Request>(
        &self,
        request: &R,
        version: i16,
        timeout: Duration,
    ) -> Result<R::Response, ClientError> {
        let exchange = async {
            let mut posted = self.post_version(request, version).await?;
            self.answered(&mut posted).await
        };
        self.within::<R, _>(timeout, exchange).await
    }

    /// Queues a request behind those posted before; [`Connection::answer`] waits for what comes back. So
    /// several are under way at once, and arrive in the order they were posted.
    pub async fn post<R: Request>(&self, request: &R) -> Result<Posted<R>, ClientError> {
        let version = self.newest_version::<R>()?;
        self.post_version(request, version).await
    }

    /// The answer to a request that was posted on this connection.
    pub async fn answer<R: Request>(
        &self,
        mut posted: Posted<R>,
        timeout: Duration,
    ) -> Result<R::Response, ClientError> {
        self.within::<R, _>(timeout, self.answered(&mut posted))
            .await
    }

    /// The same however long it takes: for who waits with a timer of his own.
    ///
    /// Cancellation: safe before the answer is there; ask again.
    pub async fn answered<R: Request>(
        &self,
        posted: &mut Posted<R>,
    ) -> Result<R::Response, ClientError> {
        let response = (&mut posted.response).await.map_err(|_| self.closed())?;
        self.decode::<R>(posted.version, &response)
    }

    /// Queues what is not answered: a produce with `acks=0`.
    pub async fn post_unanswered<R: Request>(&self, request: &R) -> Result<(), ClientError> {
        let version = self.newest_version::<R>()?;
        let frame = self.encode(request, version, self.next_correlation_id())?;
        let queued = self.line.post(frame, None).await;
        queued.map_err(|Closed| self.closed())
    }

    /// A fetch, long poll included: `timeout` must exceed the request's own wait.
    /// The records of the response are slices of the bytes as they were received.
    pub async fn fetch(
        &self,
        request: FetchRequest,
        timeout: Duration,
    ) -> Result<FetchResponse, ClientError> {
        self.send(&request, timeout).await
    }

    /// The newest version of `R` both ends speak.
    pub fn newest_version<R: Request>(&self) -> Result<i16, ClientError> {
        let key = R::KEY.number();
        self.served
            .newest_common(key, R::VERSIONS)
            .ok_or_else(|| ClientError::NoCommonVersion {
                address: self.address.clone(),
                api: R::KEY.name(),
                ours: range(Some(R::VERSIONS)),
                theirs: range(self.served.served(key)),
            })
    }

    fn start(stream: TcpStream, address: &str, client_id: &str) -> Self {
        let (read_half, write_half) = stream.into_split();
        let line = Arc::new(Line::new(write_half));
        let mut tasks = JoinSet::new();
        let outgoing = Arc::clone(&line);
        tasks.spawn(async move {
            let reason = outgoing.write_left_over().await;
            outgoing.close(&reason);
        });
        let incoming = Arc::clone(&line);
        tasks.spawn(async move {
            let reason = read_responses(read_half, &incoming).await;
            incoming.close(&reason);
        });
        Self {
            address: address.to_owned(),
            client_id: client_id.to_owned(),
            served: ServedVersions::default(),
            line,
            next_correlation_id: AtomicI32::new(0),
            _tasks: tasks,
        }
    }

    async fn negotiate(&self, timeout: Duration) -> Result<ServedVersions, ClientError> {
        let request = ApiVersionsRequest {
            client_software_name: "drave".to_owned(),
            client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        // A broker that does not know the version answers in version 0 and says so.
        let mut response: ApiVersionsResponse = self.send_version(&request, 3, timeout).await?;
        if ErrorCode::from_number(response.error_code) == ErrorCode::UnsupportedVersion {
            response = self.send_version(&request, 0, timeout).await?;
        }
        let code = ErrorCode::from_number(response.error_code);
        if code.is_error() {
            return Err(ClientError::Refused {
                code,
                message: None,
            });
        }
        Ok(ServedVersions::new(
            response
                .api_keys
                .iter()
                .map(|it| (it.api_key, (it.min_version, it.max_version))),
        ))
    }

    fn encode<R: Request>(
        &self,
        request: &R,
        version: i16,
        correlation_id: i32,
    ) -> Result<Pieces, ClientError> {
        let header = RequestHeader {
            api_key: R::KEY.number(),
            api_version: version,
            correlation_id,
            client_id: Some(self.client_id.clone()),
        };
        frame::encode_request_in_pieces(&header, request).map_err(|error| ClientError::Encode {
            api: R::KEY.name(),
            version,
            reason: error.to_string(),
        })
    }

    async fn post_version<R: Request>(
        &self,
        request: &R,
        version: i16,
    ) -> Result<Posted<R>, ClientError> {
        let correlation_id = self.next_correlation_id();
        let frame = self.encode(request, version, correlation_id)?;
        let (reply, response) = oneshot::channel();
        let waiting = Some(Waiting {
            correlation_id,
            reply,
        });
        let queued = self.line.post(frame, waiting).await;
        queued.map_err(|Closed| self.closed())?;
        Ok(Posted {
            version,
            response,
            request: PhantomData,
        })
    }

    fn next_correlation_id(&self) -> i32 {
        self.next_correlation_id.fetch_add(1, Ordering::Relaxed)
    }

    async fn within<R: Request, T>(
        &self,
        timeout: Duration,
        work: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        within(timeout, &self.address, R::KEY.name(), work)
            .await
            .inspect_err(|error| self.close_after(error))
    }

    fn decode<R: Request>(
        &self,
        version: i16,
        response: &Bytes,
    ) -> Result<R::Response, ClientError> {
        decode_response::<R>(version, response).map_err(|error| ClientError::Malformed {
            address: self.address.clone(),
            api: R::KEY.name(),
            version,
            reason: error.to_string(),
        })
    }

    fn closed(&self) -> ClientError {
        let reason = self.line.closed_because().unwrap_or("stopped");
        ClientError::Closed {
            address: self.address.clone(),
            reason: reason.to_owned(),
        }
    }

    /// A late answer would hold up all that follow it: better a new connection.
    fn close_after(&self, error: &ClientError) {
        if matches!(error, ClientError::Timeout { .. }) {
            self.line.close(&error.to_string());
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("address", &self.address)
            .field("closed_because", &self.line.closed_because())
            .finish_non_exhaustive()
    }
}

/// Reads until the peer closes, fails or breaks the order; says why it ended.
async fn read_responses(mut stream: OwnedReadHalf, line: &Line) -> String {
    let mut frames = FrameDecoder::for_responses(limits::RESPONSE_BYTES_MAX);
    loop {
        match frames.next_frame() {
            Ok(Some(response)) => {
                if let Err(reason) = line.deliver(response) {
                    return reason;
                }
            }
            Ok(None) => match stream.read_buf(frames.space()).await {
                Ok(0) => return "peer closed".to_owned(),
                Ok(_) => {}
                Err(error) => return error.to_string(),
            },
            Err(error) => return error.to_string(),
        }
    }
}

fn decode_response<R: Request>(version: i16, response: &Bytes) -> Result<R::Response, DecodeError> {
    let decode = |version| {
        let mut reader = Reader::new(response.clone());
        ResponseHeader::decode(&mut reader, R::KEY, version)?;
        R::Response::decode(&mut reader, version)
    };
    match decode(version) {
        // Whoever does not know our version of ApiVersions answers in version 0.
        Err(_) if R::KEY == ApiKey::ApiVersions && version > 0 => decode(0),
        decoded => decoded,
    }
}

async fn within<T>(
    timeout: Duration,
    address: &str,
    what: &str,
    work: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    tokio::time::timeout(timeout, work)
        .await
        .unwrap_or_else(|_| {
            Err(ClientError::Timeout {
                address: address.to_owned(),
                what: what.to_owned(),
                after: timeout,
            })
        })
}

fn range(versions: Option<(i16, i16)>) -> String {
    versions.map_or("none".to_owned(), |(min, max)| format!("{min}-{max}"))
}
