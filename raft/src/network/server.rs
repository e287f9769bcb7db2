//! The accepting end: one task per connection, one per request in flight.
//!
//! Invariants: accepted connections and requests in flight of each are bounded; a connection is
//! served only after a handshake that names this cluster (or none yet) and this disk; the
//! application hears of every connection's end exactly once.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderError, TransferLeaderRequest,
    VoteRequest, VoteResponse,
};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};

use crate::codec::{self, CodecError};
use crate::membership;
use crate::network::frame::{self, FRAME_BYTES_MAX, Frame};
use crate::network::receiving::Receiving;
use crate::network::rpc::{
    AppendOutcomeV1, AppendV1, Hello, MAGIC, PROTOCOL_VERSION, Request, Response, SnapshotChunkV1,
    StateV1, TransferOutcomeV1, TransferV1, VoteOutcomeV1, VoteRequestV1, Welcome,
};
use crate::node::{Knock, Node};
use crate::peer::{ConnectionId, PeerCall, PeerHandler, PeerId};
use crate::stored::{EntryV1, LogIdV1, VoteV1};
use crate::types::{Snapshot, TypeConfig};

const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(5);
const HANDSHAKE_BYTES_MAX: usize = 4096;
/// Requests of one connection answered at a time; more wait in the socket.
const IN_FLIGHT_MAX: usize = 256;
/// After a failed accept (too many open files), others get a chance to close theirs.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, Error)]
pub(crate) enum ServeError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Codec(#[from] CodecError),
    #[error("no handshake in time")]
    Silent,
    #[error("refused: {0}")]
    Refused(String),
}

pub(crate) struct Server {
    node: Arc<Node>,
    receiving: Receiving,
    next_connection: AtomicU64,
    /// Open connections of each peer.
    open: Mutex<BTreeMap<PeerId, usize>>,
    /// Told which peer's last connection went.
    lost: mpsc::Sender<PeerId>,
}

impl Server {
    pub(crate) fn new(node: Arc<Node>, lost: mpsc::Sender<PeerId>) -> Self {
        Self {
            node,
            receiving: Receiving::default(),
            next_connection: AtomicU64::new(ConnectionId::LOCAL.0 + 1),
            open: Mutex::default(),
            lost,
        }
    }

