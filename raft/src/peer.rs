//! Peers as the rest of the node sees them: who they are, what they ask, how a call can fail.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use drave_protocol::ids::{DirectoryId, NodeId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A node together with the disk it runs on: a wiped disk is another peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerId {
    pub node: NodeId,
    pub directory: DirectoryId,
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "node {} (directory {:016x})",
            self.node, self.directory.0
        )
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    pub id: PeerId,
    /// `host:port` of its peer listener.
    pub address: String,
}

/// One accepted connection, for as long as this process lives. 0 is this node calling itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl ConnectionId {
    /// A call that never left the process.
    pub const LOCAL: Self = Self(0);
}

/// An application request that came in over the peer port.
#[derive(Clone, Debug)]
pub struct PeerCall {
    pub connection: ConnectionId,
    pub from: PeerId,
    pub request: Bytes,
}

pub type PeerAnswer = Pin<Box<dyn Future<Output = Bytes> + Send>>;

/// Answers application requests; calls of one connection may run concurrently.
pub trait PeerHandler: Send + Sync + 'static {
    fn call(&self, call: PeerCall) -> PeerAnswer;
    /// The connection is gone; called once per accepted connection, after its last call came in.
    fn closed(&self, connection: ConnectionId);
}

/// What a fresh TCP connect to an address met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Somebody listens there.
    Alive,
    /// Refused or reset at once: the host is up and the process is gone.
    Refused,
    /// Nothing came back in time: the host or the network is in trouble.
    Silent,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallError {
    #[error("no answer from {address} in time")]
    Timeout { address: String },
    /// The request may or may not have been carried out.
    #[error("connection to {address} was lost: {cause}")]
    Closed { address: String, cause: String },
    #[error("cannot connect to {address}: {cause}")]
    Unreachable { address: String, cause: String },
    /// The other end refused the handshake, and says why.
    #[error("{address} refused the connection: {reason}")]
    Refused { address: String, reason: String },
    #[error("no leader was known in time")]
    NoLeader,
    #[error("{0} bytes are more than a frame holds")]
    TooLarge(usize),
    #[error("this node is shutting down")]
    Stopped,
}
