//! Every fact a cluster can agree on. A record carries an outcome, never a decision: replaying one
//! needs no clock, no randomness and no policy, so mixed versions cannot diverge.
//!
//! Persisted: kinds and versions are numbered in `codec.rs` and never reused. A released struct is
//! never changed; its successor is a new version beside it.

use drave_protocol::ids::{
    BrokerEpoch, DirectoryId, LeaderEpoch, NodeId, PartitionEpoch, ProducerId, TopicId,
    TopicIdPartition, Uuid,
};
use serde::{Deserialize, Serialize};

/// One agreed fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetadataRecord {
    /// The cluster's name, drawn once by the node that formed it. The first record of every log.
    Cluster(ClusterV1),
    /// A controller began its reign; commits what earlier terms left.
    ControllerActivated(ControllerActivatedV1),
    BrokerRegistered(BrokerRegisteredV1),
    BrokerFenced(BrokerFencedV1),
    BrokerUnfenced(BrokerUnfencedV1),
    BrokerShuttingDown(BrokerShuttingDownV1),
    BrokerUnregistered(BrokerUnregisteredV1),
    TopicCreated(TopicCreatedV1),
    TopicDeleted(TopicDeletedV1),
    PartitionCreated(PartitionCreatedV1),
    PartitionChanged(PartitionChangedV2),
    ConfigChanged(ConfigChangedV1),
    ReplicasWentOffline(ReplicasWentOfflineV1),
    ReplicasCameOnline(ReplicasCameOnlineV1),
    ProducerIdsAllocated(ProducerIdsAllocatedV1),
    BrokerDrained(BrokerDrainedV1),
    BrokerUndrained(BrokerUndrainedV1),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterV1 {
    pub cluster_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControllerActivatedV1 {
    pub controller: NodeId,
}

/// The broker epoch of the registration is the metadata offset at which this record is applied.
/// A broker starts fenced; an earlier incarnation's ISR memberships are ended by the
/// `PartitionChanged` records of the same batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerRegisteredV1 {
    pub broker: NodeId,
    pub incarnation: Uuid,
    pub directory: DirectoryId,
    /// Kafka listeners clients may dial; the first is the one brokers use among themselves.
    pub listeners: Vec<ListenerV1>,
    /// `host:port` of the peer protocol (Raft, heartbeats), as others dial it.
    pub controller_address: String,
    /// `host:port` of the HTTP door, if this node has one.
    pub http_address: Option<String>,
    pub rack: Option<String>,
    /// Whether the last shutdown left a clean marker carrying the previous broker epoch.
    pub clean_shutdown: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerV1 {
    pub name: String,
    pub host: String,
    pub port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerFencedV1 {
    pub broker: NodeId,
    pub broker_epoch: BrokerEpoch,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerUnfencedV1 {
    pub broker: NodeId,
    pub broker_epoch: BrokerEpoch,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerShuttingDownV1 {
    pub broker: NodeId,
    pub broker_epoch: BrokerEpoch,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerUnregisteredV1 {
    pub broker: NodeId,
    pub broker_epoch: BrokerEpoch,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicCreatedV1 {
    pub topic_id: TopicId,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicDeletedV1 {
    pub topic_id: TopicId,
}

/// Leader epoch and partition epoch start at 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionCreatedV1 {
    pub topic_id: TopicId,
    pub partition: i32,
    /// In order of preference; the first is the preferred leader.
    pub replicas: Vec<NodeId>,
    pub isr: Vec<NodeId>,
    pub leader: Option<NodeId>,
}

/// The whole new state of a partition, not a patch: nothing is left to be inferred.
/// `previous_partition_epoch` is what the decision was made on; applying asserts that it still holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionChangedV2 {
    pub topic_id: TopicId,
    pub partition: i32,
    pub previous_partition_epoch: PartitionEpoch,
    pub replicas: Vec<NodeId>,
    /// Of `replicas`, those a reassignment brings.
    pub adding_replicas: Vec<NodeId>,
    /// Of `replicas`, those that leave when it is complete.
    pub removing_replicas: Vec<NodeId>,
    pub isr: Vec<NodeId>,
    /// Eligible leader replicas (KIP-966): left the ISR while it was below min ISR.
    pub elr: Vec<NodeId>,
    pub leader: Option<NodeId>,
    pub leader_epoch: LeaderEpoch,
    pub recovery: LeaderRecovery,
}

impl PartitionChangedV2 {
    /// As earlier nodes write and read it, which know of no reassignments.
    pub(crate) fn as_v1(&self) -> Option<PartitionChangedV1> {
        let is_settled = self.adding_replicas.is_empty() && self.removing_replicas.is_empty();
        is_settled.then(|| PartitionChangedV1 {
            topic_id: self.topic_id,
            partition: self.partition,
            previous_partition_epoch: self.previous_partition_epoch,
            replicas: self.replicas.clone(),
            isr: self.isr.clone(),
            elr: self.elr.clone(),
            leader: self.leader,
            leader_epoch: self.leader_epoch,
            recovery: self.recovery,
        })
    }
}

impl From<PartitionChangedV1> for PartitionChangedV2 {
    fn from(it: PartitionChangedV1) -> Self {
        Self {
            topic_id: it.topic_id,
            partition: it.partition,
            previous_partition_epoch: it.previous_partition_epoch,
            replicas: it.replicas,
            adding_replicas: Vec::new(),
            removing_replicas: Vec::new(),
            isr: it.isr,
            elr: it.elr,
            leader: it.leader,
            leader_epoch: it.leader_epoch,
            recovery: it.recovery,
        }
    }
}

/// Before partitions could be reassigned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionChangedV1 {
    pub topic_id: TopicId,
    pub partition: i32,
    pub previous_partition_epoch: PartitionEpoch,
    pub replicas: Vec<NodeId>,
    pub isr: Vec<NodeId>,
    /// Eligible leader replicas (KIP-966): left the ISR while it was below min ISR.
    pub elr: Vec<NodeId>,
    pub leader: Option<NodeId>,
    pub leader_epoch: LeaderEpoch,
    pub recovery: LeaderRecovery,
}

/// Whether the leader was elected from outside the ISR and has not yet said it recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaderRecovery {
    Recovered,
    Recovering,
}

/// Sets one configuration entry, or with `value` `None` removes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChangedV1 {
    pub resource: ConfigResource,
    pub key: String,
    pub value: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConfigResource {
    /// By name, as Kafka does; deleting the topic removes its entries.
    Topic(String),
    Broker(NodeId),
    /// The default of every broker.
    Cluster,
    /// What a client may use.
    ClientQuota(QuotaEntity),
    /// By its id, whether or not anybody is in it.
    Group(String),
}

/// Whose quota it is: a user's, a client id's, or that of both together.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QuotaEntity {
    pub user: Option<QuotaName>,
    pub client_id: Option<QuotaName>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum QuotaName {
    /// Everybody who has none of his own; each is counted for himself.
    Default,
    Named(String),
}

/// A running broker cannot use its replicas of these partitions: a disk failed, a log is corrupt.
/// A registration begins with none; what follows for leaders and ISRs is in `PartitionChanged` records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicasWentOfflineV1 {
    pub broker: NodeId,
    pub broker_epoch: BrokerEpoch,
    pub partitions: Vec<TopicIdPartition>,
}

/// It can use them again. They may hold less than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicasCameOnlineV1 {
    pub broker: NodeId,
    pub broker_epoch: BrokerEpoch,
    pub partitions: Vec<TopicIdPartition>,
}

/// A block of producer ids belongs to a broker, for ever: what it does not hand out is lost.
/// `first` is what the decision was made on; applying asserts that nobody was given it since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerIdsAllocatedV1 {
    pub broker: NodeId,
    pub broker_epoch: BrokerEpoch,
    pub first: ProducerId,
    /// The first id behind the block: where the next one begins.
    pub next: ProducerId,
}

/// An operator wants this node empty: it leads only what nobody else can, and nothing new is placed on
/// it. Holds for the node, over restarts, until it is undrained or unregistered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerDrainedV1 {
    pub broker: NodeId,
}

/// It serves as any other again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerUndrainedV1 {
    pub broker: NodeId,
}