    pub(crate) async fn run(self, listener: TcpListener) {
        let server = Arc::new(self);
        let places = Arc::new(Semaphore::new(server.node.config.peer_connections_max));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let serving = server.clone().until_it_ends(stream, place);
                    server.node.tasks.spawn(serving);
                }
                Err(error) => {
                    tracing::warn!(%error, "peer listener cannot accept");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn until_it_ends(self: Arc<Self>, stream: TcpStream, place: OwnedSemaphorePermit) {
        let peer = stream.peer_addr().ok();
        if let Err(error) = self.connection(stream).await {
            tracing::debug!(?peer, %error, "peer connection ended");
        }
        drop(place);
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) -> Result<(), ServeError> {
        stream.set_nodelay(true)?;
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::new(read);
        let from = match timeout(HANDSHAKE_PATIENCE, self.welcome(&mut read, &mut write)).await {
            Ok(from) => from?,
            Err(_) => return Err(ServeError::Silent),
        };
        let connection = ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed));
        let _open = Open::new(self.clone(), connection, from);
        let (answers, outgoing) = mpsc::channel(IN_FLIGHT_MAX);
        tokio::select! {
            ended = self.clone().serve(read, connection, from, answers) => ended,
            ended = write_answers(write, outgoing) => ended,
        }
    }

    async fn welcome(
        &self,
        read: &mut BufReader<OwnedReadHalf>,
        write: &mut OwnedWriteHalf,
    ) -> Result<PeerId, ServeError> {
        let hello = frame::read(read, HANDSHAKE_BYTES_MAX).await?;
        let hello = hello.ok_or(io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let hello: Hello = codec::decode(&hello.body)?;
        let refusal = self.refusal(&hello);
        let welcome = match refusal.clone() {
            Some(reason) => Welcome::Refused { reason },
            None => Welcome::Accepted {
                id: self.node.id(),
                cluster_id: self.node.cluster_id(),
            },
        };
        let welcome = codec::encode(&welcome)?;
        if let Some(frame) = frame::encode(0, &welcome) {
            write.write_all(&frame).await?;
        }
        match refusal {
            Some(reason) => Err(ServeError::Refused(reason)),
            None => Ok(hello.from),
        }
    }

    fn refusal(&self, hello: &Hello) -> Option<String> {
        if hello.magic != MAGIC {
            return Some("not a drave peer".to_owned());
        }
        if hello.version != PROTOCOL_VERSION {
            let theirs = hello.version;
            return Some(format!(
                "peer protocol {theirs} is not {PROTOCOL_VERSION}: upgrade the older node"
            ));
        }
        if let (None, Some(theirs)) = (self.node.cluster_id(), &hello.cluster_id) {
            *self.node.knocked.lock() = Some(Knock {
                from: hello.from,
                cluster_id: theirs.clone(),
                at: (self.node.now)(),
            });
        }
        if let (Some(ours), Some(theirs)) = (self.node.cluster_id(), &hello.cluster_id)
            && ours != *theirs
        {
            return Some(format!(
                "this node belongs to cluster {ours}, the caller to cluster {theirs}: start one of them with the bootstrap servers of its own cluster, or with an empty data directory"
            ));
        }
        match hello.to {
            Some(to) if to != self.node.raft_id() => Some(format!(
                "this is {}, not the node with directory {to:016x}",
                self.node.id()
            )),
            Some(_) | None => None,
        }
    }

    async fn serve(
        self: Arc<Self>,
        mut read: BufReader<OwnedReadHalf>,
        connection: ConnectionId,
        from: PeerId,
        answers: mpsc::Sender<Bytes>,
    ) -> Result<(), ServeError> {
        let places = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
        while let Some(Frame { id, body }) = frame::read(&mut read, FRAME_BYTES_MAX).await? {
            let request: Request = codec::decode(&body)?;
            let Ok(place) = places.clone().acquire_owned().await else {
                return Ok(());
            };
            let server = self.clone();
            let answers = answers.clone();
            // A task of its own: an answer that takes long holds up no other, and a request that
            // was begun is finished even if its connection goes.
            self.node.tasks.spawn(async move {
                let response = server.answer(connection, from, request).await;
                if let Ok(body) = codec::encode(&response)
                    && let Some(frame) = frame::encode(id, &body)
                {
                    // The connection may be gone by now.
                    drop(answers.send(frame).await);
                }
                drop(place);
            });
        }
        Ok(())
    }

    async fn answer(&self, connection: ConnectionId, from: PeerId, request: Request) -> Response {
        let node = &self.node;
        match request {
            Request::Append(it) => self.append(it).await,
            Request::Vote(it) => match node.raft.vote(vote_request(&it)).await {
                Ok(outcome) => vote_outcome(&outcome),
                Err(error) => failed(&error),
            },
            Request::PreVote(it) => match node.raft.pre_vote(vote_request(&it)).await {
                Ok(outcome) => vote_outcome(&outcome),
                Err(error) => failed(&error),
            },
            Request::TransferLeader(it) => self.transfer(&it).await,
            Request::SnapshotChunk(it) => self.snapshot_chunk(from, it).await,
            Request::State => Response::State(StateV1 {
                peer: node.me(),
                cluster_id: node.cluster_id(),
                empty: !node.raft.is_initialized().await.unwrap_or(true),
            }),
            Request::Join(it) => membership::join(node, it).await,
            Request::ToLeader(_) if !node.is_leader() => Response::NotLeader {
                leader: node.leader(),
            },
            Request::Application(request) | Request::ToLeader(request) => {
                let call = PeerCall {
                    connection,
                    from,
                    request,
                };
                Response::Application(node.handler.call(call).await)
            }
        }
    }

    async fn append(&self, request: AppendV1) -> Response {
        let entries = request.entries.into_iter().map(EntryV1::into_entry);
        let entries = match entries.collect() {
            Ok(entries) => entries,
            Err(error) => return failed(&error),
        };
        let rpc = AppendEntriesRequest {
            vote: request.vote.to_vote(),
            prev_log_id: request.previous.map(LogIdV1::to_log_id),
            entries,
            leader_commit: request.committed.map(LogIdV1::to_log_id),
        };
        let outcome = match self.node.raft.append_entries(rpc).await {
            Ok(AppendEntriesResponse::Success) => AppendOutcomeV1::Success,
            Ok(AppendEntriesResponse::PartialSuccess(upto)) => {
                AppendOutcomeV1::PartialSuccess(upto.as_ref().map(LogIdV1::of))
            }
            Ok(AppendEntriesResponse::Conflict) => AppendOutcomeV1::Conflict,
            Ok(AppendEntriesResponse::HigherVote(vote)) => {
                return Response::Append(AppendOutcomeV1::HigherVote(VoteV1::of(&vote)));
            }
            Err(error) => return failed(&error),
        };
        // Only a vote that was accepted is a leader's.
        *self.node.heard.lock() = Some((self.node.now)());
        Response::Append(outcome)
    }

    async fn transfer(&self, request: &TransferV1) -> Response {
        let rpc = TransferLeaderRequest::new(
            request.vote.to_vote(),
            request.to,
            request.last.map(LogIdV1::to_log_id),
        );
        let outcome = match self.node.raft.handle_transfer_leader(rpc).await {
            Ok(Ok(())) => TransferOutcomeV1::Accepted,
            Ok(Err(TransferLeaderError::VoteChanged { expected, actual })) => {
                TransferOutcomeV1::VoteChanged {
                    expected: VoteV1::of(&expected),
                    actual: VoteV1::of(&actual),
                }
            }
            Ok(Err(TransferLeaderError::LogNotFlushed { expected, actual })) => {
                TransferOutcomeV1::LogNotFlushed {
                    expected: expected.as_ref().map(LogIdV1::of),
                    actual: actual.as_ref().map(LogIdV1::of),
                }
            }
            Err(error) => return failed(&error),
        };
        Response::TransferLeader(outcome)
    }

    async fn snapshot_chunk(&self, from: PeerId, chunk: SnapshotChunkV1) -> Response {
        let vote = chunk.vote.to_vote();
        let (applied, snapshot) = match self.receiving.take(from, &chunk) {
            Ok(Some(whole)) => whole,
            Ok(None) => return Response::ChunkTaken,
            Err(error) => return failed(&error),
        };
        let meta = match applied.to_meta() {
            Ok(meta) => meta,
            Err(error) => return failed(&error),
        };
        let snapshot = Snapshot { meta, snapshot };
        match self.node.raft.install_full_snapshot(vote, snapshot).await {
            Ok(outcome) => Response::Snapshot {
                vote: VoteV1::of(&outcome.vote),
            },
            Err(error) => failed(&error),
        }
    }
}

