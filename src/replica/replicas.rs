//! All partitions on this broker, and the doors handlers come in by.
//!
//! Invariant: a partition stands in the map from the moment its log is open until its topic is
//! deleted or its replica moved away; roles come and go inside it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::BytesMut;
use drave_protocol::ids::{
    BrokerEpoch, LeaderEpoch, MetadataOffset, NodeId, Offset, TopicIdPartition, TopicPartition,
};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::cluster::controller_link::ControllerLink;
use crate::cluster::lease::BrokerLease;
use crate::cluster::metadata::Metadata;
use crate::config::{BrokerConfig, ReplicaSelector};
use crate::random::Random;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

use super::error::{AppendError, FetchError};
use super::fetcher::Fetchers;
use super::homes::Homes;
use super::offline::{Cure, Unopened};
use super::partition::{Acks, Appended, FollowerId, Partition};
use super::read::{Isolation, ListedOffset, OffsetQuery};
use super::signals::Signals;
use super::status::ReplicaStatus;
use super::steady_clock::SteadyClock;
use super::throttle::Throttle;
use super::{
    checkpoints, cleaner, fetcher, flusher, isr_change, offline, producers, reconcile, retention,
    scrub, space,
};

/// What the replicas of a node work with.
#[derive(Debug)]
pub struct Deps {
    pub node: NodeId,
    pub config: Arc<BrokerConfig>,
    pub clock: Clock,
    pub tasks: Tasks,
    pub homes: Homes,
    pub metadata: Metadata,
    pub lease: BrokerLease,
    pub link: ControllerLink,
    pub metrics: Metrics,
    pub random: Random,
}

/// A cheap handle.
#[derive(Clone, Debug)]
pub struct Replicas {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    deps: Deps,
    signals: Arc<Signals>,
    fetchers: Fetchers,
    throttle: Throttle,
    partitions: RwLock<BTreeMap<TopicIdPartition, Arc<Partition>>>,
    /// Partitions whose log could not be opened, and why: shown, not hidden.
    unopened: Mutex<BTreeMap<TopicIdPartition, Unopened>>,
    steady_clock: Mutex<SteadyClock>,
    /// Logs begun anew in place of lost or damaged ones.
    n_begun_anew: AtomicU64,
    /// Up to here the image's roles are taken.
    settled: watch::Sender<MetadataOffset>,
}

