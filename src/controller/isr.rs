//! A leader proposes an ISR; the controller is the judge. Compare-and-set on both epochs.
//!
//! The checks come in Kafka's order, because the first that fails tells the leader what to do next:
//! a proposal that knows *more* than we do means that we are the stale one.

use drave_log::planted::{Fault, is_planted};
use drave_protocol::ids::{BrokerEpoch, NodeId, TopicIdPartition};
use drave_raft::image::{MetadataImage, PartitionRegistration};
use drave_raft::record::LeaderRecovery;

use crate::cluster::rpc::{
    AlterPartition, AlterPartitionError, AlteredPartition, Ineligible, IsrMember, IsrProposal,
    StaleBrokerEpoch,
};
use crate::controller::brokers::check_epoch;
use crate::controller::decision::{Decision, Policy, partition_changed};
use crate::controller::election::Electorate;

pub type Altered = Result<Vec<AlteredPartition>, StaleBrokerEpoch>;

pub fn alter_partition(
    image: &MetadataImage,
    policy: &Policy,
    request: &AlterPartition,
) -> Decision<Altered> {
    if let Err(stale) = check_epoch(image, request.broker, request.broker_epoch) {
        return Decision::answer(Err(stale));
    }
    let mut records = Vec::new();
    let mut answers: Vec<AlteredPartition> = Vec::with_capacity(request.partitions.len());
    for proposal in &request.partitions {
        // A second proposal for the same partition was made on a state the first one ends.
        let named_before = answers.iter().any(|(it, _)| *it == proposal.partition);
        let result = match judge(image, request.broker, proposal) {
            Ok(before) if named_before => Err(AlterPartitionError::InvalidUpdateVersion {
                presented: proposal.partition_epoch,
                current: before.partition_epoch.next(),
            }),
            Ok(before) => {
                let after = accept(image, policy, before, proposal);
                if after != *before {
                    records.push(partition_changed(proposal.partition, before, &after));
                }
                Ok(after)
            }
            Err(error) => Err(error),
        };
        answers.push((proposal.partition, result));
    }
    Decision::new(records, Ok(answers))
}

/// The state a valid proposal would change.
fn judge<'a>(
    image: &'a MetadataImage,
    sender: NodeId,
    proposal: &IsrProposal,
) -> Result<&'a PartitionRegistration, AlterPartitionError> {
    let name = proposal.partition;
    if !image.topics.contains_key(&name.topic_id) {
        return Err(AlterPartitionError::UnknownTopicId(name.topic_id));
    }
    let state = image
        .partition(name)
        .ok_or(AlterPartitionError::UnknownPartition(name))?;
    check_epochs(state, sender, proposal)?;
    check_members(state, sender, proposal)?;
    for member in &proposal.isr {
        // The leader speaks for itself: its epoch was checked with the request.
        if member.node != sender {
            check_eligible(image, name, *member)?;
        }
    }
    Ok(state)
}

fn check_epochs(
    state: &PartitionRegistration,
    sender: NodeId,
    proposal: &IsrProposal,
) -> Result<(), AlterPartitionError> {
    let ahead = proposal.leader_epoch > state.leader_epoch
        || proposal.partition_epoch > state.partition_epoch;
    if ahead {
        return Err(AlterPartitionError::ControllerBehind {
            leader_epoch: state.leader_epoch,
            partition_epoch: state.partition_epoch,
        });
    }
    if proposal.leader_epoch < state.leader_epoch {
        return Err(AlterPartitionError::FencedLeaderEpoch {
            presented: proposal.leader_epoch,
            current: state.leader_epoch,
        });
    }
    if state.leader != Some(sender) {
        return Err(AlterPartitionError::NotLeader {
            sender,
            leader: state.leader,
        });
    }
    let is_stale = proposal.partition_epoch < state.partition_epoch;
    if is_stale && !is_planted(Fault::StaleProposalTaken) {
        return Err(AlterPartitionError::InvalidUpdateVersion {
            presented: proposal.partition_epoch,
            current: state.partition_epoch,
        });
    }
    Ok(())
}

fn check_members(
    state: &PartitionRegistration,
    sender: NodeId,
    proposal: &IsrProposal,
) -> Result<(), AlterPartitionError> {
    for (place, member) in proposal.isr.iter().enumerate() {
        let named_before = proposal
            .isr
            .iter()
            .take(place)
            .any(|it| it.node == member.node);
        if named_before || !state.replicas.contains(&member.node) {
            return Err(AlterPartitionError::NotReplica(member.node));
        }
    }
    if !proposal.isr.iter().any(|it| it.node == sender) {
        return Err(AlterPartitionError::WithoutLeader(sender));
    }
    match (state.recovery, proposal.recovery) {
        (LeaderRecovery::Recovered, LeaderRecovery::Recovering) => {
            Err(AlterPartitionError::BackToRecovering)
        }
        (_, LeaderRecovery::Recovering) if proposal.isr.len() > 1 => Err(
            AlterPartitionError::RecoveringWithFollowers(proposal.isr.len()),
        ),
        (_, LeaderRecovery::Recovering | LeaderRecovery::Recovered) => Ok(()),
    }
}

fn check_eligible(
    image: &MetadataImage,
    partition: TopicIdPartition,
    member: IsrMember,
) -> Result<(), AlterPartitionError> {
    let node = member.node;
    let reason = match image.brokers.get(&node) {
        None => Ineligible::NotRegistered,
        Some(broker) if broker.fenced => Ineligible::Fenced,
        Some(broker) if broker.shutting_down => Ineligible::ShuttingDown,
        Some(broker)
            if member.broker_epoch != BrokerEpoch::NONE
                && member.broker_epoch != broker.broker_epoch =>
        {
            Ineligible::OtherBrokerEpoch
        }
        Some(_) if image.is_offline(node, partition) => Ineligible::Offline,
        Some(_) => return Ok(()),
    };
    Err(AlterPartitionError::IneligibleReplica { node, reason })
}

/// The same state again is a success without a change.
fn accept(
    image: &MetadataImage,
    policy: &Policy,
    before: &PartitionRegistration,
    proposal: &IsrProposal,
) -> PartitionRegistration {
    let topic = image.topics.get(&proposal.partition.topic_id);
    let name = topic.map_or("", |it| it.name.as_str());
    // The leader was found to be active and in the proposed ISR: it stays.
    let is_active = |it| Some(it) == before.leader || image.active_broker(it).is_some();
    let electorate = Electorate {
        is_active: &is_active,
        may_lack: &|it| image.is_offline(it, proposal.partition),
        rules: policy.rules(image, name),
    };
    let isr = proposal.isr.iter().map(|it| it.node).collect();
    electorate
        .change(before, isr, proposal.recovery)
        .unwrap_or_else(|| before.clone())
}

#[cfg(test)]
#[path = "isr_test.rs"]
mod tests;
