//! The face of the crate: one handle on this node's part in the metadata quorum.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use drave_protocol::ids::MetadataOffset;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::backend::LogBackend;
use crate::config::{Deps, RaftConfig};
use crate::history::History;
use crate::history::feed::Feed;
use crate::image::MetadataImage;
use crate::leading;
use crate::membership::{self, MembershipError};
use crate::network::connection::Connection;
use crate::network::rpc::{Request, Response};
use crate::node::Node;
use crate::open::{OpenError, open};
use crate::peer::{CallError, Peer, PeerHandler, PeerId, Probe};
use crate::propose::{ProposeError, propose};
use crate::record::MetadataRecord;
use crate::status::{Leadership, QuorumStatus, leads_for_sure, quorum_status};
use crate::subscription::MetadataSubscription;
use crate::tasks;

const BACKOFF_MIN: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_millis(200);

/// This node's part in the metadata quorum; clones are handles on the same part. When the last one
/// goes without `shutdown`, the part ends as if its process had been killed.
#[derive(Clone, Debug)]
pub struct MetadataRaft {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) node: Arc<Node>,
    pub(crate) backend: Arc<dyn LogBackend>,
    pub(crate) feed: Feed,
    pub(crate) history: History,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The tasks hold the node, which holds the tasks: ending them frees both.
        self.node.tasks.abort();
        let raft = self.node.raft.clone();
        tasks::detached(async move { drop(raft.shutdown().await) });
    }
}

/// A long-lived connection of one's own; closes when dropped.
#[derive(Debug)]
pub struct PeerConnection {
    connection: Connection,
}

impl MetadataRaft {
    /// Recovers from disk, starts the quorum member and its peer listener; then forms or joins in
    /// the background.
    pub async fn open(
        config: RaftConfig,
        deps: Deps,
        handler: Arc<dyn PeerHandler>,
    ) -> Result<Self, OpenError> {
        let inner = Arc::new(open(config, deps, handler).await?);
        Ok(Self { inner })
    }

    pub fn image(&self) -> Arc<MetadataImage> {
        self.inner.node.machine.image()
    }

