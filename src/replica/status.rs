//! What a replica says of itself, for people: served over HTTP and between nodes.

use serde::{Deserialize, Serialize};

use super::partition::{Partition, Role};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStatus {
    pub topic: String,
    pub topic_id: String,
    pub partition: i32,
    pub role: ReplicaRole,
    pub leader_epoch: i32,
    pub log_start_offset: i64,
    pub log_end_offset: i64,
    pub high_watermark: i64,
    /// Below it everything is on this node's disk.
    pub recovery_point: i64,
    pub size_bytes: u64,
    /// Why the replica is offline, if it is.
    pub offline: Option<String>,
    /// On the leader: how far it knows each follower to be.
    pub followers: Vec<FollowerStatus>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaRole {
    Leader,
    Follower,
    /// Opened, and not yet told by the metadata what to be.
    Idle,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowerStatus {
    pub broker: i32,
    /// Unknown until it fetched in this leader epoch.
    pub log_end_offset: Option<i64>,
}

impl Partition {
    pub(super) fn status(&self) -> ReplicaStatus {
        let state = self.lock();
        let (role, leader_epoch, followers) = match &state.role {
            Role::Idle => (ReplicaRole::Idle, -1, Vec::new()),
            Role::Follower { leader_epoch, .. } => {
                (ReplicaRole::Follower, leader_epoch.0, Vec::new())
            }
            Role::Leader(leader) => {
                let known = leader
                    .followers()
                    .iter()
                    .map(|(broker, progress)| FollowerStatus {
                        broker: broker.0,
                        log_end_offset: progress.log_end_offset.map(|it| it.0),
                    });
                (
                    ReplicaRole::Leader,
                    leader.leader_epoch().0,
                    known.collect(),
                )
            }
        };
        ReplicaStatus {
            topic: self.name().topic.clone(),
            topic_id: self.id().topic_id.to_string(),
            partition: self.id().partition,
            role,
            leader_epoch,
            log_start_offset: state.log.log_start_offset().0,
            log_end_offset: state.log.log_end_offset().0,
            high_watermark: state.high_watermark().0,
            recovery_point: state.log.recovery_point().0,
            size_bytes: state.log.size_bytes(),
            offline: state.failure().map(str::to_owned),
            followers,
        }
    }
}
