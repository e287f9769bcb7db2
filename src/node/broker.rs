//! The broker's half of a node: log directories, registration, replicas, and the Kafka door.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drave_log::planted::{self, Fault};
use drave_protocol::ids::{BrokerEpoch, DirectoryId, MetadataOffset};
use drave_raft::MetadataRaft;
use serde::Serialize;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::cluster::metadata::Metadata;
use crate::cluster::producer_ids::{ProducerIds, Refill};
use crate::cluster::rpc::{DescribeGroups, DescribeReplicas, RegisterBroker};
use crate::cluster::{ControllerLink, Liveness, LivenessHandle};
use crate::config::{BrokerConfig, FlushMode};
use crate::controller::PeerDoor;
use crate::coordinator::{self, GroupCoordinator, GroupError};
use crate::http::sources::LiveBroker;
use crate::replica::{self, Replicas};
use crate::server::{ClientQuotas, FetchSessions, Server, Services};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

use super::log_dirs::LogDirs;
use super::open_files;
use super::{Addresses, Outside};

/// How long leaderships may take to move before the node stops anyway.
const LEAVE_WITHIN: Duration = Duration::from_secs(10);
/// Without a quorum nobody can take them: the other nodes may be stopping as well.
const LEAVE_WITHOUT_QUORUM_WITHIN: Duration = Duration::from_millis(500);

pub(super) struct Parts {
    pub(super) config: Arc<BrokerConfig>,
    pub(super) outside: Outside,
    pub(super) raft: MetadataRaft,
    pub(super) metadata: Metadata,
    pub(super) metrics: Metrics,
    pub(super) directory: DirectoryId,
    pub(super) cluster_id: Option<String>,
    pub(super) addresses: Addresses,
}

#[derive(Debug)]
pub(super) struct Broker {
    config: Arc<BrokerConfig>,
    liveness: LivenessHandle,
    replicas: Replicas,
    groups: GroupCoordinator,
}

/// The answer other nodes get: JSON, so that it can grow.
struct Described(Replicas);

impl DescribeReplicas for Described {
    fn describe_replicas(&self) -> Bytes {
        json(&self.0.describe())
    }
}

struct DescribedGroups(GroupCoordinator);

impl DescribeGroups for DescribedGroups {
    fn describe_groups(
        &self,
        group: Option<String>,
    ) -> Pin<Box<dyn Future<Output = Bytes> + Send + '_>> {
        Box::pin(async move {
            let refusal = |error: GroupError| error.to_string();
            match group {
                None => json(&self.0.statuses().await.map_err(refusal)),
                Some(group) => json(&self.0.describe(&group).await.map_err(refusal)),
            }
        })
    }
}

fn json(described: &impl Serialize) -> Bytes {
    match serde_json::to_vec(described) {
        Ok(json) => json.into(),
        Err(error) => {
            // Whoever asked is told that it cannot be read.
            error!(%error, "what was asked for cannot be described");
            Bytes::new()
        }
    }
}

impl Broker {
    pub(super) fn start(
        parts: &Parts,
        log_dirs: LogDirs,
        clients: Server,
        door: &Arc<PeerDoor>,
    ) -> Self {
        let Outside { clock, tasks, .. } = parts.outside.clone();
        let (liveness, handle) = Liveness::new(
            registration(parts, log_dirs.previous_epoch),
            &parts.config,
            parts.raft.clone(),
            parts.metadata.clone(),
            clock.clone(),
            tasks.clone(),
        );
        tasks.spawn("liveness", liveness.run());
        let link = ControllerLink::new(parts.raft.clone(), parts.metadata.clone(), clock.clone());
        let producer_ids = ProducerIds::new(clock.clone());
        let refill = Refill {
            node: parts.config.node_id,
            ids: producer_ids.clone(),
            link: link.clone(),
            lease: handle.lease(),
            tasks: tasks.clone(),
        };
        tasks.spawn("producer ids", refill.run());
        let replicas = Replicas::new(replica::Deps {
            node: parts.config.node_id,
            config: Arc::clone(&parts.config),
            clock: clock.clone(),
            tasks: tasks.clone(),
            homes: log_dirs.into_homes().of_at_most(open_files::for_logs()),
            metadata: parts.metadata.clone(),
            lease: handle.lease(),
            link: link.clone(),
            metrics: parts.metrics.clone(),
            random: parts.outside.random.clone(),
        });
        replicas.start();
        door.serve_replicas(Arc::new(Described(replicas.clone())));
        let groups = coordinate_groups(parts, &replicas, &link);
        door.serve_groups(Arc::new(DescribedGroups(groups.clone())));
        let services = Services {
            config: Arc::clone(&parts.config),
            clock,
            tasks: tasks.clone(),
            metadata: parts.metadata.clone(),
            controller: link,
            producer_ids,
            leadership: parts.raft.leadership(),
            replicas: replicas.clone(),
            groups: groups.clone(),
            metrics: parts.metrics.clone(),
            fetch_sessions: FetchSessions::new(
                parts.config.fetch_session_slots,
                parts.outside.random.clone(),
                parts.metrics.clone(),
            ),
            quotas: ClientQuotas::default(),
        };
        let opening = open_doors(services, handle.clone(), clients, tasks.clone());
        tasks.spawn("doors", opening);
        Self {
            config: Arc::clone(&parts.config),
            liveness: handle,
            replicas,
            groups,
        }
    }

