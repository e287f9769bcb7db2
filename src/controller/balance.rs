//! Leaderships drift to whoever stayed up; this brings them home to the preferred replicas.
//!
//! A round moves at most a few, so that clients relearn a little at a time; it moves none to a
//! replica that is not in sync, nor to a broker that has nearly all it should lead.

use std::collections::BTreeMap;

use drave_protocol::ids::NodeId;
use drave_raft::image::MetadataImage;
use drave_raft::record::MetadataRecord;

use crate::controller::decision::{Policy, partition_changed, partitions_of};
use crate::controller::election::Electorate;

/// Leaderships one round moves.
pub const MOVES_PER_ROUND: usize = 1_000;

/// How many partitions a broker is preferred for, and how many of those others lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Share {
    preferred: usize,
    elsewhere: usize,
}

impl Share {
    fn is_imbalanced(self, percentage: i32) -> bool {
        let tolerated = usize::try_from(percentage).unwrap_or(0);
        self.elsewhere * 100 > self.preferred * tolerated
    }
}

fn shares(image: &MetadataImage) -> BTreeMap<NodeId, Share> {
    let mut shares: BTreeMap<NodeId, Share> = BTreeMap::new();
    for partition in image.topics.values().flat_map(|it| &it.partitions) {
        if let Some(preferred) = partition.replicas.first() {
            let share = shares.entry(*preferred).or_default();
            share.preferred += 1;
            share.elsewhere += usize::from(partition.leader != Some(*preferred));
        }
    }
    shares
}

/// The changes that make preferred replicas lead where they can.
pub fn rebalance(image: &MetadataImage, policy: &Policy, moves_max: usize) -> Vec<MetadataRecord> {
    let percentage = policy.config.leader_imbalance_per_broker_percentage;
    let mut imbalanced = shares(image);
    imbalanced.retain(|broker, it| !image.is_drained(*broker) && it.is_imbalanced(percentage));
    let mut records = Vec::new();
    for topic in image.topics.values() {
        let rules = policy.rules(image, &topic.name);
        for (partition, before) in partitions_of(topic) {
            if records.len() == moves_max {
                return records;
            }
            let preferred = before.replicas.first();
            if preferred.is_none_or(|it| !imbalanced.contains_key(it)) {
                continue;
            }
            let is_offline = |it: NodeId| image.is_offline(it, partition);
            let electorate = Electorate {
                is_active: &|it| image.active_broker(it).is_some() && !is_offline(it),
                may_lack: &is_offline,
                rules,
            };
            if let Some(after) = electorate.prefer(before) {
                records.push(partition_changed(partition, before, &after));
            }
        }
    }
    records
}

/// The changes that take all leaderships from a broker that others in sync can have.
pub fn relieve(image: &MetadataImage, policy: &Policy, broker: NodeId) -> Vec<MetadataRecord> {
    let mut records = Vec::new();
    for topic in image.topics.values() {
        let rules = policy.rules(image, &topic.name);
        for (partition, before) in partitions_of(topic) {
            if before.leader != Some(broker) {
                continue;
            }
            let is_offline = |it: NodeId| image.is_offline(it, partition);
            let electorate = Electorate {
                is_active: &|it| image.active_broker(it).is_some() && !is_offline(it),
                may_lack: &is_offline,
                rules,
            };
            let is_spared = |it| it == broker || image.is_drained(it);
            let after = electorate.spare(before, before.clone(), is_spared);
            if after != *before {
                records.push(partition_changed(partition, before, &after));
            }
        }
    }
    records
}

/// The same for every broker that is drained.
pub fn relieve_drained(image: &MetadataImage, policy: &Policy) -> Vec<MetadataRecord> {
    let drained = image.drained.iter();
    drained
        .flat_map(|broker| relieve(image, policy, *broker))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::test_cluster::{
        add_topic, change_of, cluster, name_of, partition, policy, policy_with,
    };

    #[test]
    fn leaderships_come_home_to_preferred_replicas_that_are_in_sync() {
        let mut image = cluster(&[1, 2, 3]);
        let partitions = vec![
            partition(&[1, 2, 3], &[2, 1], &[]),
            partition(&[1, 2, 3], &[2, 3], &[]),
            partition(&[1, 2, 3], &[1, 2], &[]),
            partition(&[3, 2, 1], &[2, 3], &[]),
        ];
        add_topic(&mut image, "t", partitions);
        let records = rebalance(&image, &policy(), MOVES_PER_ROUND);
        assert_eq!(records.len(), 2);
        let leader = |partition| change_of(&records, name_of("t", partition)).unwrap().2;
        assert_eq!((leader(0), leader(3)), (Some(NodeId(1)), Some(NodeId(3))));
        assert_eq!(
            rebalance(&image, &policy(), 1).len(),
            1,
            "a little at a time"
        );
    }

    #[test]
    fn a_broker_that_leads_nearly_all_it_should_is_left_alone() {
        let mut image = cluster(&[1, 2]);
        let home = partition(&[1, 2], &[1, 2], &[]);
        let away = partition(&[1, 2], &[2, 1], &[]);
        let mut partitions = vec![home; 9];
        partitions.push(away.clone());
        add_topic(&mut image, "t", partitions.clone());
        assert_eq!(
            rebalance(&image, &policy(), 10),
            vec![],
            "a tenth is tolerated"
        );
        let strict = policy_with([("leader.imbalance.per.broker.percentage", "9")]);
        assert_eq!(rebalance(&image, &strict, 10).len(), 1);
        partitions.push(away);
        add_topic(&mut image, "t", partitions);
        assert_eq!(rebalance(&image, &policy(), 10).len(), 2);
    }
}