    pub fn subscribe(&self) -> MetadataSubscription {
        self.inner.node.machine.subscribe()
    }

    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.node.leadership.subscribe()
    }

    /// Agrees on `records` as one batch, if this node leads in `term`; returns once applied here.
    pub async fn propose(
        &self,
        term: u64,
        records: Vec<MetadataRecord>,
    ) -> Result<MetadataOffset, ProposeError> {
        propose(&self.inner.node, term, records).await
    }

    /// Asks the leader's handler, wherever it is; retries inside the deadline, so the handler may
    /// meet a request twice.
    pub async fn call_leader(&self, request: Bytes, deadline: Instant) -> Result<Bytes, CallError> {
        let node = &self.inner.node;
        let mut backoff = BACKOFF_MIN;
        let mut hint = None;
        let mut last = CallError::NoLeader;
        loop {
            // An old leader may be silent for as long as the deadline; a new one ends the wait.
            let asked = tokio::select! {
                asked = self.ask_leader(&mut hint, &request, deadline) => asked,
                () = self.another_leader() => continue,
            };
            match asked {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => {}
                Err(error) => last = error,
            }
            let pause = node.jitter(backoff);
            if node.left(deadline) <= pause {
                return Err(last);
            }
            let mut leadership = node.leadership.subscribe();
            // A new leader ends the pause.
            drop(timeout(pause, leadership.changed()).await);
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Returns when somebody else than now is known to lead.
    async fn another_leader(&self) {
        let mut leadership = self.inner.node.leadership.subscribe();
        let now = leadership.borrow().leader.clone();
        let moved = leadership.wait_for(|it| it.leader.is_some() && it.leader != now);
        if moved.await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// One attempt; follows one pointer. `None` when nobody it asked was the leader.
    async fn ask_leader(
        &self,
        hint: &mut Option<Peer>,
        request: &Bytes,
        deadline: Instant,
    ) -> Result<Option<Bytes>, CallError> {
        let node = &self.inner.node;
        let leadership = node.leadership.borrow().clone();
        if leadership.is_self {
            let answer = node.ask_own_handler(request.clone());
            return match timeout(node.left(deadline), answer).await {
                Ok(answer) => Ok(Some(answer)),
                Err(_) => Err(CallError::Timeout {
                    address: node.config.advertised_address.clone(),
                }),
            };
        }
        let known = hint.take().or(leadership.leader);
        let addresses = match known {
            Some(leader) => vec![leader.address],
            // Before this node is a member it hears of no leader; any named server knows.
            None => node.config.bootstrap.addresses(),
        };
        let to_leader = Request::ToLeader(request.clone());
        let mut failed = None;
        for address in addresses {
            if address == node.config.advertised_address {
                continue;
            }
            match node
                .links
                .address(&address)
                .call(&to_leader, deadline)
                .await
            {
                Ok(Response::Application(answer)) => return Ok(Some(answer)),
                Ok(Response::NotLeader { leader }) => {
                    if leader.as_ref().is_some_and(|it| it.address != address) {
                        *hint = leader;
                        break;
                    }
                }
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        }
        if let Some(leader) = hint.take() {
            let link = node.links.address(&leader.address);
            if let Response::Application(answer) = link.call(&to_leader, deadline).await? {
                return Ok(Some(answer));
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(None),
        }
    }

    /// A connection of the caller's own, for requests that must not share one.
    pub async fn connect(
        &self,
        address: &str,
        deadline: Instant,
    ) -> Result<PeerConnection, CallError> {
        let dialer = self.inner.node.links.dialer();
        let connection = dialer.connect(address, None, deadline).await?;
        Ok(PeerConnection { connection })
    }

    /// Asks the handler of the node at `address`, over a pooled connection.
    pub async fn call(
        &self,
        address: &str,
        request: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, CallError> {
        let link = self.inner.node.links.address(address);
        let response = link.call(&Request::Application(request), deadline).await?;
        application(address, response)
    }

    /// What a fresh TCP connect to `address` meets.
    pub async fn probe(&self, address: &str, timeout: Duration) -> Probe {
        self.inner.node.links.dialer().probe(address, timeout).await
    }

    /// As `probe`, and `Alive` only if the process there also says who it is.
    pub async fn greet(&self, address: &str, patience: Duration) -> Probe {
        let node = &self.inner.node;
        let deadline = (node.now)() + patience;
        let met = self.probe(address, patience).await;
        if met != Probe::Alive {
            return met;
        }
        match node.links.dialer().connect(address, None, deadline).await {
            // One that refuses us lives too.
            Ok(_) | Err(CallError::Refused { .. }) => Probe::Alive,
            Err(CallError::Unreachable { .. } | CallError::Closed { .. }) => Probe::Refused,
            Err(
                CallError::Timeout { .. }
                | CallError::NoLeader
                | CallError::TooLarge(_)
                | CallError::Stopped,
            ) => Probe::Silent,
        }
    }

    /// Whether the image reached `offset` before the deadline.
    pub async fn wait_applied(&self, offset: MetadataOffset, deadline: Instant) -> bool {
        let mut applied = self.inner.node.machine.applied();
        let left = self.inner.node.left(deadline);
        matches!(
            timeout(left, applied.wait_for(|reached| *reached >= offset)).await,
            Ok(Ok(_))
        )
    }

    /// Whether this node leads and a majority said so lately enough that nobody else can yet. What a
    /// leader says without asking anybody holds only then.
    pub fn leads_for_sure(&self) -> bool {
        leads_for_sure(&self.inner.node)
    }

    pub fn status(&self) -> QuorumStatus {
        quorum_status(&self.inner.node)
    }

    /// Lets a node in without a vote. Leader only, like every change of membership.
    pub async fn add_learner(&self, peer: PeerId, address: &str) -> Result<(), MembershipError> {
        let address = address.to_owned();
        membership::add_learner(&self.inner.node, &Peer { id: peer, address }).await
    }

    /// Makes a learner a voter.
    pub async fn promote(&self, peer: PeerId) -> Result<(), MembershipError> {
        membership::promote(&self.inner.node, peer).await
    }

    /// Makes `peer` a voter, and first a member at its address where it is none.
    pub async fn add_voter(&self, peer: &Peer) -> Result<(), MembershipError> {
        membership::add_voter(&self.inner.node, peer).await
    }

    /// Takes the vote of a member, and its membership too where it does not answer. When that is this
    /// very node it hands its leadership over and answers `NotLeader`: who leads next must be asked.
    pub async fn remove(&self, peer: PeerId) -> Result<(), MembershipError> {
        membership::remove(&self.inner.node, peer).await
    }

    /// Asks the leader, if this is it, to hand over; who leads then, `leadership` tells.
    pub async fn transfer_leadership(&self, to: PeerId) -> Result<(), MembershipError> {
        let node = &self.inner.node;
        if !node.is_leader() {
            return Err(MembershipError::NotLeader);
        }
        let voters = node.metrics().membership_config;
        if !voters.voter_ids().any(|id| id == to.directory.0) {
            return Err(MembershipError::UnknownMember(to));
        }
        let trigger = node.raft.trigger();
        trigger
            .transfer_leader(to.directory.0)
            .await
            .map_err(|error| MembershipError::Failed(error.to_string()))
    }

    pub fn history(&self) -> &History {
        &self.inner.history
    }

    /// Ends this part in order: leadership handed over, no more requests, raft stopped, everything
    /// submitted durable, a last checkpoint for a quick start.
    pub async fn shutdown(&self) {
        let Inner {
            node,
            backend,
            feed,
            history: _,
        } = self.inner.as_ref();
        leading::hand_over(node).await;
        node.tasks.stop().await;
        if let Err(error) = node.raft.shutdown().await {
            tracing::warn!(%error, "metadata quorum did not stop in order");
        }
        let (applied, image) = node.machine.checkpoint();
        feed.close(applied, image).await;
        let backend = backend.clone();
        drop(tasks::blocking(move || backend.close()).await);
    }
}

impl PeerConnection {
    pub async fn call(&self, request: Bytes, deadline: Instant) -> Result<Bytes, CallError> {
        let request = Request::Application(request);
        let response = self.connection.call(&request, deadline).await?;
        application(self.connection.address(), response)
    }

    /// Returns when the connection is gone.
    pub async fn closed(&self) {
        self.connection.closed().await;
    }
}

fn application(address: &str, response: Response) -> Result<Bytes, CallError> {
    if let Response::Application(answer) = response {
        return Ok(answer);
    }
    Err(CallError::Closed {
        address: address.to_owned(),
        cause: format!("unexpected answer {response:?}"),
    })
}
