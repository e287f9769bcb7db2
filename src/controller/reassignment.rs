//! Replicas on their way: where they are to be, who still has to come, who leaves when they are there.
//!
//! While a partition is reassigned its replicas are those of the target, then those to go. It is complete
//! once every one that comes is in the ISR; then the others leave, and the leadership with them if it was
//! theirs. Cancelling goes back to what was there before, at once or not at all.
//!
//! Invariants: adding and removing are disjoint parts of the replicas; nobody who is in the ISR or the ELR leaves
//! before `min.insync.replicas` of those who stay are in sync; what is in the ISR is never dropped before the target holds the data.

use std::collections::BTreeSet;

use drave_protocol::ids::{NodeId, TopicIdPartition};
use drave_raft::image::{MetadataImage, PartitionRegistration, TopicImage};
use tracing::info;

use crate::cluster::administration::{
    AlterReassignments, FactorChange, ReassignError, Reassigned, Reassignment,
};
use crate::controller::decision::{Decision, Policy, TopicRules, partition_changed};
use crate::controller::election::Electorate;

/// Replicas of a partition that is, or is not, on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub replicas: Vec<NodeId>,
    pub adding: Vec<NodeId>,
    pub removing: Vec<NodeId>,
}

impl Assignment {
    /// On the way from `before` to `target`. What an earlier target brought and this one does not want is
    /// let go at once, unless it is known to hold the data: then it may be the best there is.
    pub fn towards(before: &PartitionRegistration, target: &[NodeId]) -> Self {
        let was_adding = |it: &NodeId| before.adding_replicas.contains(it);
        let in_vain = |it: &NodeId| was_adding(it) && !holds_data(before, *it);
        let current = before.replicas.iter().copied();
        let removing: Vec<NodeId> = current
            .filter(|it| !target.contains(it) && !in_vain(it))
            .collect();
        let is_new = |it: &NodeId| !before.replicas.contains(it) || was_adding(it);
        Self {
            adding: target.iter().copied().filter(is_new).collect(),
            replicas: target.iter().chain(&removing).copied().collect(),
            removing,
        }
    }

    /// Back to what was there before the reassignment.
    pub fn before(reassigned: &PartitionRegistration) -> Self {
        let was_there = |it: &NodeId| !reassigned.adding_replicas.contains(it);
        // As in Kafka the order of preference may be another than it was.
        let replicas = reassigned.replicas.iter().copied();
        Self {
            replicas: replicas.filter(was_there).collect(),
            adding: Vec::new(),
            removing: Vec::new(),
        }
    }
}

fn holds_data(partition: &PartitionRegistration, node: NodeId) -> bool {
    partition.isr.contains(&node) || partition.elr.contains(&node)
}

/// Whether nobody is missed who leaves: none of them is known to hold the data, or enough of those that stay are in sync.
/// Else a loss that `min.insync.replicas` protects from would be one too many. Kafka asks for one that stays only.
fn may_leave(partition: &PartitionRegistration, leaving: &[NodeId], rules: TopicRules) -> bool {
    let stays = |it: &&NodeId| !leaving.contains(it);
    let n_in_sync = partition.isr.iter().filter(stays).count();
    let n_staying = partition.replicas.iter().filter(stays).count();
    let is_missed = leaving.iter().any(|it| holds_data(partition, *it));
    !is_missed || n_in_sync >= rules.min_isr(n_staying)
}

/// Lets those go that are to go, once all that come are in sync, and they may leave.
pub fn complete_reassignment(partition: &mut PartitionRegistration, rules: TopicRules) {
    if !partition.is_reassigning() {
        return;
    }
    let removing = &partition.removing_replicas;
    let in_sync = |it: &NodeId| partition.isr.contains(it);
    let stays = |it: &NodeId| !removing.contains(it);
    let somebody_stays = partition.isr.iter().any(stays);
    if !partition.adding_replicas.iter().all(in_sync)
        || !somebody_stays
        || !may_leave(partition, removing, rules)
    {
        return;
    }
    partition.replicas.retain(stays);
    partition.isr.retain(stays);
    partition.adding_replicas.clear();
    partition.removing_replicas.clear();
}

