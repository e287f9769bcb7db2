//! The shapes of the JSON answers: what people, scripts and the command line may rely on.
//!
//! Names are `snake_case`, numbers are numbers, absent is `null`, and a field once here keeps its
//! name and meaning. 64-bit identities (directory ids) are text: JavaScript would round them.

use std::collections::BTreeMap;

use drave_protocol::ids::{
    BrokerEpoch, LeaderEpoch, MetadataOffset, NodeId, Offset, PartitionEpoch,
};
use serde::{Deserialize, Serialize};

use crate::coordinator::group::{GroupMemberStatus, GroupStatus};
use crate::replica::status::{LogDirStatus, ReplicaRole, ReplicaStatus};

/// Where an answer comes from, and how much it can be trusted to be the newest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The node that answers.
    pub node: NodeId,
    /// The raft log index this node's picture of the cluster reflects.
    pub metadata_offset: MetadataOffset,
    /// Whether this node is in touch with a majority of the voters. Without it, what follows is the
    /// last that was agreed as far as this node heard.
    pub quorum: bool,
    pub no_quorum: Option<NoQuorum>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoQuorum {
    /// Milliseconds since the Unix epoch.
    pub since_ms: i64,
    pub for_ms: u64,
    pub reason: String,
}

/// A node that had to be asked for this answer, and could not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unanswered {
    pub node: NodeId,
    pub reason: String,
}

/// `/v1/cluster`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterAnswer {
    #[serde(flatten)]
    pub seen: Seen,
    pub cluster_id: Option<String>,
    /// The active controller: the leader of the metadata quorum.
    pub controller: Option<NodeId>,
    pub term: u64,
    pub committed_index: MetadataOffset,
    pub applied_index: MetadataOffset,
    pub voters: Vec<MemberAnswer>,
    pub learners: Vec<MemberAnswer>,
    pub nodes: Vec<NodeAnswer>,
    pub counts: Counts,
    pub unanswered: Vec<Unanswered>,
}

/// A member of the metadata quorum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberAnswer {
    pub node: NodeId,
    /// 16 hexadecimal digits: the disk the node runs on.
    pub directory: String,
    /// `host:port` of the controller listener.
    pub address: String,
    /// The log index known to be stored there; only the leader knows it.
    pub matched_index: Option<MetadataOffset>,
}

/// A node of the cluster: registered broker, member of the quorum, or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAnswer {
    pub node: NodeId,
    pub roles: Vec<NodeRole>,
    /// Whether it is the active controller.
    pub is_controller: bool,
    /// Whether it answers right now; `null` where nothing is known to connect to.
    pub alive: Option<bool>,
    /// Whether the controller hides it from clients; `null` unless it is a registered broker.
    pub fenced: Option<bool>,
    pub shutting_down: Option<bool>,
    /// Whether an operator wants it empty.
    pub drained: Option<bool>,
    pub broker_epoch: Option<BrokerEpoch>,
    pub listeners: Vec<ListenerAnswer>,
    pub controller_address: Option<String>,
    pub http_address: Option<String>,
    pub rack: Option<String>,
    /// Partitions it leads.
    pub leaders: usize,
    /// Replicas assigned to it.
    pub replicas: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeRole {
    /// Registered: stores and serves records.
    Broker,
    /// A voter of the metadata quorum.
    Controller,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerAnswer {
    pub name: String,
    pub host: String,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub brokers: usize,
    /// Brokers not fenced.
    pub live_brokers: usize,
    pub topics: usize,
    pub partitions: usize,
    /// Partitions without a leader.
    pub offline_partitions: usize,
    /// Partitions with fewer replicas in sync than assigned.
    pub under_replicated_partitions: usize,
    /// Partitions that refuse `acks=all` for want of replicas in sync.
    pub under_min_isr_partitions: usize,
}

/// `/v1/brokers`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokersAnswer {
    #[serde(flatten)]
    pub seen: Seen,
    pub brokers: Vec<BrokerAnswer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerAnswer {
    pub node: NodeId,
    pub fenced: bool,
    pub shutting_down: bool,
    pub drained: bool,
    pub broker_epoch: BrokerEpoch,
    /// Drawn anew by each process.
    pub incarnation: String,
    pub directory: String,
    pub listeners: Vec<ListenerAnswer>,
    pub controller_address: String,
    pub http_address: Option<String>,
    pub rack: Option<String>,
    pub leaders: usize,
    /// Partitions whose preferred leader it is.
    pub preferred_leaders: usize,
    pub replicas: usize,
    /// Replicas assigned to it that are not in the ISR.
    pub out_of_sync_replicas: usize,
}

/// `/v1/topics`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicsAnswer {
    #[serde(flatten)]
    pub seen: Seen,
    pub topics: Vec<TopicSummary>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicSummary {
    pub name: String,
    pub topic_id: String,
    /// Written by drave itself: the name begins with `__`.
    pub internal: bool,
    pub partition_count: usize,
    /// Of the partition with the most replicas.
    pub replication_factor: usize,
    pub min_insync_replicas: i32,
    pub offline_partitions: usize,
    pub under_replicated_partitions: usize,
    pub under_min_isr_partitions: usize,
}

/// `/v1/topics/{name}`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicAnswer {
    #[serde(flatten)]
    pub seen: Seen,
    #[serde(flatten)]
    pub topic: TopicSummary,
    /// What was set on the topic itself.
    pub configs: BTreeMap<String, String>,
    pub partitions: Vec<PartitionAnswer>,
    pub unanswered: Vec<Unanswered>,
}