    pub(super) fn live(&self) -> LiveBroker {
        LiveBroker {
            liveness: self.liveness.clone(),
            replicas: self.replicas.clone(),
            groups: self.groups.clone(),
        }
    }

    pub(super) async fn disk_failure(&self) -> String {
        self.replicas.disk_failure().await
    }

    /// Asks the controller to move what this broker leads, and waits until it has.
    pub(super) async fn leave(&self, raft: &MetadataRaft, clock: &Clock) {
        if !self.config.controlled_shutdown_enable {
            return;
        }
        let deadline = clock.now() + LEAVE_WITHIN;
        let without_quorum = async {
            let mut lost_at = None;
            loop {
                let now = clock.now();
                lost_at = if raft.status().has_quorum {
                    None
                } else {
                    lost_at.or(Some(now))
                };
                if lost_at.is_some_and(|it| it + LEAVE_WITHOUT_QUORUM_WITHIN < now) {
                    return;
                }
                clock
                    .sleep_until(now + LEAVE_WITHOUT_QUORUM_WITHIN / 10)
                    .await;
            }
        };
        tokio::select! {
            allowed = self.liveness.leave(deadline) => {
                if !allowed {
                    warn!(waited = ?LEAVE_WITHIN, "leaderships did not move in time; stopping anyway");
                }
            }
            () = without_quorum => info!("no quorum to hand leaderships over to; stopping"),
        }
    }

    /// The last syncs, checkpoints, and the marker that says they happened. Blocks on the disk.
    pub(super) fn close(self) {
        let broker_epoch = self.liveness.standing().broker_epoch;
        let is_durable = self.replicas.close();
        planted::die_if(Fault::StopDiesBeforeTheMarker);
        if is_durable && let Some(broker_epoch) = broker_epoch {
            for home in self.replicas.homes().present() {
                if let Err(error) = home.dir().mark_clean_shutdown(broker_epoch) {
                    warn!(%error, "no clean-shutdown marker; the next start counts as unclean");
                }
            }
        }
        planted::die_if(Fault::StopDiesAfterTheMarker);
    }
}

fn coordinate_groups(
    parts: &Parts,
    replicas: &Replicas,
    link: &ControllerLink,
) -> GroupCoordinator {
    let Outside {
        clock,
        tasks,
        random,
        ..
    } = parts.outside.clone();
    let groups = GroupCoordinator::new(coordinator::Deps {
        node: parts.config.node_id,
        config: Arc::clone(&parts.config),
        clock,
        tasks,
        random,
        metadata: parts.metadata.clone(),
        replicas: replicas.clone(),
        link: link.clone(),
    });
    groups.start();
    groups
}

/// Serves clients, and tells the controller so, once this node is registered and its partitions are open.
///
/// Before that it knows only what was agreed before its last end, or nothing: clients would hear of topics
/// that are gone, or miss those they wrote to. They wait in the backlog of the port, which is bound.
async fn open_doors(services: Services, liveness: LivenessHandle, clients: Server, tasks: Tasks) {
    let mut standings = liveness.standings();
    let registered = async {
        let standing = standings.wait_for(|it| it.broker_epoch.is_some()).await;
        standing.ok().and_then(|it| it.broker_epoch)
    };
    let ready = async {
        let epoch = registered.await?;
        let offset = MetadataOffset(u64::try_from(epoch.0).ok()?);
        services.replicas.roles_taken(offset).await;
        // Until then the controller could make a replica lead that has no log to lead with.
        let metadata = services.metadata.clone();
        services.replicas.offline_agreed(metadata).await;
        Some(())
    };
    tokio::select! {
        () = tasks.stopping() => {}
        ready = ready => if ready.is_some() {
            clients.serve(&services, &tasks);
            liveness.serve();
        }
    }
}

fn registration(parts: &Parts, previous_epoch: Option<BrokerEpoch>) -> RegisterBroker {
    RegisterBroker {
        broker: parts.config.node_id,
        incarnation: parts.outside.random.uuid(),
        directory: parts.directory,
        cluster_id: parts.cluster_id.clone(),
        listeners: parts.addresses.clients.clone(),
        controller_address: parts.addresses.controller.clone(),
        http_address: parts.addresses.http.clone(),
        rack: parts.config.broker_rack.clone(),
        previous_broker_epoch: previous_epoch,
        flushes_on_commit: parts.config.log_flush_mode == FlushMode::Commit,
    }
}
