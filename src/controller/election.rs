//! Who leads a partition, who is in sync, and who may lead later: the rules, as one pure function.
//!
//! Every change of the cluster (a broker fenced, back, restarted, leaving; an ISR proposed) comes down
//! to the same question: *given who is active, what is the best state of this partition?*
//!
//! Invariants: a leader is active and in the ISR; a member leaves the ISR into the ELR while the ISR is
//! smaller than min ISR, because the high watermark stands still then and the member has all below it;
//! a replica that is offline on its broker is in neither and never leads, except that it is awaited when
//! nobody else is known to hold the data;
//! the ELR is empty once the ISR is large enough; the leader epoch rises with each change of leader,
//! to none included, and when a replica is let go; a reassignment completes with the change that brings its
//! last new replica into the ISR; the last replica known to hold the data is never forgotten.

use std::fmt;

use drave_log::planted::{Fault, is_planted};
use drave_protocol::ids::{NodeId, TopicIdPartition};
use drave_raft::image::{MetadataImage, PartitionRegistration, TopicImage};
use drave_raft::record::{LeaderRecovery, MetadataRecord};
use tracing::warn;

use crate::controller::decision::{Policy, TopicRules, partition_changed, partitions_of};
use crate::controller::reassignment::{Assignment, complete_reassignment};

/// One broker whose standing differs from what the image says: the cause of a round of elections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// As in the image, for every broker.
    AsAgreed,
    /// This one is (about to be) routable.
    Active(NodeId),
    /// This one is (about to be) fenced, shutting down or gone; its data is intact.
    Inactive(NodeId),
    /// This one is gone together with its data.
    Lost(NodeId),
    /// As `Inactive`, after a crash: its logs may lack what they acknowledged, unless what is
    /// acknowledged there is flushed first.
    Crashed {
        broker: NodeId,
        flushes_on_commit: bool,
    },
}

impl Standing {
    fn broker(self) -> Option<NodeId> {
        match self {
            Self::AsAgreed => None,
            Self::Active(broker)
            | Self::Inactive(broker)
            | Self::Lost(broker)
            | Self::Crashed { broker, .. } => Some(broker),
        }
    }

    fn is_active(self, image: &MetadataImage, broker: NodeId) -> bool {
        if self.broker() == Some(broker) {
            return matches!(self, Self::Active(_));
        }
        image.active_broker(broker).is_some()
    }

    /// The replica that may have lost acknowledged records of such a topic.
    fn forgetful(self, rules: TopicRules) -> Option<NodeId> {
        match self {
            Self::Crashed {
                broker,
                flushes_on_commit,
            } => (!flushes_on_commit || !rules.flushed_on_commit).then_some(broker),
            Self::Lost(broker) => Some(broker),
            Self::AsAgreed | Self::Active(_) | Self::Inactive(_) => None,
        }
    }
}

/// The changes that bring every partition concerned to its best state. Idempotent: deciding again on
/// the outcome yields nothing.
pub fn settle(image: &MetadataImage, policy: &Policy, standing: Standing) -> Vec<MetadataRecord> {
    let mut records = Vec::new();
    for topic in image.topics.values() {
        let rules = policy.rules(image, &topic.name);
        settle_topic(image, topic, rules, standing, &mut records);
    }
    records
}

fn settle_topic(
    image: &MetadataImage,
    topic: &TopicImage,
    rules: TopicRules,
    standing: Standing,
    records: &mut Vec<MetadataRecord>,
) {
    let forgetful = standing.forgetful(rules);
    for (partition, before) in partitions_of(topic) {
        let is_offline = |broker| image.is_offline(broker, partition);
        let is_active = |broker| standing.is_active(image, broker) && !is_offline(broker);
        if standing
            .broker()
            .is_some_and(|it| !before.replicas.contains(&it))
        {
            continue;
        }
        let electorate = Electorate {
            is_active: &is_active,
            may_lack: &|broker| forgetful == Some(broker) || is_offline(broker),
            rules,
        };
        if let Some(after) = electorate.settle(before) {
            let is_drained = |it| image.is_drained(it);
            let after = electorate.spare(before, after, is_drained);
            warn_of_loss(&topic.name, partition, before, &after);
            records.push(partition_changed(partition, before, &after));
        }
    }
}

