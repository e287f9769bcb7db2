//! What an operator does whom the cluster waits for: a wiped disk is let in anew, and where everybody who
//! may lead lost its log, another replica leads at a price.

use drave::cluster::administration::{
    AdminRequest, AlterReassignments, ElectLeaders, ElectionKind, FactorChange, Reassignment,
};
use drave::cluster::operations::OperatorRequest;
use drave::cluster::rpc::PeerRequest;
use drave_protocol::ids::NodeId;
use drave_raft::ConnectionId;
use drave_raft::record::{LeaderRecovery, PartitionChangedV2};

use crate::history::Fact;

use super::event::{Event, Over, ToController, ToFault};
use super::{TOPIC, World, node_id, partition_id};

const AGAIN_AFTER_US: u64 = 1_000_000;

impl World {
    /// Asks the controller, if there is one; nobody of ours waits for the answer.
    pub(crate) fn ask_as_operator(&mut self, request: PeerRequest) -> bool {
        let mut running = (0..self.brokers.len()).filter_map(|it| Some((it, self.life(it)?)));
        let (Some(reign), Some((from, life))) = (self.active_reign(), running.next()) else {
            return false;
        };
        let what = ToController::Asked {
            from,
            life,
            connection: ConnectionId(self.id()),
            over: Over::Link { call: 0 },
            request,
        };
        self.after(100, Event::Controller { reign, what });
        true
    }

    /// Has any of the brokers hold it, as many as may be lost and one more, or goes back where it was.
    pub(crate) fn reassign(&mut self) {
        let mut all: Vec<NodeId> = (0..self.brokers.len()).map(node_id).collect();
        for last in (1..all.len()).rev() {
            let other = self.chance.below(last + 1);
            all.swap(last, other);
        }
        let n = self
            .chance
            .between(self.swarm.min_isr as u64, all.len() as u64 + 1);
        all.truncate(n as usize);
        let is_cancelled = self.chance.permille(150);
        self.ask_to_reassign((!is_cancelled).then_some(all));
    }

    fn ask_to_reassign(&mut self, target: Option<Vec<NodeId>>) {
        let reassign = AlterReassignments {
            reassignments: vec![Reassignment {
                topic: TOPIC.to_owned(),
                partition: partition_id().partition,
                target,
            }],
            factor_change: FactorChange::Allowed,
        };
        let request = AdminRequest::AlterReassignments(reassign);
        self.ask_as_operator(PeerRequest::Administer(request));
    }

    /// Has all brokers hold it again. Faults have ended.
    pub(crate) fn reassign_to_all(&mut self) {
        let n = self.brokers.len();
        let is_done = self.quorum.partition().is_none_or(|it| {
            it.replicas.len() == n
                && it.adding_replicas.is_empty()
                && it.removing_replicas.is_empty()
        });
        if is_done || self.now < self.reassigns_again_at {
            return;
        }
        self.reassigns_again_at = self.now + AGAIN_AFTER_US;
        self.ask_to_reassign(Some((0..n).map(node_id).collect()));
    }

    /// Again until it is done.
    pub(crate) fn readmit(&mut self, broker: usize) {
        let node = node_id(broker);
        let registered = self.quorum.latest().brokers.get(&node);
        let own = self.brokers[broker].directory;
        if registered.is_some_and(|it| it.directory == own) {
            return;
        }
        if registered.is_some() && self.life(broker).is_some() {
            let unregister = OperatorRequest::Unregister(node);
            self.ask_as_operator(PeerRequest::Operate(unregister));
        }
        self.after(AGAIN_AFTER_US, Event::Fault(ToFault::Readmit { broker }));
    }

    /// Has another replica lead where everybody else is waited for in vain. Faults have ended.
    pub(crate) fn elect_if_nobody_can(&mut self) {
        if self.now < self.asks_again_at || !self.waits_for_operator() {
            return;
        }
        let elect = ElectLeaders {
            kind: ElectionKind::Unclean,
            partitions: Some(vec![(TOPIC.to_owned(), partition_id().partition)]),
        };
        let request = PeerRequest::Administer(AdminRequest::ElectLeaders(elect));
        if self.ask_as_operator(request) {
            self.trace(|| "  ! an operator has any replica lead".to_owned(), 5);
            self.accepts_loss = true;
            self.asks_again_at = self.now + AGAIN_AFTER_US;
        }
    }

    /// Whether nobody leads, and each one that may lead lost its log for good.
    fn waits_for_operator(&self) -> bool {
        let Some(agreed) = self.quorum.partition() else {
            return false;
        };
        let mut eligible = agreed.isr.iter().chain(&agreed.elr).peekable();
        let is_one = eligible.peek().is_some();
        agreed.leader.is_none() && is_one && eligible.all(|it| self.has_lost_its_log(*it))
    }

    /// Known here, and said by the cluster too: the disk is another one, or the log is reported gone.
    fn has_lost_its_log(&self, node: NodeId) -> bool {
        let broker = node.0 as usize - 1;
        let image = self.quorum.latest();
        let registered = image.brokers.get(&node).map(|it| it.directory);
        let is_wiped = registered.is_some_and(|it| it != self.brokers[broker].directory);
        let is_gone = self.lost_log == Some(broker) && image.is_offline(node, partition_id());
        is_wiped || is_gone
    }

    /// Whether this is the election an operator asked for, of one that may lack what is committed.
    pub(crate) fn tell_if_loss_is_accepted(&mut self, change: &PartitionChangedV2) {
        let before = self.oracle.known().agreed.as_ref();
        let held =
            |it: NodeId| before.is_none_or(|at| at.isr.contains(&it) || at.elr.contains(&it));
        let Some(leader) = change.leader.filter(|it| !held(*it)) else {
            return;
        };
        if self.accepts_loss && change.recovery == LeaderRecovery::Recovering {
            self.n_losses += 1;
            self.tell(&Fact::LossAccepted { leader });
        }
    }
}
