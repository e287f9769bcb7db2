//! A leader's proposals, each refused for the first reason that applies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{LeaderEpoch, PartitionEpoch};

use super::*;
use crate::controller::test_cluster::{
    add_topic, change_broker, change_of, cluster, epoch_of, name_of, nodes, partition, policy,
    topic_id,
};

/// Replicas 1, 2, 3; 1 leads with an ISR of 1 and 2.
fn image() -> MetadataImage {
    let mut image = cluster(&[1, 2, 3]);
    add_topic(&mut image, "t", vec![partition(&[1, 2, 3], &[1, 2], &[])]);
    image
}

fn proposal(isr: &[i32]) -> IsrProposal {
    let member = |id: &i32| IsrMember {
        node: NodeId(*id),
        broker_epoch: epoch_of(*id),
    };
    IsrProposal {
        partition: name_of("t", 0),
        leader_epoch: LeaderEpoch(5),
        partition_epoch: PartitionEpoch(9),
        isr: isr.iter().map(member).collect(),
        recovery: LeaderRecovery::Recovered,
    }
}

fn request(broker: i32, proposal: IsrProposal) -> AlterPartition {
    AlterPartition {
        broker: NodeId(broker),
        broker_epoch: epoch_of(broker),
        partitions: vec![proposal],
    }
}

fn refusal(image: &MetadataImage, broker: i32, proposal: IsrProposal) -> AlterPartitionError {
    let decision = alter_partition(image, &policy(), &request(broker, proposal));
    assert_eq!(decision.records, vec![], "a refusal changes nothing");
    decision.response.unwrap().remove(0).1.unwrap_err()
}

#[test]
fn a_valid_proposal_becomes_the_isr_and_raises_the_partition_epoch_only() {
    let decision = alter_partition(&image(), &policy(), &request(1, proposal(&[1, 2, 3])));
    let after = decision.response.unwrap().remove(0).1.unwrap();
    assert_eq!(after.isr, nodes(&[1, 2, 3]));
    assert_eq!(after.partition_epoch, PartitionEpoch(10));
    assert_eq!(
        (after.leader, after.leader_epoch),
        (Some(NodeId(1)), LeaderEpoch(5))
    );
    let (isr, _, _, _) = change_of(&decision.records, name_of("t", 0)).unwrap();
    assert_eq!(isr, nodes(&[1, 2, 3]));
}

#[test]
fn a_shrink_below_min_isr_remembers_who_left() {
    let decision = alter_partition(&image(), &policy(), &request(1, proposal(&[1])));
    let after = decision.response.unwrap().remove(0).1.unwrap();
    assert_eq!((after.isr, after.elr), (nodes(&[1]), nodes(&[2])));
    assert_eq!(
        after.leader_epoch,
        LeaderEpoch(5),
        "a plain shrink keeps the leader epoch"
    );
}

#[test]
fn the_same_isr_again_is_a_success_without_a_record() {
    let decision = alter_partition(&image(), &policy(), &request(1, proposal(&[1, 2])));
    assert_eq!(decision.records, vec![]);
    let after = decision.response.unwrap().remove(0).1.unwrap();
    assert_eq!(after.partition_epoch, PartitionEpoch(9));
}

#[test]
fn a_stale_partition_epoch_is_refused() {
    let old = IsrProposal {
        partition_epoch: PartitionEpoch(8),
        ..proposal(&[1, 2])
    };
    let error = refusal(&image(), 1, old);
    assert_eq!(ErrorCode::from(&error), ErrorCode::InvalidUpdateVersion);
}

#[test]
fn a_stale_leader_epoch_is_fenced_before_the_sender_is_judged() {
    let old = IsrProposal {
        leader_epoch: LeaderEpoch(4),
        ..proposal(&[1, 2])
    };
    assert_eq!(
        ErrorCode::from(&refusal(&image(), 1, old.clone())),
        ErrorCode::FencedLeaderEpoch
    );
    assert_eq!(
        ErrorCode::from(&refusal(&image(), 2, old)),
        ErrorCode::FencedLeaderEpoch
    );
}

#[test]
fn a_proposal_from_the_future_says_that_this_controller_is_behind() {
    let ahead = [
        IsrProposal {
            leader_epoch: LeaderEpoch(6),
            ..proposal(&[1, 2])
        },
        IsrProposal {
            partition_epoch: PartitionEpoch(10),
            ..proposal(&[1, 2])
        },
    ];
    for proposal in ahead {
        assert_eq!(
            ErrorCode::from(&refusal(&image(), 1, proposal)),
            ErrorCode::NotController
        );
    }
}

