//! A broker names the replicas it cannot use: others lead, and the named are not let back in before the
//! broker says that they are usable again.
//!
//! Invariants: whoever leads a partition whose replica went offline starts a new leader epoch, so that
//! nothing fetched into the lost log speaks for the one that takes its place; an offline replica is
//! awaited, never elected, when nobody else is known to hold the data. A report repeated changes nothing.

use std::collections::BTreeSet;

use drave_protocol::ids::{NodeId, TopicIdPartition};
use drave_raft::image::MetadataImage;
use drave_raft::record::{MetadataRecord, ReplicasCameOnlineV1, ReplicasWentOfflineV1};
use tracing::warn;

use crate::cluster::rpc::{OfflineReplicas, StaleBrokerEpoch};
use crate::controller::brokers::check_epoch;
use crate::controller::decision::{Decision, Policy, partition_changed};
use crate::controller::election::Electorate;

/// Partitions one record names: far below what a record may hold.
const PARTITIONS_PER_RECORD: usize = 5_000;

pub fn report(
    image: &MetadataImage,
    policy: &Policy,
    request: &OfflineReplicas,
) -> Decision<Result<(), StaleBrokerEpoch>> {
    if let Err(stale) = check_epoch(image, request.broker, request.broker_epoch) {
        return Decision::answer(Err(stale));
    }
    let change = Change::of(image, request);
    let mut records = Vec::new();
    // A prefix of a decision too large for one batch must not show a replica offline whose fetches of
    // before still count.
    for partition in &change.gone {
        records.extend(change.settle(image, policy, *partition, Moved::Offline));
    }
    for partitions in change.gone.chunks(PARTITIONS_PER_RECORD) {
        records.push(MetadataRecord::ReplicasWentOffline(ReplicasWentOfflineV1 {
            broker: request.broker,
            broker_epoch: request.broker_epoch,
            partitions: partitions.to_vec(),
        }));
    }
    for partitions in change.back.chunks(PARTITIONS_PER_RECORD) {
        records.push(MetadataRecord::ReplicasCameOnline(ReplicasCameOnlineV1 {
            broker: request.broker,
            broker_epoch: request.broker_epoch,
            partitions: partitions.to_vec(),
        }));
    }
    for partition in &change.back {
        records.extend(change.settle(image, policy, *partition, Moved::Online));
    }
    if !records.is_empty() {
        warn!(
            broker = %request.broker,
            n_offline = change.now.len(),
            n_gone = change.gone.len(),
            n_back = change.back.len(),
            "a broker's offline replicas changed"
        );
    }
    Decision::new(records, Ok(()))
}

/// Which way a replica went.
#[derive(Clone, Copy)]
enum Moved {
    Offline,
    Online,
}

/// What a report says that the image does not.
struct Change {
    broker: NodeId,
    now: BTreeSet<TopicIdPartition>,
    gone: Vec<TopicIdPartition>,
    back: Vec<TopicIdPartition>,
}

impl Change {
    fn of(image: &MetadataImage, request: &OfflineReplicas) -> Self {
        let broker = request.broker;
        let is_hosted = |it: &TopicIdPartition| {
            let state = image.partition(*it);
            state.is_some_and(|it| it.replicas.contains(&broker))
        };
        let named = request.partitions.iter().copied();
        let now: BTreeSet<TopicIdPartition> = named.filter(is_hosted).collect();
        let none = BTreeSet::new();
        let before = image.offline_replicas.get(&broker);
        let before = before.map_or(&none, AsRef::as_ref);
        Self {
            broker,
            gone: now.difference(before).copied().collect(),
            back: before.difference(&now).copied().collect(),
            now,
        }
    }

    fn settle(
        &self,
        image: &MetadataImage,
        policy: &Policy,
        partition: TopicIdPartition,
        moved: Moved,
    ) -> Option<MetadataRecord> {
        let topic = image.topics.get(&partition.topic_id)?;
        let before = image.partition(partition)?;
        let is_offline = |it| {
            if it == self.broker {
                self.now.contains(&partition)
            } else {
                image.is_offline(it, partition)
            }
        };
        let electorate = Electorate {
            is_active: &|it| image.active_broker(it).is_some() && !is_offline(it),
            may_lack: &is_offline,
            rules: policy.rules(image, &topic.name),
        };
        let after = match moved {
            Moved::Offline => electorate.settle_anew(before),
            Moved::Online => electorate.settle(before),
        };
        after.map(|after| partition_changed(partition, before, &after))
    }
}

#[cfg(test)]
#[path = "offline_test.rs"]
mod tests;
