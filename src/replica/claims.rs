//! What an image says of the replicas of this node, and what of it is believed before this process is registered:
//! a restarted node goes through images from before its death, and what counts now lies on its disk.

use drave_log::planted::{Fault, is_planted};
use drave_protocol::ids::{BrokerEpoch, NodeId};
use drave_raft::image::{MetadataImage, PartitionRegistration};

/// Whether the image holds this process's own registration, and so all that was agreed before it:
/// everything an earlier process of this node can have written to disk for.
pub(super) fn is_current(registered: Option<BrokerEpoch>, image: &MetadataImage) -> bool {
    let registered = registered.and_then(|epoch| u64::try_from(epoch.0).ok());
    registered.is_some_and(|offset| image.offset.0 >= offset)
}

/// Whether a role is this process's to take. An image from before its registration may show it as leader:
/// the process that was is gone, and what this one has of its log may end before what that one wrote. It
/// would begin the same epoch anew, and elsewhere.
pub(super) fn may_take_role(
    node: NodeId,
    is_current: bool,
    registration: &PartitionRegistration,
) -> bool {
    is_current || registration.leader != Some(node) || is_planted(Fault::LeadsByOldImage)
}

/// Whether a replica is held here no longer. An image from before this process's registration may show it so and
/// a later one give it back: its log is the one of after that, and counted on.
pub(super) fn is_taken_away(
    node: NodeId,
    is_current: bool,
    registration: &PartitionRegistration,
) -> bool {
    let is_believed = is_current || is_planted(Fault::OldImageTakesAway);
    is_believed && !registration.replicas.contains(&node)
}

/// Whether a replica whose log is lost may begin with an empty one: who leads it then.
pub(super) fn may_begin_anew(node: NodeId, registration: &PartitionRegistration) -> Option<NodeId> {
    let is_counted_on = registration.isr.contains(&node) || registration.elr.contains(&node);
    registration
        .leader
        .filter(|it| *it != node && !is_counted_on)
}

#[cfg(test)]
mod tests {
    use drave_protocol::ids::{LeaderEpoch, PartitionEpoch};
    use drave_raft::record::LeaderRecovery;

    use super::*;

    const HERE: NodeId = NodeId(1);

    fn led_by(leader: i32, replicas: &[i32]) -> PartitionRegistration {
        PartitionRegistration {
            replicas: replicas.iter().map(|it| NodeId(*it)).collect(),
            adding_replicas: Vec::new(),
            removing_replicas: Vec::new(),
            isr: vec![NodeId(leader)],
            elr: Vec::new(),
            leader: Some(NodeId(leader)),
            leader_epoch: LeaderEpoch(1),
            partition_epoch: PartitionEpoch(1),
            recovery: LeaderRecovery::Recovered,
        }
    }

    #[test]
    fn an_image_from_before_the_registration_takes_no_log_away() {
        let elsewhere = led_by(2, &[2, 3]);
        assert!(!is_taken_away(HERE, false, &elsewhere), "it may come back");
        assert!(is_taken_away(HERE, true, &elsewhere));
        assert!(!is_taken_away(HERE, true, &led_by(2, &[1, 2])));
    }

    #[test]
    fn an_image_from_before_the_registration_makes_no_leader() {
        assert!(!may_take_role(HERE, false, &led_by(1, &[1, 2])));
        assert!(may_take_role(HERE, false, &led_by(2, &[1, 2])));
        assert!(may_take_role(HERE, true, &led_by(1, &[1, 2])));
    }
}