impl Replicas {
    pub fn new(deps: Deps) -> Self {
        let shared = Shared {
            steady_clock: Mutex::new(retention::steady_clock(&deps.clock, &deps.homes)),
            throttle: Throttle::new(&deps.config, deps.clock.now()),
            deps,
            signals: Arc::default(),
            fetchers: Fetchers::default(),
            partitions: RwLock::default(),
            unopened: Mutex::default(),
            n_begun_anew: AtomicU64::new(0),
            settled: watch::Sender::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Follows the metadata from here on, and starts the loops that sync, propose and remember.
    pub fn start(&self) {
        let deps = &self.shared.deps;
        for home in deps.homes.present() {
            let (clock, tasks) = (deps.clock.clone(), deps.tasks.clone());
            deps.tasks
                .spawn("log flusher", flusher::run(Arc::clone(home), clock, tasks));
        }
        deps.tasks.spawn("disk space", space::run(self.clone()));
        deps.tasks.spawn("log scrub", scrub::run(self.clone()));
        deps.tasks
            .spawn("suspect logs", scrub::look_at_suspects(self.clone()));
        deps.tasks.spawn(
            "offline replicas",
            offline::run(self.clone(), deps.metadata.clone()),
        );
        deps.tasks
            .spawn("isr changes", isr_change::run(self.clone()));
        deps.tasks
            .spawn("checkpoints", checkpoints::run(self.clone()));
        deps.tasks.spawn("retention", retention::run(self.clone()));
        cleaner::start(self);
        deps.tasks
            .spawn("awaited syncs", fetcher::wake_when_durable(self.clone()));
        deps.tasks.spawn("replica lag", watch_lag(self.clone()));
        deps.tasks
            .spawn("silent producers", producers::run(self.clone()));
        deps.tasks.spawn(
            "replica roles",
            reconcile::run(self.clone(), deps.metadata.clone()),
        );
    }

    /// The last syncs and checkpoints of a clean stop; whether all of it is on disk. Blocks.
    pub fn close(&self) -> bool {
        let all = self.all();
        flusher::close(&all, self.clock());
        checkpoints::write(self) && all.iter().all(|it| it.is_durable())
    }

    /// Resolves with the cause once no log directory is left, or the metadata's failed.
    pub async fn disk_failure(&self) -> String {
        self.shared.signals.disk_failure().await
    }

    /// Stage one of a produce: appends on the leader, in the order of arrival.
    pub fn append(
        &self,
        partition: TopicIdPartition,
        records: BytesMut,
        acks: Acks,
    ) -> Result<Appended, AppendError> {
        let Some(found) = self.partition(partition) else {
            return Err(self.unopened_or_unknown(partition));
        };
        let now = (self.clock().now(), self.clock().wall_ms());
        found.append_under(&self.shared.deps.lease, records, acks, now)
    }

    /// As `append` with all acks, but only while this broker leads in `epoch`.
    pub fn append_in(
        &self,
        partition: TopicIdPartition,
        epoch: LeaderEpoch,
        records: BytesMut,
    ) -> Result<Appended, AppendError> {
        let Some(found) = self.partition(partition) else {
            return Err(self.unopened_or_unknown(partition));
        };
        let (lease, now) = (
            &self.shared.deps.lease,
            (self.clock().now(), self.clock().wall_ms()),
        );
        found.append_in_epoch(lease, records, Acks::All, Some(epoch), now)
    }

    /// `None`: nothing is as young as the timestamp asked for.
    pub fn list_offset(
        &self,
        partition: TopicIdPartition,
        query: OffsetQuery,
        isolation: Isolation,
        current_leader_epoch: Option<LeaderEpoch>,
    ) -> Result<Option<ListedOffset>, FetchError> {
        self.known(partition)?
            .list_offset(query, isolation, current_leader_epoch)
    }

    /// The largest epoch at or below `requested`, and where it ended here (KIP-320).
    pub fn epoch_end_offset(
        &self,
        partition: TopicIdPartition,
        current_leader_epoch: Option<LeaderEpoch>,
        requested: LeaderEpoch,
    ) -> Result<Option<(LeaderEpoch, Offset)>, FetchError> {
        self.known(partition)?
            .epoch_end_offset(current_leader_epoch, requested)
    }

    /// Waits until the roles this broker has in the image at `offset` are taken, or `deadline`: then what
    /// it tells clients it leads, it does lead.
    pub async fn settled(&self, offset: MetadataOffset, deadline: Instant) {
        // Too late is no failure: clients of a leader that is not ready come again.
        let _ = tokio::time::timeout_at(deadline.into(), self.roles_taken(offset)).await;
    }

    /// Resolves once the roles this broker has in the image at `offset` are taken.
    pub async fn roles_taken(&self, offset: MetadataOffset) {
        let mut settled = self.shared.settled.subscribe();
        // The sender lives as long as we do.
        drop(settled.wait_for(|it| *it >= offset).await);
    }

    pub(super) fn settle(&self, offset: MetadataOffset) {
        self.shared.settled.send_replace(offset);
    }

    pub fn describe(&self) -> Vec<ReplicaStatus> {
        self.all().iter().map(|it| it.status()).collect()
    }

    /// Logs that would not open, with the reason.
    pub fn unopened(&self) -> BTreeMap<TopicIdPartition, String> {
        let unopened = self.shared.unopened.lock();
        let reason = |(id, it): (&TopicIdPartition, &Unopened)| (*id, it.offline.reason.clone());
        unopened.iter().map(reason).collect()
    }

    /// Replicas that cannot be used here: unopened, or failed since.
    pub(super) fn offline(&self) -> BTreeSet<TopicIdPartition> {
        let all = self.all();
        let failed = all.iter().filter(|it| it.offline().is_some());
        let failed = failed.map(|it| it.id());
        failed
            .chain(self.shared.unopened.lock().keys().copied())
            .collect()
    }

    /// Replicas that may be opened again.
    pub(super) fn to_be_retried(&self) -> Vec<TopicIdPartition> {
        let mut offline: Vec<TopicIdPartition> = self.offline().into_iter().collect();
        offline.retain(|it| self.offline_cure(*it) == Some(Cure::Retry));
        offline
    }

    /// Why a replica cannot be used, open or not.
    pub(super) fn offline_cure(&self, id: TopicIdPartition) -> Option<Cure> {
        if let Some(partition) = self.partition(id) {
            return partition.offline().map(|it| it.cure);
        }
        self.shared
            .unopened
            .lock()
            .get(&id)
            .map(|it| it.offline.cure)
    }

    pub(super) fn known(&self, partition: TopicIdPartition) -> Result<Arc<Partition>, FetchError> {
        let found = self.partition(partition);
        found.ok_or_else(|| match self.shared.unopened.lock().get(&partition) {
            Some(unopened) => FetchError::NotLeading(unopened.not_leading()),
            None => FetchError::UnknownPartition(partition),
        })
    }

    fn unopened_or_unknown(&self, partition: TopicIdPartition) -> AppendError {
        match self.shared.unopened.lock().get(&partition) {
            Some(unopened) => AppendError::NotLeading(unopened.not_leading()),
            None => AppendError::UnknownPartition(partition),
        }
    }

    pub(super) fn partition(&self, id: TopicIdPartition) -> Option<Arc<Partition>> {
        self.shared.partitions.read().get(&id).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Partition>> {
        self.shared.partitions.read().values().cloned().collect()
    }

    pub(super) fn insert(&self, partition: Arc<Partition>) {
        self.shared.unopened.lock().remove(&partition.id());
        self.shared
            .partitions
            .write()
            .insert(partition.id(), partition);
    }

    pub(super) fn remove(&self, id: TopicIdPartition) -> Option<Arc<Partition>> {
        self.shared.unopened.lock().remove(&id);
        self.shared.partitions.write().remove(&id)
    }

    pub(super) fn unopened_names(&self) -> Vec<(TopicIdPartition, TopicPartition)> {
        let unopened = self.shared.unopened.lock();
        unopened
            .iter()
            .map(|(id, it)| (*id, it.name.clone()))
            .collect()
    }

    /// Returns whether there was one.
    pub(super) fn remove_unopened(&self, id: TopicIdPartition) -> bool {
        self.shared.unopened.lock().remove(&id).is_some()
    }

    pub(super) fn could_not_open(&self, id: TopicIdPartition, unopened: Unopened) {
        self.shared.unopened.lock().insert(id, unopened);
        self.shared.signals.tell_offline();
    }

    pub(super) fn begun_anew(&self) {
        self.shared.n_begun_anew.fetch_add(1, Ordering::Relaxed);
        self.shared.signals.tell_offline();
    }

    /// Logs of this process that were begun anew in place of lost or damaged ones.
    pub fn n_begun_anew(&self) -> u64 {
        self.shared.n_begun_anew.load(Ordering::Relaxed)
    }

    pub(super) fn is_registered(&self, follower: FollowerId) -> bool {
        follower.is_registered(&self.shared.deps.metadata.image())
    }

    /// Whether followers here and elsewhere are read by the consumers next to them.
    pub fn serves_consumers_nearby(&self) -> bool {
        self.config().replica_selector == ReplicaSelector::RackAware
    }

    /// `host:port` brokers dial among themselves.
    pub(super) fn endpoint(&self, broker: NodeId) -> Option<String> {
        let view = self.shared.deps.metadata.view();
        view.inter_broker_endpoint(broker)
            .map(|it| format!("{}:{}", it.host, it.port))
    }

    pub(super) fn lease(&self) -> &BrokerLease {
        &self.shared.deps.lease
    }

    pub(super) fn lease_is_held(&self, now: Instant) -> bool {
        self.shared.deps.lease.is_held(now)
    }

    pub(super) fn broker_epoch(&self) -> Option<BrokerEpoch> {
        self.shared.deps.lease.broker_epoch()
    }

    pub(super) fn node(&self) -> NodeId {
        self.shared.deps.node
    }

    pub fn clock(&self) -> &Clock {
        &self.shared.deps.clock
    }

    pub(super) fn tasks(&self) -> &Tasks {
        &self.shared.deps.tasks
    }

    pub(super) fn throttle(&self) -> &Throttle {
        &self.shared.throttle
    }

    pub(super) fn config(&self) -> &Arc<BrokerConfig> {
        &self.shared.deps.config
    }

    pub(super) fn link(&self) -> &ControllerLink {
        &self.shared.deps.link
    }

    pub(super) fn random(&self) -> &Random {
        &self.shared.deps.random
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.shared.deps.metrics
    }

    /// The time to judge records by.
    pub(super) fn believed_ms(&self) -> i64 {
        let clock = self.clock();
        let mut steady = self.shared.steady_clock.lock();
        steady.believe(clock.now(), clock.wall_ms())
    }

    pub fn homes(&self) -> &Homes {
        &self.shared.deps.homes
    }

    pub(super) fn metadata(&self) -> &Metadata {
        &self.shared.deps.metadata
    }

    pub(super) fn signals(&self) -> &Arc<Signals> {
        &self.shared.signals
    }

    pub(super) fn fetchers(&self) -> &Fetchers {
        &self.shared.fetchers
    }
}

/// One timer for all partitions: idle ones cost a lock now and then, not a task each.
async fn watch_lag(replicas: Replicas) {
    let tasks = replicas.tasks().clone();
    let interval = replicas.config().replica_lag_time_max / 2;
    loop {
        tokio::select! {
            biased; // nothing to finish
            () = tasks.stopping() => return,
            () = replicas.clock().sleep_until(replicas.clock().now() + interval) => {
                let now = replicas.clock().now();
                for partition in replicas.all() {
                    partition.tick(now);
                }
            }
        }
    }
}