pub fn alter(
    image: &MetadataImage,
    policy: &Policy,
    request: &AlterReassignments,
) -> Decision<Vec<Reassigned>> {
    let mut named = BTreeSet::new();
    let mut records = Vec::new();
    let reassigned = request.reassignments.iter().map(|asked| {
        let result = find(image, asked).and_then(|(topic, name, before)| {
            if !named.insert(name) {
                return Err(ReassignError::NamedTwice);
            }
            let rules = policy.rules(image, &topic.name);
            let after = decide(image, (name, before), rules, request.factor_change, asked)?;
            if let Some(after) = after {
                tell(&topic.name, name, before, &after);
                records.push(partition_changed(name, before, &after));
            }
            Ok(())
        });
        Reassigned {
            topic: asked.topic.clone(),
            partition: asked.partition,
            result,
        }
    });
    let response = reassigned.collect();
    Decision::new(records, response)
}

type Found<'a> = (&'a TopicImage, TopicIdPartition, &'a PartitionRegistration);

fn find<'a>(image: &'a MetadataImage, asked: &Reassignment) -> Result<Found<'a>, ReassignError> {
    let topic = image.topic_by_name(&asked.topic);
    let found = topic.and_then(|topic| {
        let name = TopicIdPartition {
            topic_id: topic.topic_id,
            partition: asked.partition,
        };
        Some((topic.as_ref(), name, image.partition(name)?.as_ref()))
    });
    found.ok_or(ReassignError::UnknownPartition)
}

/// The state after a request; `None` where nothing changes.
fn decide(
    image: &MetadataImage,
    (name, before): (TopicIdPartition, &PartitionRegistration),
    rules: TopicRules,
    factor_change: FactorChange,
    asked: &Reassignment,
) -> Result<Option<PartitionRegistration>, ReassignError> {
    let is_offline = |it: NodeId| image.is_offline(it, name);
    let electorate = Electorate {
        is_active: &|it| image.active_broker(it).is_some() && !is_offline(it),
        may_lack: &is_offline,
        rules,
    };
    let Some(target) = &asked.target else {
        return cancel(before, &electorate);
    };
    check_target(image, target)?;
    let n_wanted = before.replicas.len() - before.removing_replicas.len();
    if factor_change == FactorChange::Refused && target.len() != n_wanted {
        return Err(ReassignError::FactorChanges {
            current: n_wanted,
            asked: target.len(),
        });
    }
    Ok(electorate.assign(before, Assignment::towards(before, target)))
}

fn cancel(
    before: &PartitionRegistration,
    electorate: &Electorate<'_>,
) -> Result<Option<PartitionRegistration>, ReassignError> {
    if !before.is_reassigning() {
        return Err(ReassignError::NothingToCancel);
    }
    let back = Assignment::before(before);
    // Those that would be left must be known to hold the data: a cancellation is no unclean election. And those that
    // came are let go at once, so they must not be missed.
    let somebody_holds = back.replicas.iter().any(|it| holds_data(before, *it));
    if !somebody_holds || !may_leave(before, &before.adding_replicas, electorate.rules) {
        let in_sync = before.isr.iter().map(|it| it.0).collect();
        return Err(ReassignError::CancelLosesData { in_sync });
    }
    Ok(electorate.assign(before, back))
}

fn check_target(image: &MetadataImage, target: &[NodeId]) -> Result<(), ReassignError> {
    let invalid = |reason: String| Err(ReassignError::InvalidAssignment(reason));
    if target.is_empty() {
        return invalid("no replicas are named".to_owned());
    }
    let mut named = BTreeSet::new();
    for broker in target {
        if !named.insert(broker) {
            return invalid(format!("broker {broker} is named twice"));
        }
        if !image.brokers.contains_key(broker) {
            return invalid(format!("broker {broker} is not registered"));
        }
    }
    Ok(())
}

fn tell(
    topic: &str,
    name: TopicIdPartition,
    before: &PartitionRegistration,
    after: &PartitionRegistration,
) {
    info!(
        topic,
        partition = name.partition,
        from = ?before.replicas,
        replicas = ?after.replicas,
        adding = ?after.adding_replicas,
        removing = ?after.removing_replicas,
        "partition is reassigned"
    );
}

#[cfg(test)]
#[path = "reassignment_test.rs"]
mod tests;