/// The circumstances one partition is judged in.
#[derive(Clone, Copy)]
pub struct Electorate<'a> {
    /// Routable, with a replica here that is not offline.
    pub is_active: &'a dyn Fn(NodeId) -> bool,
    /// Its replica may have lost acknowledged records.
    pub may_lack: &'a dyn Fn(NodeId) -> bool,
    pub rules: TopicRules,
}

impl fmt::Debug for Electorate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Electorate")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

impl Electorate<'_> {
    /// The best state of a partition, or `None` if it has it already.
    pub fn settle(&self, before: &PartitionRegistration) -> Option<PartitionRegistration> {
        let isr = keep(&before.isr, |it| (self.is_active)(it));
        self.change(before, isr, before.recovery)
    }

    /// As `settle`, and whoever leads starts a new leader epoch: what followers fetched before no longer
    /// counts for joining the ISR. `None` where nobody leads and nothing changes.
    pub fn settle_anew(&self, before: &PartitionRegistration) -> Option<PartitionRegistration> {
        let settled = self.settle(before);
        let mut after = settled.clone().unwrap_or_else(|| PartitionRegistration {
            partition_epoch: before.partition_epoch.next(),
            ..before.clone()
        });
        if after.leader.is_none() || after.leader != before.leader {
            return settled;
        }
        after.leader_epoch = before.leader_epoch.next();
        Some(after)
    }

    /// The state with this ISR, its ELR and leader following from it; `None` if nothing changes.
    pub fn change(
        &self,
        before: &PartitionRegistration,
        isr: Vec<NodeId>,
        recovery: LeaderRecovery,
    ) -> Option<PartitionRegistration> {
        let mut after = before.clone();
        after.isr = isr;
        after.recovery = recovery;
        self.conclude(before, after)
    }

    /// The state with these replicas, on their way from what there is; see `reassignment`.
    pub fn assign(
        &self,
        before: &PartitionRegistration,
        assignment: Assignment,
    ) -> Option<PartitionRegistration> {
        let mut after = before.clone();
        after.isr.retain(|it| assignment.replicas.contains(it));
        after.replicas = assignment.replicas;
        after.adding_replicas = assignment.adding;
        after.removing_replicas = assignment.removing;
        self.conclude(before, after)
    }

    /// What follows from replicas and ISR: whether a reassignment is complete, who may lead later, who leads.
    fn conclude(
        &self,
        before: &PartitionRegistration,
        mut after: PartitionRegistration,
    ) -> Option<PartitionRegistration> {
        // Who leaves the ISR with this very change may lead later: it is not let go before it counts so.
        after.elr = self.eligible_later(before, &after);
        complete_reassignment(&mut after, self.rules);
        after.elr = self.eligible_later(before, &after);
        self.elect(&mut after);
        self.seal(before, after)
    }

    /// Makes the first replica lead, if it may and does not yet.
    pub fn prefer(&self, before: &PartitionRegistration) -> Option<PartitionRegistration> {
        let preferred = *before.replicas.first()?;
        if !before.isr.contains(&preferred) || !(self.is_active)(preferred) {
            return None;
        }
        let mut after = before.clone();
        after.leader = Some(preferred);
        self.seal(before, after)
    }

    /// The same state led by somebody else in sync, where its leader should be spared and another can.
    pub fn spare(
        &self,
        before: &PartitionRegistration,
        mut after: PartitionRegistration,
        is_spared: impl Fn(NodeId) -> bool,
    ) -> PartitionRegistration {
        if !after.leader.is_some_and(&is_spared) {
            return after;
        }
        let may_lead =
            |it: &NodeId| after.isr.contains(it) && (self.is_active)(*it) && !is_spared(*it);
        let Some(other) = after.replicas.iter().copied().find(may_lead) else {
            return after;
        };
        after.leader = Some(other);
        after.leader_epoch = if before.leader == Some(other) {
            before.leader_epoch
        } else {
            before.leader_epoch.next()
        };
        after.partition_epoch = before.partition_epoch.next();
        after
    }

    /// The ELR that goes with the ISR of `after`: in order of preference, without the ISR.
    fn eligible_later(
        &self,
        before: &PartitionRegistration,
        after: &PartitionRegistration,
    ) -> Vec<NodeId> {
        let isr = &after.isr;
        if isr.len() >= self.min_isr(after) {
            return Vec::new();
        }
        let holds_data =
            |it| !isr.contains(&it) && (before.isr.contains(&it) || before.elr.contains(&it));
        let elr = keep(&after.replicas, |it| holds_data(it) && !(self.may_lack)(it));
        if elr.is_empty() && isr.is_empty() {
            // Nobody else is left: whoever held the data last is the best there is to wait for.
            return keep(&after.replicas, holds_data);
        }
        elr
    }

    fn elect(&self, after: &mut PartitionRegistration) {
        let may_lead = |it: &NodeId| after.isr.contains(it) && (self.is_active)(*it);
        if after.leader.as_ref().is_some_and(may_lead) {
            return;
        }
        after.leader = after.replicas.iter().copied().find(may_lead);
        if after.leader.is_none() {
            self.elect_outside_isr(after);
        }
    }

    fn elect_outside_isr(&self, after: &mut PartitionRegistration) {
        let active = |it: &NodeId| (self.is_active)(*it);
        let in_elr = |it: &NodeId| after.elr.contains(it) && active(it);
        if let Some(leader) = after.replicas.iter().copied().find(in_elr) {
            let left = [after.isr.as_slice(), after.elr.as_slice()].concat();
            after.leader = Some(leader);
            after.isr = vec![leader];
            after.elr = if self.min_isr(after) <= 1 {
                Vec::new()
            } else {
                keep(&after.replicas, |it| it != leader && left.contains(&it))
            };
            return;
        }
        if is_planted(Fault::SilentUncleanElection)
            && let Some(leader) = after.replicas.iter().copied().find(active)
        {
            after.leader = Some(leader);
            after.isr = vec![leader];
            return;
        }
        if !self.rules.unclean_election {
            return;
        }
        if let Some(leader) = after.replicas.iter().copied().find(active) {
            after.leader = Some(leader);
            after.isr = vec![leader];
            after.elr = Vec::new();
            after.recovery = LeaderRecovery::Recovering;
        }
    }

    #[allow(clippy::unused_self, reason = "the last step of each change above")]
    fn seal(
        &self,
        before: &PartitionRegistration,
        mut after: PartitionRegistration,
    ) -> Option<PartitionRegistration> {
        if after == *before {
            return None;
        }
        // What one that is let go fetched must not count any more, nor may it go on leading.
        let is_let_go = |it: &NodeId| !after.replicas.contains(it);
        if after.leader != before.leader || before.replicas.iter().any(is_let_go) {
            after.leader_epoch = before.leader_epoch.next();
        }
        after.partition_epoch = before.partition_epoch.next();
        debug_assert!(
            after.leader.is_none_or(|it| after.isr.contains(&it)),
            "leader {:?} outside the ISR {:?}",
            after.leader,
            after.isr
        );
        Some(after)
    }

    fn min_isr(&self, partition: &PartitionRegistration) -> usize {
        self.rules.min_isr(partition.replication_factor())
    }
}

