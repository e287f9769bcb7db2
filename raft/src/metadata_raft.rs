//! The face of the crate.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use drave_protocol::ids::MetadataOffset;
use thiserror::Error;
use tokio::sync::watch;

use crate::config::{ConfigError, Deps, RaftConfig};
use crate::history::History;
use crate::image::MetadataImage;
use crate::peer::{CallError, PeerHandler, PeerId, Probe};
use crate::propose::ProposeError;
use crate::record::MetadataRecord;
use crate::status::{Leadership, QuorumStatus};
use crate::subscription::MetadataSubscription;

#[derive(Debug, Error)]
pub enum OpenError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What is on disk cannot be trusted; the message says which file and what to do.
    #[error("{0}")]
    Storage(String),
    #[error("metadata quorum did not start: {0}")]
    Start(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MembershipError {
    #[error("not the leader of the metadata quorum")]
    NotLeader,
    #[error("{0} is not a member")]
    UnknownMember(PeerId),
    /// The same node id is a member under another directory.
    #[error("{0}")]
    Refused(String),
    #[error("the quorum did not agree in time")]
    Timeout,
    #[error("membership change failed: {0}")]
    Failed(String),
}

/// This node's part in the metadata quorum; clones are handles on the same part.
#[derive(Clone, Debug)]
pub struct MetadataRaft {
    history: History,
    leadership: watch::Receiver<Leadership>,
}

/// A long-lived connection of one's own.
#[derive(Debug)]
pub struct PeerConnection {}

#[allow(clippy::unused_async, clippy::todo, reason = "bodies follow")]
impl MetadataRaft {
    /// Recovers from disk, starts the quorum member and its peer listener; then forms or joins in
    /// the background.
    pub async fn open(
        _config: RaftConfig,
        _deps: Deps,
        _handler: Arc<dyn PeerHandler>,
    ) -> Result<Self, OpenError> {
        todo!()
    }

    pub fn image(&self) -> Arc<MetadataImage> {
        todo!()
    }

    pub fn subscribe(&self) -> MetadataSubscription {
        todo!()
    }

    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// Agrees on `records` as one batch, if this node leads in `term`; returns once applied here.
    pub async fn propose(
        &self,
        _term: u64,
        _records: Vec<MetadataRecord>,
    ) -> Result<MetadataOffset, ProposeError> {
        todo!()
    }

    /// Asks the leader's handler, wherever it is; retries inside the deadline.
    pub async fn call_leader(
        &self,
        _request: Bytes,
        _deadline: Instant,
    ) -> Result<Bytes, CallError> {
        todo!()
    }

    pub async fn connect(
        &self,
        _address: &str,
        _deadline: Instant,
    ) -> Result<PeerConnection, CallError> {
        todo!()
    }

    pub async fn call(
        &self,
        _address: &str,
        _request: Bytes,
        _deadline: Instant,
    ) -> Result<Bytes, CallError> {
        todo!()
    }

    pub async fn probe(&self, _address: &str, _timeout: Duration) -> Probe {
        todo!()
    }

    /// Whether the image reached `offset` before the deadline.
    pub async fn wait_applied(&self, _offset: MetadataOffset, _deadline: Instant) -> bool {
        todo!()
    }

    pub fn status(&self) -> QuorumStatus {
        todo!()
    }

    pub async fn add_learner(&self, _peer: PeerId, _address: &str) -> Result<(), MembershipError> {
        todo!()
    }

    /// Makes a learner a voter.
    pub async fn promote(&self, _peer: PeerId) -> Result<(), MembershipError> {
        todo!()
    }

    /// Takes a voter or learner out for good.
    pub async fn remove(&self, _peer: PeerId) -> Result<(), MembershipError> {
        todo!()
    }

    pub async fn transfer_leadership(&self, _to: PeerId) -> Result<(), MembershipError> {
        todo!()
    }

    pub fn history(&self) -> &History {
        &self.history
    }

    pub async fn shutdown(&self) {}
}

#[allow(clippy::unused_async, clippy::todo, reason = "bodies follow")]
impl PeerConnection {
    pub async fn call(&self, _request: Bytes, _deadline: Instant) -> Result<Bytes, CallError> {
        todo!()
    }

    /// Returns when the connection is gone.
    pub async fn closed(&self) {}
}
