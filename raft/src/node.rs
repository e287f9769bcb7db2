//! Everything one quorum member consists of, shared by its tasks.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use drave_protocol::ids::{DirectoryId, NodeId};
use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::config::RaftConfig;
use crate::network::links::Links;
use crate::peer::{Peer, PeerHandler, PeerId};
use crate::state_machine::StateMachine;
use crate::status::Leadership;
use crate::tasks::Tasks;
use crate::types::{Member, Metrics, Raft};

pub(crate) struct Node {
    pub(crate) config: RaftConfig,
    pub(crate) now: Arc<dyn Fn() -> Instant + Send + Sync>,
    pub(crate) wall_clock_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
    pub(crate) random_u64: Arc<dyn Fn() -> u64 + Send + Sync>,
    pub(crate) raft: Raft,
    pub(crate) machine: StateMachine,
    pub(crate) links: Links,
    pub(crate) tasks: Tasks,
    pub(crate) handler: Arc<dyn PeerHandler>,
    pub(crate) leadership: watch::Sender<Leadership>,
    /// When the leader was last heard.
    pub(crate) heard: Mutex<Option<Instant>>,
    /// The last member of some cluster that dialled this node while it belonged to none.
    pub(crate) knocked: Mutex<Option<Knock>>,
    pub(crate) join_refused: Mutex<Option<String>>,
    /// Why the last node that asked this leader to join was refused.
    pub(crate) turned_away: Mutex<Option<String>>,
    /// Held during a change of membership: openraft allows one at a time.
    pub(crate) changing: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug)]
pub(crate) struct Knock {
    pub(crate) from: PeerId,
    pub(crate) cluster_id: String,
    pub(crate) at: Instant,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.id())
    }
}

impl Node {
    pub(crate) fn id(&self) -> PeerId {
        PeerId {
            node: self.config.node,
            directory: self.config.directory,
        }
    }

    pub(crate) fn me(&self) -> Peer {
        Peer {
            id: self.id(),
            address: self.config.advertised_address.clone(),
        }
    }

    pub(crate) fn raft_id(&self) -> u64 {
        self.config.directory.0
    }

    /// A copy: a guard on the watch would hold up openraft's core.
    pub(crate) fn metrics(&self) -> Metrics {
        self.raft.metrics().borrow_watched().clone()
    }

    pub(crate) fn peer(&self, id: u64, member: &Member) -> Peer {
        Peer {
            id: PeerId {
                node: NodeId(member.node),
                directory: DirectoryId(id),
            },
            // What this node was known by before it moved is not where it is.
            address: if id == self.raft_id() {
                self.config.advertised_address.clone()
            } else {
                self.links.address_of(id, member)
            },
        }
    }

    pub(crate) fn leader(&self) -> Option<Peer> {
        self.leadership.borrow().leader.clone()
    }

    pub(crate) fn cluster_id(&self) -> Option<String> {
        self.machine.image().cluster_id.clone()
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.raft.server_metrics().borrow_watched().state == ServerState::Leader
    }

    pub(crate) fn left(&self, deadline: Instant) -> Duration {
        deadline.saturating_duration_since((self.now)())
    }

    /// Between `min` and twice that, so that nodes do not act in step.
    pub(crate) fn jitter(&self, min: Duration) -> Duration {
        let span = u64::try_from(min.as_micros()).unwrap_or(1).max(1);
        min + Duration::from_micros((self.random_u64)() % span)
    }

    /// Answers as the handler of this node does, for a caller within the process.
    pub(crate) async fn ask_own_handler(&self, request: Bytes) -> Bytes {
        let call = crate::peer::PeerCall {
            connection: crate::peer::ConnectionId::LOCAL,
            from: self.id(),
            request,
        };
        self.handler.call(call).await
    }
}