async fn write_answers(
    mut write: OwnedWriteHalf,
    mut answers: mpsc::Receiver<Bytes>,
) -> Result<(), ServeError> {
    while let Some(frame) = answers.recv().await {
        write.write_all(&frame).await?;
    }
    Ok(())
}

fn vote_request(it: &VoteRequestV1) -> VoteRequest<TypeConfig> {
    VoteRequest {
        vote: it.vote.to_vote(),
        last_log_id: it.last.map(LogIdV1::to_log_id),
        leadership_transfer: it.leadership_transfer,
    }
}

fn vote_outcome(it: &VoteResponse<TypeConfig>) -> Response {
    Response::Vote(VoteOutcomeV1 {
        vote: VoteV1::of(&it.vote),
        granted: it.vote_granted,
        last: it.last_log_id.as_ref().map(LogIdV1::of),
    })
}

fn failed(error: &dyn std::error::Error) -> Response {
    Response::Failed {
        reason: error.to_string(),
    }
}

/// Counts a connection while it is open; its end is told even when its task is dropped.
struct Open {
    server: Arc<Server>,
    connection: ConnectionId,
    from: PeerId,
}

impl Open {
    fn new(server: Arc<Server>, connection: ConnectionId, from: PeerId) -> Self {
        *server.open.lock().entry(from).or_default() += 1;
        Self {
            server,
            connection,
            from,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = self.server.open.lock();
        let left = open.get_mut(&self.from).map_or(0, |count| {
            *count -= 1;
            *count
        });
        if left == 0 {
            open.remove(&self.from);
        }
        drop(open);
        if left == 0 {
            self.server.receiving.forget(self.from);
            // Full only when many peers went at once; the election timeout covers the rest.
            self.server.lost.try_send(self.from).ok();
        }
        let handler: &Arc<dyn PeerHandler> = &self.server.node.handler;
        handler.closed(self.connection);
    }
}
