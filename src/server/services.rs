//! What the handlers of one node may ask; handed to each of them piece by piece in `dispatch`.

use std::sync::Arc;

use drave_protocol::ids::NodeId;
use drave_raft::Leadership;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::cluster::ControllerLink;
use crate::cluster::Metadata;
use crate::cluster::ProducerIds;
use crate::config::BrokerConfig;
use crate::coordinator::GroupCoordinator;
use crate::replica::Replicas;
pub use crate::server::handlers::data::fetch::FetchSessions;
use crate::server::quotas::ClientQuotas;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

/// Cheap to clone: handles only.
#[derive(Clone, Debug)]
pub struct Services {
    pub config: Arc<BrokerConfig>,
    pub clock: Clock,
    pub tasks: Tasks,
    pub metadata: Metadata,
    pub controller: ControllerLink,
    pub producer_ids: ProducerIds,
    /// Who is the active controller.
    pub leadership: watch::Receiver<Leadership>,
    pub replicas: Replicas,
    pub groups: GroupCoordinator,
    pub metrics: Metrics,
    pub fetch_sessions: FetchSessions,
    pub quotas: ClientQuotas,
}

impl Services {
    /// The node whose decisions count now, as far as this one knows.
    pub(crate) fn active_controller(&self) -> Option<NodeId> {
        self.leadership
            .borrow()
            .leader
            .as_ref()
            .map(|it| it.id.node)
    }
}