#[test]
fn only_the_leader_may_propose() {
    let error = refusal(&image(), 2, proposal(&[1, 2]));
    assert_eq!(
        error,
        AlterPartitionError::NotLeader {
            sender: NodeId(2),
            leader: Some(NodeId(1))
        }
    );
}

#[test]
fn an_isr_of_strangers_or_without_its_leader_is_refused() {
    assert_eq!(
        refusal(&image(), 1, proposal(&[1, 4])),
        AlterPartitionError::NotReplica(NodeId(4))
    );
    assert_eq!(
        refusal(&image(), 1, proposal(&[1, 2, 2])),
        AlterPartitionError::NotReplica(NodeId(2))
    );
    assert_eq!(
        refusal(&image(), 1, proposal(&[2, 3])),
        AlterPartitionError::WithoutLeader(NodeId(1))
    );
}

#[test]
fn members_that_cannot_be_in_sync_are_refused_with_the_reason() {
    let reason = |image: &MetadataImage, isr: IsrProposal| {
        let refusal = refusal(image, 1, isr);
        let AlterPartitionError::IneligibleReplica { node, reason } = refusal else {
            panic!("{refusal}");
        };
        (node, reason)
    };
    let mut fenced = image();
    change_broker(&mut fenced, 3, |it| it.fenced = true);
    assert_eq!(
        reason(&fenced, proposal(&[1, 2, 3])),
        (NodeId(3), Ineligible::Fenced)
    );
    let mut leaving = image();
    change_broker(&mut leaving, 3, |it| it.shutting_down = true);
    assert_eq!(
        reason(&leaving, proposal(&[1, 2, 3])),
        (NodeId(3), Ineligible::ShuttingDown)
    );
    let mut offline = image();
    let replicas = BTreeMap::from([(NodeId(3), Arc::new(BTreeSet::from([name_of("t", 0)])))]);
    offline.offline_replicas = Arc::new(replicas);
    assert_eq!(
        reason(&offline, proposal(&[1, 2, 3])),
        (NodeId(3), Ineligible::Offline)
    );
    let mut restarted = proposal(&[1, 2, 3]);
    restarted.isr[2].broker_epoch = BrokerEpoch(29);
    assert_eq!(
        reason(&image(), restarted),
        (NodeId(3), Ineligible::OtherBrokerEpoch)
    );
    let mut gone = image();
    Arc::make_mut(&mut gone.brokers).remove(&NodeId(3));
    assert_eq!(
        reason(&gone, proposal(&[1, 2, 3])),
        (NodeId(3), Ineligible::NotRegistered)
    );
}

#[test]
fn a_recovering_leader_stays_alone_until_it_says_it_recovered() {
    let mut image = cluster(&[1, 2, 3]);
    let mut state = partition(&[1, 2, 3], &[1], &[]);
    state.recovery = LeaderRecovery::Recovering;
    add_topic(&mut image, "t", vec![state]);
    let still = IsrProposal {
        recovery: LeaderRecovery::Recovering,
        ..proposal(&[1, 2])
    };
    assert_eq!(
        refusal(&image, 1, still),
        AlterPartitionError::RecoveringWithFollowers(2)
    );
    let decision = alter_partition(&image, &policy(), &request(1, proposal(&[1, 2])));
    let after = decision.response.unwrap().remove(0).1.unwrap();
    assert_eq!(
        (after.isr, after.recovery),
        (nodes(&[1, 2]), LeaderRecovery::Recovered)
    );
}

#[test]
fn an_older_incarnation_is_told_so_for_the_whole_request() {
    let mut request = request(1, proposal(&[1]));
    request.broker_epoch = BrokerEpoch(9);
    let stale = alter_partition(&image(), &policy(), &request)
        .response
        .unwrap_err();
    assert_eq!(stale.registered, Some(epoch_of(1)));
}

#[test]
fn unknown_topics_and_partitions_are_told_apart() {
    let of = |partition| IsrProposal {
        partition,
        ..proposal(&[1])
    };
    let error = refusal(&image(), 1, of(name_of("x", 0)));
    assert_eq!(error, AlterPartitionError::UnknownTopicId(topic_id("x")));
    let error = refusal(&image(), 1, of(name_of("t", 1)));
    assert_eq!(ErrorCode::from(&error), ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn a_partition_named_twice_is_changed_once() {
    let mut request = request(1, proposal(&[1]));
    request.partitions.push(proposal(&[1, 2, 3]));
    let decision = alter_partition(&image(), &policy(), &request);
    assert_eq!(decision.records.len(), 1);
    let second = decision.response.unwrap().remove(1).1.unwrap_err();
    assert_eq!(ErrorCode::from(&second), ErrorCode::InvalidUpdateVersion);
}
