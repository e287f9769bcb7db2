//! Where answers come from besides the agreed image: what is alive in this node, and its peers.
//!
//! The one seam of this door: tests answer for it, the node puts its live parts behind it.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use drave_protocol::ids::TopicIdPartition;
use drave_raft::{MetadataRaft, Probe, QuorumStatus};

use crate::cluster::LivenessHandle;
use crate::cluster::registration::BrokerStanding;
use crate::coordinator::group::{GroupDescription, GroupStatus};
use crate::coordinator::{self, GroupCoordinator};
use crate::replica::replicas::Replicas;
use crate::replica::status::{LogDirStatus, ReplicaStatus};

pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

pub trait Sources: fmt::Debug + Send + Sync + 'static {
    fn quorum(&self) -> QuorumStatus;

    /// This node's own replicas. May wait for locks that are held across disk writes.
    fn replicas(&self) -> Vec<ReplicaStatus>;

    /// Replicas of this node whose logs would not open, and why.
    fn unopened(&self) -> BTreeMap<TopicIdPartition, String>;

    /// This node's log directories. May wait as `replicas` may.
    fn log_dirs(&self) -> Vec<LogDirStatus>;

    /// Logs begun anew in place of lost or damaged ones, since this process started.
    fn n_begun_anew(&self) -> u64;

    /// How much of groups is coordinated here.
    fn groups(&self) -> coordinator::Load;

    /// The groups coordinated here; an error says why nobody can tell.
    fn groups_here(&self) -> Answer<'_, Result<Vec<GroupStatus>, String>>;

    /// One of them; `None`: there is no such group.
    fn group_here<'a>(
        &'a self,
        group: &'a str,
    ) -> Answer<'a, Result<Option<GroupDescription>, String>>;

    /// How this broker stands with the controller.
    fn standing(&self) -> BrokerStanding;

    /// Whether this broker may act for the partitions it leads.
    fn lease_is_held(&self, now: Instant) -> bool;

    /// Asks the node that answers at `address`; an error says why it did not.
    fn call<'a>(
        &'a self,
        address: &'a str,
        request: Bytes,
        deadline: Instant,
    ) -> Answer<'a, Result<Bytes, String>>;

    /// Whether a node answers at `address`. That its kernel accepts connections is not enough: so does
    /// that of a process that hangs.
    fn probe<'a>(&'a self, address: &'a str, patience: Duration) -> Answer<'a, Probe>;
}

/// The live parts of a node.
#[derive(Clone, Debug)]
pub struct Live {
    pub raft: MetadataRaft,
    /// Absent on a pure controller.
    pub broker: Option<LiveBroker>,
}

#[derive(Clone, Debug)]
pub struct LiveBroker {
    pub liveness: LivenessHandle,
    pub replicas: Replicas,
    pub groups: GroupCoordinator,
}

impl Sources for Live {
    fn quorum(&self) -> QuorumStatus {
        self.raft.status()
    }

    fn replicas(&self) -> Vec<ReplicaStatus> {
        let broker = self.broker.as_ref();
        broker.map(|it| it.replicas.describe()).unwrap_or_default()
    }

    fn unopened(&self) -> BTreeMap<TopicIdPartition, String> {
        let broker = self.broker.as_ref();
        broker.map(|it| it.replicas.unopened()).unwrap_or_default()
    }

    fn log_dirs(&self) -> Vec<LogDirStatus> {
        let broker = self.broker.as_ref();
        broker.map(|it| it.replicas.log_dirs()).unwrap_or_default()
    }

    fn n_begun_anew(&self) -> u64 {
        let broker = self.broker.as_ref();
        broker
            .map(|it| it.replicas.n_begun_anew())
            .unwrap_or_default()
    }

    fn groups(&self) -> coordinator::Load {
        let broker = self.broker.as_ref();
        broker.map(|it| it.groups.load()).unwrap_or_default()
    }

    fn groups_here(&self) -> Answer<'_, Result<Vec<GroupStatus>, String>> {
        Box::pin(async move {
            let Some(broker) = &self.broker else {
                return Ok(Vec::new());
            };
            let groups = broker.groups.statuses().await;
            groups.map_err(|error| error.to_string())
        })
    }

    fn group_here<'a>(
        &'a self,
        group: &'a str,
    ) -> Answer<'a, Result<Option<GroupDescription>, String>> {
        Box::pin(async move {
            let Some(broker) = &self.broker else {
                return Ok(None);
            };
            let group = broker.groups.describe(group).await;
            group.map_err(|error| error.to_string())
        })
    }

    fn standing(&self) -> BrokerStanding {
        let broker = self.broker.as_ref();
        broker.map(|it| it.liveness.standing()).unwrap_or_default()
    }

    fn lease_is_held(&self, now: Instant) -> bool {
        let broker = self.broker.as_ref();
        broker.is_some_and(|it| it.liveness.lease().is_held(now))
    }

    fn call<'a>(
        &'a self,
        address: &'a str,
        request: Bytes,
        deadline: Instant,
    ) -> Answer<'a, Result<Bytes, String>> {
        Box::pin(async move {
            let answer = self.raft.call(address, request, deadline).await;
            answer.map_err(|error| error.to_string())
        })
    }

    fn probe<'a>(&'a self, address: &'a str, patience: Duration) -> Answer<'a, Probe> {
        Box::pin(self.raft.greet(address, patience))
    }
}