#[allow(
    clippy::struct_excessive_bools,
    reason = "independent facts, each one a field of the JSON"
)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionAnswer {
    pub partition: i32,
    pub leader: Option<NodeId>,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    /// In order of preference.
    pub replicas: Vec<NodeId>,
    /// Of the replicas, those a reassignment brings.
    pub adding_replicas: Vec<NodeId>,
    /// Of the replicas, those that leave when it is complete.
    pub removing_replicas: Vec<NodeId>,
    pub isr: Vec<NodeId>,
    pub elr: Vec<NodeId>,
    /// Replicas their broker said it cannot use.
    pub offline_replicas: Vec<NodeId>,
    pub offline: bool,
    pub under_replicated: bool,
    pub under_min_isr: bool,
    /// Whether the leader was elected from outside the ISR and has not yet settled.
    pub recovering: bool,
    /// The leader's; `null` when it could not be asked.
    pub high_watermark: Option<Offset>,
    /// One for each of `replicas`, in their order.
    pub replica_states: Vec<ReplicaAnswer>,
}

/// What one replica says of itself. All offsets are `null` when its node could not be asked, or has
/// no such replica (then `role` is `null` too).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaAnswer {
    pub node: NodeId,
    pub in_sync: bool,
    /// Whether the node could be asked; see `unanswered`.
    pub answered: bool,
    pub role: Option<ReplicaRole>,
    pub leader_epoch: Option<LeaderEpoch>,
    pub log_start_offset: Option<Offset>,
    /// The LEO.
    pub log_end_offset: Option<Offset>,
    /// The HW as this replica knows it.
    pub high_watermark: Option<Offset>,
    /// Below it everything is on that node's disk.
    pub recovery_point: Option<Offset>,
    pub size_bytes: Option<u64>,
    /// Records of the leader's log that are not here yet.
    pub lag: Option<i64>,
    /// The LEO of this follower as the leader last saw it; told by the leader.
    pub log_end_offset_at_leader: Option<Offset>,
    /// Why the replica is offline, if it is.
    pub offline: Option<String>,
    /// Why its log cannot be compacted, if it cannot: it only grows until that node starts again.
    #[serde(default)]
    pub uncleanable: Option<String>,
}

/// `/v1/raft`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaftAnswer {
    #[serde(flatten)]
    pub seen: Seen,
    pub cluster_id: Option<String>,
    /// The disk this node runs on.
    pub directory: String,
    pub role: RaftRole,
    pub term: u64,
    pub leader: Option<MemberAnswer>,
    pub voters: Vec<MemberAnswer>,
    pub learners: Vec<MemberAnswer>,
    /// The last entry in this node's log, committed or not.
    pub last_log_index: MetadataOffset,
    pub committed_index: MetadataOffset,
    pub applied_index: MetadataOffset,
    /// The index the newest snapshot reaches.
    pub snapshot_index: MetadataOffset,
    /// Why this node cannot go on, if so.
    pub fatal: Option<String>,
    /// Why the cluster does not let this node in, while it does not.
    pub join_refused: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RaftRole {
    /// Belongs to no cluster yet.
    Unformed,
    Learner,
    Follower,
    Candidate,
    Leader,
}

/// `/v1/groups`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupsAnswer {
    #[serde(flatten)]
    pub seen: Seen,
    pub groups: Vec<GroupSummary>,
    /// Of `__consumer_offsets`: nobody can say what groups are in them.
    pub partitions_without_leader: Vec<i32>,
    pub unanswered: Vec<Unanswered>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSummary {
    pub coordinator: NodeId,
    #[serde(flatten)]
    pub status: GroupStatus,
}

/// `/v1/groups/{name}`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupAnswer {
    #[serde(flatten)]
    pub seen: Seen,
    pub coordinator: NodeId,
    #[serde(flatten)]
    pub status: GroupStatus,
    /// Of all partitions of which it is known.
    pub lag: i64,
    pub members: Vec<GroupMemberStatus>,
    pub partitions: Vec<GroupPartition>,
    pub unanswered: Vec<Unanswered>,
}

/// A partition the group committed in or was assigned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPartition {
    pub topic: String,
    pub partition: i32,
    /// Whoever has it.
    pub member: Option<String>,
    pub committed_offset: Option<i64>,
    pub high_watermark: Option<i64>,
    pub lag: Option<i64>,
    pub committed_ms: Option<i64>,
    pub metadata: Option<String>,
}

/// `/v1/replicas`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicasAnswer {
    #[serde(flatten)]
    pub seen: Seen,
    pub replicas: Vec<ReplicaStatus>,
    /// Replicas whose logs would not open.
    pub unopened: Vec<UnopenedReplica>,
    pub unanswered: Vec<Unanswered>,
}

/// `/v1/log-dirs`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogDirsAnswer {
    #[serde(flatten)]
    pub seen: Seen,
    pub log_dirs: Vec<LogDirStatus>,
    /// Logs begun anew in place of lost or damaged ones, since this process started.
    pub begun_anew: u64,
    pub unanswered: Vec<Unanswered>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnopenedReplica {
    /// `null` where the topic is not (or no longer) known.
    pub topic: Option<String>,
    pub topic_id: String,
    pub partition: i32,
    pub reason: String,
}

/// `/health/live` and `/health/ready`: 200 when `ok`, else 503.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthAnswer {
    pub node: NodeId,
    pub ok: bool,
    pub checks: Vec<Check>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub name: String,
    pub ok: bool,
    /// Why not, when not.
    pub reason: Option<String>,
}

/// Any answer that is not 200, health aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorAnswer {
    pub error: String,
    /// The route or topic that was perhaps meant.
    pub nearest: Option<String>,
}

/// `/`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexAnswer {
    pub node: NodeId,
    pub version: String,
    pub routes: Vec<RouteAnswer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteAnswer {
    pub path: String,
    pub what: String,
}
