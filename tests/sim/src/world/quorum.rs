//! The metadata quorum as what it promises: one log of agreed batches, and every node sees a prefix.

use std::sync::Arc;

use drave_protocol::ids::{MetadataOffset, NodeId};
use drave_raft::image::{MetadataImage, PartitionRegistration};
use drave_raft::record::{
    ClusterV1, ControllerActivatedV1, LeaderRecovery, MetadataRecord, PartitionCreatedV1,
    TopicCreatedV1,
};

use crate::history::{Agreed, Fact};

use super::event::{Event, ToBroker, ToController};
use super::network::{CONTROLLER, place};
use super::{TOPIC, World, node_id, partition_id, topic_id};

#[derive(Debug, Default)]
pub(crate) struct Quorum {
    /// The image after each agreed batch; its offset is its index.
    images: Vec<Arc<MetadataImage>>,
    pub(crate) term: u64,
    /// When each broker was fenced, if it is.
    pub(crate) fenced_at: Vec<Option<u64>>,
}

impl Quorum {
    pub(crate) fn len(&self) -> usize {
        self.images.len()
    }

    pub(crate) fn image(&self, at: usize) -> &Arc<MetadataImage> {
        &self.images[at]
    }

    pub(crate) fn latest(&self) -> &Arc<MetadataImage> {
        self.images.last().expect("it was formed")
    }

    pub(crate) fn partition(&self) -> Option<&PartitionRegistration> {
        self.latest().partition(partition_id()).map(AsRef::as_ref)
    }
}

impl World {
    /// Brokers that are not started yet, and a partition on all of them.
    pub(crate) fn form(&mut self) {
        let n = self.swarm.n_brokers;
        self.quorum.images.push(Arc::default());
        self.quorum.fenced_at = vec![None; n];
        self.quorum.term = 1;
        for broker in 0..n {
            self.add_broker(broker);
        }
        let all: Vec<_> = (0..n).map(node_id).collect();
        let cluster_id = "simulated".to_owned();
        let records = vec![
            MetadataRecord::Cluster(ClusterV1 { cluster_id }),
            MetadataRecord::TopicCreated(TopicCreatedV1 {
                topic_id: topic_id(),
                name: TOPIC.to_owned(),
            }),
            MetadataRecord::PartitionCreated(PartitionCreatedV1 {
                topic_id: topic_id(),
                partition: 0,
                replicas: all.clone(),
                isr: all,
                leader: None,
            }),
        ];
        self.push(1, &records);
        self.after(0, Event::Activate { term: 1 });
        for broker in 0..n {
            self.start(broker);
        }
        self.begin_load();
        let gap = self.swarm.fault_gap_us;
        self.after(gap, Event::Fault(super::event::ToFault::Begin));
    }

    /// Whether the batch fits what it met.
    fn push(&mut self, term: u64, records: &[MetadataRecord]) -> bool {
        let at = self.quorum.len();
        let before = Arc::clone(self.quorum.latest());
        let Ok((image, _)) = before.apply(MetadataOffset(at as u64), term, records) else {
            return false;
        };
        self.quorum.images.push(Arc::new(image));
        self.note_fences(records);
        // Each change is a fact, also where one batch has several.
        for record in records {
            if let MetadataRecord::PartitionChanged(it) = record {
                self.tell_if_loss_is_accepted(it);
                let current = self.current_brokers();
                let fact = Agreed {
                    current,
                    leader: it.leader,
                    leader_epoch: it.leader_epoch,
                    partition_epoch: it.previous_partition_epoch.next(),
                    isr: it.isr.clone(),
                    elr: it.elr.clone(),
                    is_recovering: it.recovery == LeaderRecovery::Recovering,
                };
                self.tell(&Fact::Agreed(fact));
            }
        }
        for broker in 0..self.brokers.len() {
            self.spread(broker);
        }
        true
    }

    fn current_brokers(&self) -> Vec<NodeId> {
        let registered = &self.quorum.latest().brokers;
        let is_current = |it: &usize| {
            let process = self.brokers[*it].process.as_ref();
            let own = process.and_then(|it| it.registration.standing().broker_epoch);
            let known = registered.get(&node_id(*it)).map(|it| it.broker_epoch);
            own.is_some() && own == known
        };
        (0..self.brokers.len())
            .filter(is_current)
            .map(node_id)
            .collect()
    }

    fn note_fences(&mut self, records: &[MetadataRecord]) {
        for record in records {
            let (broker, at) = match record {
                MetadataRecord::BrokerFenced(it) => (it.broker, Some(self.now)),
                MetadataRecord::BrokerUnfenced(it) => (it.broker, None),
                MetadataRecord::BrokerRegistered(it) => (it.broker, None),
                _ => continue,
            };
            self.quorum.fenced_at[broker.0 as usize - 1] = at;
        }
    }

    /// The news is on its way to a broker.
    fn spread(&mut self, broker: usize) {
        let Some(life) = self.life(broker) else {
            return;
        };
        if self.is_blocked(CONTROLLER, place(broker)) {
            return; // caught up with when it hears again
        }
        let lag = self.brokers[broker].metadata_lag_us;
        let delay = 100 + self.chance.between(0, lag);
        let what = ToBroker::Learn {
            upto: self.quorum.len() - 1,
        };
        self.after(delay, Event::Broker { broker, life, what });
    }

    /// After a network is whole again, and after a start.
    pub(crate) fn catch_up(&mut self, broker: usize) {
        self.spread(broker);
        let Some(life) = self.life(broker) else {
            return;
        };
        if let Some(reign) = self.active_reign()
            && !self.is_blocked(CONTROLLER, place(broker))
        {
            let delay = self.latency();
            let what = ToBroker::HearOfController { reign };
            self.after(delay, Event::Broker { broker, life, what });
        }
    }

    pub(crate) fn catch_up_all(&mut self) {
        for broker in 0..self.brokers.len() {
            self.catch_up(broker);
        }
    }

    pub(crate) fn agree(&mut self, reign: usize, records: Vec<MetadataRecord>) {
        let term = self.reigns[reign].term;
        let is_agreed = term == self.quorum.term && self.push(term, &records);
        if is_agreed {
            let delay = 100 + self.chance.between(0, 2_000);
            let what = ToController::Agreed;
            self.after(delay, Event::Controller { reign, what });
        } else {
            self.end_reign(reign);
            if term == self.quorum.term {
                // It starts over from what is agreed.
                self.after(10_000, Event::Activate { term });
            }
        }
    }

    /// The batch that makes what was agreed before known to the new controller.
    pub(crate) fn activate(&mut self, term: u64) {
        if term != self.quorum.term {
            return;
        }
        let controller = node_id(0);
        let record = MetadataRecord::ControllerActivated(ControllerActivatedV1 { controller });
        self.push(term, &[record]);
        self.begin_reign(term);
        self.catch_up_all();
    }
}
