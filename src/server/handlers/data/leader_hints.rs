//! Where a refused client should turn (KIP-951): saves it a round trip for metadata.

use std::collections::BTreeMap;

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{LeaderEpoch, NodeId, TopicIdPartition};

use crate::cluster::ClusterView;

/// Leaders named in one answer, and their endpoints.
#[derive(Debug)]
pub(crate) struct LeaderHints<'a> {
    view: &'a ClusterView,
    listener: &'a str,
    by_node: BTreeMap<NodeId, Endpoint>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) node: NodeId,
    pub(crate) host: String,
    pub(crate) port: i32,
    pub(crate) rack: Option<String>,
}

impl<'a> LeaderHints<'a> {
    pub(crate) fn new(view: &'a ClusterView, listener: &'a str) -> Self {
        Self {
            view,
            listener,
            by_node: BTreeMap::new(),
        }
    }

    /// The leader to try after `code`, if the code says that leadership is elsewhere, and we know where.
    pub(crate) fn after(
        &mut self,
        code: ErrorCode,
        partition: TopicIdPartition,
    ) -> Option<(NodeId, LeaderEpoch)> {
        if !matches!(
            code,
            ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch
        ) {
            return None;
        }
        let state = self.view.partition(partition)?.state;
        let leader = state.leader?;
        let broker = self.view.broker(leader).filter(|it| !it.fenced)?;
        let endpoint = self.view.endpoint(leader, self.listener)?;
        let endpoint = Endpoint {
            node: leader,
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            rack: broker.rack.clone(),
        };
        self.by_node.insert(leader, endpoint);
        Some((leader, state.leader_epoch))
    }

    /// The endpoints of all leaders named.
    pub(crate) fn into_endpoints(self) -> impl Iterator<Item = Endpoint> {
        self.by_node.into_values()
    }
}
