//! Leaderships drift to whoever stayed up; this brings them home to the preferred replicas.
//!
//! A round moves at most a few, so that clients relearn a little at a time; it moves none to a
//! replica that is not in sync.

use drave_protocol::ids::NodeId;
use drave_raft::image::MetadataImage;
use drave_raft::record::MetadataRecord;

use crate::controller::decision::{Policy, partition_changed, partitions_of};
use crate::controller::election::Electorate;

/// Leaderships one round moves.
pub const MOVES_PER_ROUND: usize = 1_000;

/// The changes that make preferred replicas lead where they can.
pub fn rebalance(image: &MetadataImage, policy: &Policy, moves_max: usize) -> Vec<MetadataRecord> {
    let mut records = Vec::new();
    for topic in image.topics.values() {
        let rules = policy.rules(image, &topic.name);
        for (partition, before) in partitions_of(topic) {
            if records.len() == moves_max {
                return records;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::test_cluster::{
        add_topic, change_of, cluster, name_of, partition, policy,
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
}
