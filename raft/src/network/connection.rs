//! The dialing end of one connection: many calls at a time, each with its own deadline.
//!
//! Invariants: frames are written whole by the connection's own task, so a call may be dropped at
//! any await; every call in flight is answered or told that the connection is gone; the socket
//! closes when the last handle goes.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::codec;
use crate::network::frame::{self, FRAME_BYTES_MAX};
use crate::network::rpc::{Hello, MAGIC, PROTOCOL_VERSION, Request, Response, Welcome};
use crate::peer::{CallError, PeerId, Probe};
use crate::tasks::Tasks;

/// Frames waiting for the socket; a caller beyond that waits, within its deadline.
const OUTGOING_FRAMES_MAX: usize = 64;

/// An address that swallows packets must not use up a long deadline: there may be others to ask.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);

/// What a connection needs to know about this node, to introduce it.
#[derive(Clone)]
pub(crate) struct Dialer {
    pub(crate) from: PeerId,
    pub(crate) cluster_id: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    pub(crate) now: Arc<dyn Fn() -> Instant + Send + Sync>,
    pub(crate) tasks: Tasks,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialer({})", self.from)
    }
}

#[derive(Debug)]
pub(crate) struct Connection {
    address: String,
    outgoing: mpsc::Sender<Bytes>,
    waiting: Waiting,
    closed: watch::Receiver<Option<String>>,
    next_id: AtomicU64,
    now: DebugNow,
}

type Waiting = Arc<Mutex<BTreeMap<u64, oneshot::Sender<Response>>>>;

struct DebugNow(Arc<dyn Fn() -> Instant + Send + Sync>);

impl fmt::Debug for DebugNow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("now")
    }
}

impl Dialer {
    pub(crate) fn left(&self, deadline: Instant) -> Duration {
        deadline.saturating_duration_since((self.now)())
    }

    pub(crate) async fn connect(
        &self,
        address: &str,
        to: Option<u64>,
        deadline: Instant,
    ) -> Result<Connection, CallError> {
        let patience = self.left(deadline).min(CONNECT_PATIENCE);
        match timeout(patience, self.introduce(address, to)).await {
            Ok(connected) => connected,
            Err(_) => Err(CallError::Timeout {
                address: address.to_owned(),
            }),
        }
    }

    async fn introduce(&self, address: &str, to: Option<u64>) -> Result<Connection, CallError> {
        let unreachable = |cause: &dyn fmt::Display| CallError::Unreachable {
            address: address.to_owned(),
            cause: cause.to_string(),
        };
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| unreachable(&error))?;
        stream
            .set_nodelay(true)
            .map_err(|error| unreachable(&error))?;
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::new(read);
        let hello = Hello {
            magic: MAGIC,
            version: PROTOCOL_VERSION,
            cluster_id: (self.cluster_id)(),
            from: self.from,
            to,
        };
        let hello = codec::encode(&hello).map_err(|error| unreachable(&error))?;
        let hello = frame::encode(0, &hello).ok_or_else(|| unreachable(&"hello too large"))?;
        write
            .write_all(&hello)
            .await
            .map_err(|error| unreachable(&error))?;
        let welcome = frame::read(&mut read, FRAME_BYTES_MAX)
            .await
            .map_err(|error| unreachable(&error))?
            .ok_or_else(|| unreachable(&"closed instead of a welcome"))?;
        let welcome: Welcome = codec::decode(&welcome.body).map_err(|error| unreachable(&error))?;
        match welcome {
            Welcome::Refused { reason } => Err(CallError::Refused {
                address: address.to_owned(),
                reason,
            }),
            Welcome::Accepted { .. } => Ok(self.start(address, read, write)),
        }
    }

    fn start(
        &self,
        address: &str,
        read: BufReader<OwnedReadHalf>,
        write: OwnedWriteHalf,
    ) -> Connection {
        let (outgoing, frames) = mpsc::channel(OUTGOING_FRAMES_MAX);
        let (close, closed) = watch::channel(None);
        let waiting = Waiting::default();
        let answers = waiting.clone();
        self.tasks.spawn(async move {
            // Whichever half ends first ends both: the stream is dropped here.
            let cause = tokio::select! {
                cause = read_answers(read, &answers) => cause,
                cause = write_frames(write, frames) => cause,
            };
            close.send_replace(Some(cause));
            // Dropping the senders tells every call in flight.
            answers.lock().clear();
        });
        Connection {
            address: address.to_owned(),
            outgoing,
            waiting,
            closed,
            next_id: AtomicU64::new(1),
            now: DebugNow(self.now.clone()),
        }
    }

    pub(crate) async fn probe(&self, address: &str, patience: Duration) -> Probe {
        match timeout(patience, TcpStream::connect(address)).await {
            Ok(Ok(_)) => Probe::Alive,
            Ok(Err(error))
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
                ) =>
            {
                Probe::Refused
            }
            Ok(Err(_)) | Err(_) => Probe::Silent,
        }
    }
}

async fn read_answers(mut read: BufReader<OwnedReadHalf>, waiting: &Waiting) -> String {
    loop {
        let frame = match frame::read(&mut read, FRAME_BYTES_MAX).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return "closed by the other end".to_owned(),
            Err(error) => return error.to_string(),
        };
        let answer = match codec::decode::<Response>(&frame.body) {
            Ok(answer) => answer,
            Err(error) => return error.to_string(),
        };
        let caller = waiting.lock().remove(&frame.id);
        if let Some(caller) = caller {
            // The caller may have given up meanwhile.
            drop(caller.send(answer));
        }
    }
}

async fn write_frames(mut write: OwnedWriteHalf, mut frames: mpsc::Receiver<Bytes>) -> String {
    while let Some(frame) = frames.recv().await {
        if let Err(error) = write.write_all(&frame).await {
            return error.to_string();
        }
    }
    "closed here".to_owned()
}

impl Connection {
    /// Cancellation: safe; an answer that comes later is dropped.
    pub(crate) async fn call(
        &self,
        request: &Request,
        deadline: Instant,
    ) -> Result<Response, CallError> {
        let body = codec::encode(request).map_err(|error| self.lost(error.to_string()))?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let frame = frame::encode(id, &body).ok_or(CallError::TooLarge(body.len()))?;
        let (caller, answered) = oneshot::channel();
        let ticket = Ticket {
            id,
            waiting: &self.waiting,
        };
        self.waiting.lock().insert(id, caller);
        let exchange = async {
            if self.outgoing.send(frame).await.is_err() || self.closed.borrow().is_some() {
                return Err(self.lost(self.cause()));
            }
            answered.await.map_err(|_| self.lost(self.cause()))
        };
        let left = deadline.saturating_duration_since((self.now.0)());
        let outcome = match timeout(left, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(CallError::Timeout {
                address: self.address.clone(),
            }),
        };
        drop(ticket);
        outcome
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.borrow().is_some() || self.closed.has_changed().is_err()
    }

    pub(crate) async fn closed(&self) {
        let mut closed = self.closed.clone();
        // The sender goes with the task: also then it is closed.
        drop(closed.wait_for(Option::is_some).await);
    }

    fn cause(&self) -> String {
        let cause = self.closed.borrow().clone();
        cause.unwrap_or_else(|| "closed".to_owned())
    }

    fn lost(&self, cause: String) -> CallError {
        CallError::Closed {
            address: self.address.clone(),
            cause,
        }
    }
}

/// Forgets a call that was dropped or timed out.
struct Ticket<'a> {
    id: u64,
    waiting: &'a Waiting,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.id);
    }
}
