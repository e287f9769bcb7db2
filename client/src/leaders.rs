//! Who leads the partitions of one topic, as the brokers tell, asked anew when one proved wrong.
//!
//! Promises: one question is under way at a time, whoever waits for it; brokers are asked in turn, and when one
//! hangs the next is asked too before it is given up; an older epoch never replaces a newer one.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drave_protocol::ids::{LeaderEpoch, NodeId, TopicId};

use crate::error::ClientError;
use crate::metadata;
use crate::network::connection::Connection;
use crate::network::pool::Pool;

/// A part of one broker's patience after which another is asked as well.
const HASTE: u32 = 8;

/// The leader of a partition, as a broker said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    pub node: NodeId,
    pub epoch: LeaderEpoch,
    pub address: String,
    pub topic_id: TopicId,
}

/// The leaders of one topic, and connections to them.
#[derive(Debug)]
pub struct Leaders {
    pool: Pool,
    topic: String,
    patience: Duration,
    known: Mutex<Known>,
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    by_partition: BTreeMap<i32, Leader>,
    /// The epochs of leaders that proved wrong: what is older is not believed.
    wrong: BTreeMap<i32, LeaderEpoch>,
    /// Whom to ask next comes first.
    brokers: Vec<String>,
}

impl Leaders {
    /// `bootstrap` is `host:port` with commas; `patience` is given to each broker asked.
    pub fn new(client_id: &str, bootstrap: &str, topic: &str, patience: Duration) -> Self {
        let addresses = bootstrap.split(',').map(str::trim);
        let brokers = addresses.filter(|it| !it.is_empty()).map(str::to_owned);
        Self {
            pool: Pool::new(client_id, patience),
            topic: topic.to_owned(),
            patience,
            known: Mutex::new(Known {
                brokers: brokers.collect(),
                ..Known::default()
            }),
            asking: tokio::sync::Mutex::new(()),
        }
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// `None` when the broker asked does not answer or knows of none: ask again, it will be another.
    pub async fn leader(&self, partition: i32) -> Option<Leader> {
        if let Some(leader) = self.known_leader(partition) {
            return Some(leader);
        }
        let _turn = self.asking.lock().await;
        // Whoever had the turn before may have asked for all.
        if let Some(leader) = self.known_leader(partition) {
            return Some(leader);
        }
        let leaders = self.ask_two().await?;
        self.learn(leaders);
        self.known_leader(partition)
    }

    /// What the next broker says, or, when it is silent for a while or does not know, the one after it.
    async fn ask_two(&self) -> Option<Vec<(i32, Leader)>> {
        let (first, second) = (self.next_broker()?, self.next_broker()?);
        let mut asked = pin!(self.ask(&first));
        let mut also = pin!(async {
            tokio::time::sleep(self.patience / HASTE).await;
            self.ask(&second).await
        });
        tokio::select! {
            Ok(leaders) = &mut asked => Some(leaders),
            Ok(leaders) = &mut also => Some(leaders),
            else => None,
        }
    }

    /// The leader, and a connection to it.
    pub async fn connect(&self, partition: i32) -> Result<(Leader, Arc<Connection>), ClientError> {
        let Some(leader) = self.leader(partition).await else {
            return Err(ClientError::NoBroker {
                tried: self.lock().brokers.clone(),
                after: self.patience,
                last: format!("no leader of {}-{partition} is known", self.topic),
            });
        };
        match self.pool.connection(&leader.address).await {
            Ok(connection) => Ok((leader, connection)),
            Err(error) => {
                self.distrust(partition, &leader);
                Err(error)
            }
        }
    }

    /// This leader failed: the next question goes to another broker.
    pub fn distrust(&self, partition: i32, leader: &Leader) {
        let mut known = self.lock();
        if known.by_partition.get(&partition) == Some(leader) {
            known.by_partition.remove(&partition);
            known.wrong.insert(partition, leader.epoch);
        }
    }

    fn known_leader(&self, partition: i32) -> Option<Leader> {
        self.lock().by_partition.get(&partition).cloned()
    }

    fn next_broker(&self) -> Option<String> {
        let mut known = self.lock();
        let address = known.brokers.first().cloned()?;
        known.brokers.rotate_left(1);
        Some(address)
    }

    async fn ask(&self, address: &str) -> Result<Vec<(i32, Leader)>, ClientError> {
        let connection = self.pool.connection(address).await?;
        let topics = [self.topic.clone()];
        let request = metadata::request(Some(&topics));
        let cluster = metadata::translate(connection.send(&request, self.patience).await?);
        let mut leaders = Vec::new();
        for topic in &cluster.topics {
            for partition in &topic.partitions {
                let mut brokers = cluster.brokers.iter();
                if let Some(broker) = brokers.find(|it| Some(it.id) == partition.leader) {
                    let leader = Leader {
                        node: broker.id,
                        epoch: partition.leader_epoch,
                        address: broker.address(),
                        topic_id: topic.topic_id,
                    };
                    leaders.push((partition.partition, leader));
                }
            }
        }
        Ok(leaders)
    }

    fn learn(&self, leaders: Vec<(i32, Leader)>) {
        let mut known = self.lock();
        for (partition, leader) in leaders {
            let is_stale = known
                .wrong
                .get(&partition)
                .is_some_and(|it| leader.epoch < *it);
            let newest = known.by_partition.get(&partition).map(|it| it.epoch);
            if !is_stale && newest.is_none_or(|it| it <= leader.epoch) {
                known.by_partition.insert(partition, leader);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Whole between any two of its operations, whoever panicked.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leader(node: i32, epoch: i32) -> Leader {
        Leader {
            node: NodeId(node),
            epoch: LeaderEpoch(epoch),
            address: format!("h:{node}"),
            topic_id: TopicId::default(),
        }
    }

    fn leaders() -> Leaders {
        Leaders::new("test", "a:1, b:2", "t", Duration::from_secs(1))
    }

    #[test]
    fn a_leader_that_failed_is_forgotten_and_no_older_one_is_believed() {
        let leaders = leaders();
        leaders.learn(vec![(0, leader(1, 5))]);
        leaders.distrust(0, &leader(2, 5));
        assert_eq!(leaders.known_leader(0), Some(leader(1, 5)));
        leaders.distrust(0, &leader(1, 5));
        leaders.learn(vec![(0, leader(3, 4))]);
        assert_eq!(leaders.known_leader(0), None);
        leaders.learn(vec![(0, leader(1, 5))]);
        assert_eq!(
            leaders.known_leader(0),
            Some(leader(1, 5)),
            "it may be back"
        );
    }

    #[test]
    fn brokers_are_asked_in_turn() {
        let leaders = leaders();
        let asked = [(); 3].map(|()| leaders.next_broker().unwrap());
        assert_eq!(asked, ["a:1", "b:2", "a:1"]);
    }
}
