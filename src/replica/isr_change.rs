//! Takes ISR proposals to the controller, all that are waiting in one request, one request at a time.
//!
//! Invariant: an unknown outcome is never guessed at. The leader keeps the maximal ISR until the
//! controller's answer or the metadata image tells it what became of the proposal.

use std::sync::Arc;
use std::time::{Duration, Instant};

use drave_protocol::ids::{BrokerEpoch, NodeId, PartitionEpoch};
use drave_raft::record::LeaderRecovery;
use tracing::{debug, warn};

use crate::cluster::rpc::{
    AlterPartition, AlterPartitionError, AlteredPartition, IsrMember, IsrProposal,
};

use super::leader::Proposal;
use super::partition::Partition;
use super::replicas::Replicas;

/// Between tries when no controller answers (Kafka's `AlterPartitionManager`: 50 ms).
const RETRY_AFTER: Duration = Duration::from_millis(50);
const DEADLINE: Duration = Duration::from_secs(2);

pub(super) async fn run(replicas: Replicas) {
    let tasks = replicas.tasks().clone();
    loop {
        tokio::select! {
            biased; // what is in flight at a stop is the next leader's to redo
            () = tasks.stopping() => return,
            proposals = replicas.signals().take_proposals() => send(&replicas, proposals).await,
        }
    }
}

async fn send(replicas: &Replicas, proposals: Vec<(Arc<Partition>, Proposal)>) {
    let Some(broker_epoch) = replicas.broker_epoch() else {
        retry_later(replicas, proposals).await;
        return;
    };
    let request = to_request(replicas.node(), broker_epoch, &proposals);
    let deadline = replicas.clock().now() + DEADLINE;
    let answers = match replicas.link().alter_partition(request, deadline).await {
        Ok(answers) => answers,
        Err(error) => {
            warn!(%error, n_partitions = proposals.len(), "ISR changes wait for a controller");
            retry_later(replicas, proposals).await;
            return;
        }
    };
    let mut again = Vec::new();
    for (partition, proposal) in proposals {
        let now = replicas.clock().now();
        if tell(&partition, &proposal, &answers, now) == Outcome::Open {
            again.push((partition, proposal));
        }
    }
    if !again.is_empty() {
        retry_later(replicas, again).await;
    }
}

/// What an answer left of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Decided, refused, or overtaken by what the image will tell.
    Over,
    /// The controller neither decided nor knows better than we do: to be asked again.
    Open,
}

/// Tells a leader what the controller answered to its proposal.
pub(super) fn tell(
    partition: &Arc<Partition>,
    proposal: &Proposal,
    answers: &[AlteredPartition],
    now: Instant,
) -> Outcome {
    let answer = answers.iter().find(|(id, _)| *id == partition.id());
    match answer.map(|(_, outcome)| outcome) {
        Some(Ok(registration)) => {
            partition.isr_decided(now, registration);
            Outcome::Over
        }
        Some(Err(error)) => refused(partition, error, proposal.partition_epoch, now),
        None => Outcome::Open,
    }
}

fn refused(
    partition: &Arc<Partition>,
    error: &AlterPartitionError,
    partition_epoch: PartitionEpoch,
    now: Instant,
) -> Outcome {
    debug!(partition = %partition.name(), ?error, "the controller refused an ISR change");
    match error {
        AlterPartitionError::IneligibleReplica { .. }
        | AlterPartitionError::NotReplica(_)
        | AlterPartitionError::WithoutLeader(_)
        | AlterPartitionError::RecoveringWithFollowers(_)
        | AlterPartitionError::BackToRecovering => {
            partition.isr_refused(now, partition_epoch);
            Outcome::Over
        }
        // Each of these says that the image will tell us something newer.
        AlterPartitionError::UnknownTopicId(_)
        | AlterPartitionError::UnknownPartition(_)
        | AlterPartitionError::FencedLeaderEpoch { .. }
        | AlterPartitionError::NotLeader { .. }
        | AlterPartitionError::InvalidUpdateVersion { .. } => Outcome::Over,
        AlterPartitionError::ControllerBehind { .. } => Outcome::Open,
    }
}

pub(super) fn to_request(
    node: NodeId,
    broker_epoch: BrokerEpoch,
    proposals: &[(Arc<Partition>, Proposal)],
) -> AlterPartition {
    let partitions = proposals.iter().map(|(partition, proposal)| IsrProposal {
        partition: partition.id(),
        leader_epoch: proposal.leader_epoch,
        partition_epoch: proposal.partition_epoch,
        isr: proposal
            .isr
            .iter()
            .map(|(member, epoch)| IsrMember {
                node: *member,
                broker_epoch: if *member == node {
                    broker_epoch
                } else {
                    *epoch
                },
            })
            .collect(),
        // A leader has recovered once it leads: it takes its own log as the truth.
        recovery: LeaderRecovery::Recovered,
    });
    AlterPartition {
        broker: node,
        broker_epoch,
        partitions: partitions.collect(),
    }
}

async fn retry_later(replicas: &Replicas, proposals: Vec<(Arc<Partition>, Proposal)>) {
    replicas
        .clock()
        .sleep_until(replicas.clock().now() + RETRY_AFTER)
        .await;
    for (partition, proposal) in proposals {
        if partition.still_proposes(&proposal) {
            replicas.signals().propose(&partition, proposal);
        }
    }
}
