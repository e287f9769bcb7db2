//! What every route works with, and where an answer says it comes from.

use std::sync::Arc;

use drave_protocol::ids::NodeId;
use drave_raft::QuorumStatus;
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::cluster::metadata::Metadata;
use crate::cluster::view::ClusterView;
use crate::config::BrokerConfig;
use crate::http::answers::Seen;
use crate::http::quorum::QuorumWatch;
use crate::http::sources::Sources;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

/// Readers of this node's own replicas at once. A stalled disk can hold each of them for as long as
/// it likes, and every one held is a thread of the pool that `log/` needs too.
const LOCAL_READERS_MAX: usize = 2;

/// A cheap handle.
#[derive(Clone, Debug)]
pub struct HttpState {
    pub(super) node: NodeId,
    pub(super) config: Arc<BrokerConfig>,
    pub(super) metadata: Metadata,
    pub(super) sources: Arc<dyn Sources>,
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
    pub(super) quorum: Arc<QuorumWatch>,
    pub(super) local_readers: Arc<Semaphore>,
}

/// What the node gives.
#[derive(Debug)]
pub struct Deps {
    pub config: Arc<BrokerConfig>,
    pub metadata: Metadata,
    pub sources: Arc<dyn Sources>,
    pub metrics: Metrics,
    pub clock: Clock,
    pub tasks: Tasks,
}

impl HttpState {
    pub fn new(deps: Deps) -> Self {
        Self {
            node: deps.config.node_id,
            config: deps.config,
            metadata: deps.metadata,
            sources: deps.sources,
            metrics: deps.metrics,
            quorum: Arc::new(QuorumWatch::new(deps.clock.clone())),
            clock: deps.clock,
            tasks: deps.tasks,
            local_readers: Arc::new(Semaphore::new(LOCAL_READERS_MAX)),
        }
    }

    /// The head of an answer given from `view`.
    pub(super) fn seen(&self, view: &ClusterView, status: &QuorumStatus) -> Seen {
        let no_quorum = self.quorum.look(status);
        Seen {
            node: self.node,
            metadata_offset: view.image().offset,
            quorum: no_quorum.is_none(),
            no_quorum,
        }
    }
}
