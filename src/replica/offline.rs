//! Replicas this broker cannot use: found, told to the controller, and what may become of them.
//!
//! Invariants: the controller hears the whole set, again and again until its image shows it; a log
//! that was found damaged is marked on disk, so that no later process serves it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use drave_protocol::ids::{BrokerEpoch, NodeId, TopicIdPartition, TopicPartition};
use drave_raft::image::MetadataImage;
use tracing::{debug, error, warn};

use crate::cluster::metadata::Metadata;
use crate::cluster::rpc::OfflineReplicas;

use super::error::NotLeading;
use super::replicas::Replicas;

/// Between tries while no controller answers.
const RETRY_AFTER: Duration = Duration::from_millis(50);
const DEADLINE: Duration = Duration::from_secs(2);

/// Why a replica is offline, and what may bring it back in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offline {
    pub reason: String,
    pub cure: Cure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cure {
    /// The bytes are lost or damaged and the directory is well: another replica's copy.
    Refetch,
    /// The trouble may pass: opening it again.
    Retry,
    /// A person, and a new start.
    None,
}

/// A replica whose log is not open.
#[derive(Clone, Debug)]
pub(super) struct Unopened {
    pub(super) name: TopicPartition,
    pub(super) offline: Offline,
}

impl Unopened {
    pub(super) fn not_leading(&self) -> NotLeading {
        NotLeading::Offline {
            partition: self.name.clone(),
            reason: self.offline.reason.clone(),
        }
    }
}

pub(super) async fn run(replicas: Replicas, mut metadata: Metadata) {
    let tasks = replicas.tasks().clone();
    let mut offline = BTreeSet::new();
    let mut is_news = true;
    loop {
        if is_news {
            let settling = replicas.clone();
            let settled = tasks.run_blocking(move || settling.settle_failures());
            offline = settled.await.unwrap_or(offline);
        }
        let look_again = report(&replicas, &metadata.image(), &offline).await;
        let later = replicas.clock().now() + RETRY_AFTER;
        is_news = tokio::select! {
            biased; // a node that stops tells nobody of its disks
            () = tasks.stopping() => return,
            () = replicas.signals().offline_changed() => true,
            alive = metadata.changed() => if alive { false } else { return },
            () = replicas.clock().sleep_until(later), if look_again => false,
        };
    }
}

/// Tells the controller, if it knows otherwise. Returns whether to look again soon.
async fn report(
    replicas: &Replicas,
    image: &MetadataImage,
    offline: &BTreeSet<TopicIdPartition>,
) -> bool {
    let (node, registered) = (replicas.node(), replicas.broker_epoch());
    let Some(request) = difference((node, registered), image, offline) else {
        // The image may show the registration before its answer arrives here.
        return !offline.is_empty() && current_epoch(node, registered, image).is_none();
    };
    let n_replicas = request.partitions.len();
    let deadline = replicas.clock().now() + DEADLINE;
    match replicas.link().report_offline(request, deadline).await {
        Ok(()) => warn!(
            n_replicas,
            "the controller knows which replicas are offline here"
        ),
        Err(error) => debug!(%error, n_replicas, "offline replicas could not be reported yet"),
    }
    true
}

/// What is to be said, if the image does not show it.
pub(super) fn difference(
    (broker, registered): (NodeId, Option<BrokerEpoch>),
    image: &MetadataImage,
    offline: &BTreeSet<TopicIdPartition>,
) -> Option<OfflineReplicas> {
    let broker_epoch = current_epoch(broker, registered, image)?;
    let is_here = |it: &TopicIdPartition| {
        let state = image.partition(*it);
        state.is_some_and(|it| it.replicas.contains(&broker))
    };
    let offline: BTreeSet<TopicIdPartition> = offline.iter().copied().filter(is_here).collect();
    let known = image.offline_replicas.get(&broker);
    if known.map_or(offline.is_empty(), |it| **it == offline) {
        return None;
    }
    Some(OfflineReplicas {
        broker,
        broker_epoch,
        partitions: offline.into_iter().collect(),
    })
}

/// The epoch of this process's registration, once the image shows it.
fn current_epoch(
    broker: NodeId,
    registered: Option<BrokerEpoch>,
    image: &MetadataImage,
) -> Option<BrokerEpoch> {
    let shown = image.brokers.get(&broker)?.broker_epoch;
    registered.filter(|it| *it == shown)
}

impl Replicas {
    /// Resolves once the image shows which replicas are offline here.
    pub async fn offline_agreed(&self, mut metadata: Metadata) {
        let here = || (self.node(), self.broker_epoch());
        while difference(here(), &metadata.image(), &self.offline()).is_some() {
            if !metadata.changed().await {
                return;
            }
        }
    }

    /// Takes along what lies in directories that failed, and notes damage on disk. Blocks.
    fn settle_failures(&self) -> BTreeSet<TopicIdPartition> {
        let all = self.all();
        for home in self.homes().present() {
            let Some(reason) = home.offline_reason() else {
                continue;
            };
            for partition in all.iter().filter(|it| Arc::ptr_eq(it.home(), home)) {
                partition.take_offline(&reason, Cure::None);
            }
        }
        for partition in &all {
            if let Some(reason) = partition.take_unnoted_damage()
                && partition.home().failure().is_none()
                && let Err(error) = partition.home().dir.mark_corrupt(partition.name(), &reason)
            {
                error!(partition = %partition.name(), %error, "damage could not be noted on disk");
            }
        }
        if let Some(reason) = self.homes().fatal(&self.config().metadata_log_dir) {
            self.signals().node_failed(reason);
        }
        self.offline()
    }
}