fn keep(nodes: &[NodeId], wanted: impl Fn(NodeId) -> bool) -> Vec<NodeId> {
    nodes.iter().copied().filter(|it| wanted(*it)).collect()
}

/// Who holds what a leader elected uncleanly may lack; nobody where the election was clean.
pub fn holders_lost(before: &PartitionRegistration, after: &PartitionRegistration) -> Vec<NodeId> {
    let held = |it: NodeId| before.isr.contains(&it) || before.elr.contains(&it);
    let is_unclean = after.recovery == LeaderRecovery::Recovering
        && after.leader.is_some_and(|leader| !held(leader));
    if is_unclean {
        keep(&before.replicas, held)
    } else {
        Vec::new()
    }
}

/// Says in the log what an unclean election may cost.
pub fn warn_of_loss(
    topic: &str,
    partition: TopicIdPartition,
    before: &PartitionRegistration,
    after: &PartitionRegistration,
) {
    let lost = holders_lost(before, after);
    if !lost.is_empty() {
        warn!(
            topic,
            partition = partition.partition,
            leader = ?after.leader,
            leader_epoch = %after.leader_epoch,
            ?lost,
            "unclean leader elected: records that only the lost replicas had are gone"
        );
    }
}

#[cfg(test)]
#[path = "election_test.rs"]
mod tests;
