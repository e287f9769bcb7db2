//! What a replica says of itself, for people: served over HTTP and between nodes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::partition::{Partition, Role};
use super::replicas::Replicas;

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
    /// The log directory it lies in.
    #[serde(default)]
    pub log_dir: String,
    /// Why the replica is offline, if it is.
    pub offline: Option<String>,
    /// Why its log cannot be compacted, if it cannot: it only grows until the node starts again.
    #[serde(default)]
    pub uncleanable: Option<String>,
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

/// A log directory, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogDirStatus {
    pub path: String,
    /// Unknown of one that could not be used since the node started.
    pub directory_id: Option<String>,
    /// Why it is not used, if it is not.
    pub offline: Option<String>,
    /// Bytes of its disk, and those free, where they can be told.
    #[serde(skip)]
    pub room: Option<(u64, u64)>,
    /// Whether it takes no records because its disk is full.
    #[serde(default)]
    pub full: bool,
    /// Replicas whose logs are open here.
    pub replicas: usize,
    pub offline_replicas: usize,
    pub size_bytes: u64,
    /// Replicas whose logs cannot be compacted.
    #[serde(default)]
    pub uncleanable: Vec<UncleanableReplica>,
}

/// A log that only grows until the node starts again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UncleanableReplica {
    pub topic: String,
    pub partition: i32,
    pub reason: String,
}

impl Replicas {
    pub fn log_dirs(&self) -> Vec<LogDirStatus> {
        let all = self.all();
        let statuses = self.homes().present().iter().map(|home| {
            let here = all.iter().filter(|it| Arc::ptr_eq(it.home(), home));
            let here: Vec<ReplicaStatus> = here.map(|it| it.status()).collect();
            LogDirStatus {
                path: home.path().display().to_string(),
                directory_id: Some(format!("{:016x}", home.directory().0)),
                offline: home.failure().map(str::to_owned),
                room: home.dir().room().ok().map(|it| (it.total, it.free)),
                full: home.space.is_full(),
                replicas: here.len(),
                offline_replicas: here.iter().filter(|it| it.offline.is_some()).count(),
                size_bytes: here.iter().map(|it| it.size_bytes).sum(),
                uncleanable: here.iter().filter_map(uncleanable).collect(),
            }
        });
        let absent = self.homes().absent.iter().map(|it| LogDirStatus {
            path: it.path.display().to_string(),
            directory_id: it.directory.map(|it| format!("{:016x}", it.0)),
            offline: Some(it.reason.clone()),
            room: None,
            full: false,
            replicas: 0,
            offline_replicas: 0,
            size_bytes: 0,
            uncleanable: Vec::new(),
        });
        statuses.chain(absent).collect()
    }
}

fn uncleanable(status: &ReplicaStatus) -> Option<UncleanableReplica> {
    Some(UncleanableReplica {
        topic: status.topic.clone(),
        partition: status.partition,
        reason: status.uncleanable.clone()?,
    })
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
            log_dir: self.home().path().display().to_string(),
            offline: state.failure().map(str::to_owned),
            uncleanable: state.uncleanable.clone(),
            followers,
        }
    }
}
