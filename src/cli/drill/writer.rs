//! Writes numbered records to one partition, one at a time with `acks=all`, and remembers each ack.
//!
//! Invariant: a number is written again only while its outcome is unknown or refused; an acked number
//! never is. So a number found twice is a retry whose first try went through unanswered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use bytes::Bytes;
use drave_client::Pool;
use drave_client::metadata;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{LeaderEpoch, NodeId, Offset, TopicId, TopicPartition};
use drave_protocol::record::builder::BatchBuilder;
use drave_protocol::schema::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::tasks::Tasks;

const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// Short, so that it adds little to the gap that is measured.
const RETRY_PAUSE: Duration = Duration::from_millis(2);

/// A record that was acked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ack {
    pub(super) number: u64,
    pub(super) offset: Offset,
    pub(super) leader: NodeId,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) at: Instant,
}

/// The leader of the partition, as a broker said.
#[derive(Clone, Debug)]
pub(super) struct Leader {
    pub(super) node: NodeId,
    pub(super) epoch: LeaderEpoch,
    pub(super) address: String,
    pub(super) topic_id: TopicId,
}

/// A writer at work in a task of its own.
#[derive(Debug)]
pub(super) struct Writer {
    acks: Arc<Mutex<Vec<Ack>>>,
    n_acks: watch::Receiver<usize>,
    stop: watch::Sender<bool>,
}

impl Writer {
    pub(super) fn start(
        bootstrap: &str,
        partition: &TopicPartition,
        clock: &Clock,
        tasks: &Tasks,
    ) -> Self {
        let acks = Arc::new(Mutex::new(Vec::new()));
        let (told, n_acks) = watch::channel(0);
        let (stop, stopped) = watch::channel(false);
        let writing = Writing {
            brokers: Route::new(bootstrap, partition),
            clock: clock.clone(),
            acks: Arc::clone(&acks),
            told,
        };
        tasks.spawn("drill writer", writing.run(stopped));
        Self { acks, n_acks, stop }
    }

    pub(super) fn n_acks(&self) -> usize {
        *self.n_acks.borrow()
    }

    /// Waits until this many records are acked.
    pub(super) async fn acked(
        &self,
        n: usize,
        deadline: Instant,
        clock: &Clock,
    ) -> anyhow::Result<()> {
        let mut n_acks = self.n_acks.clone();
        tokio::select! {
            reached = n_acks.wait_for(|it| *it >= n) => reached.map(|_| ()).map_err(Into::into),
            () = clock.sleep_until(deadline) => bail!("only {} of {n} records were acked in time", self.n_acks()),
        }
    }

    /// Waits for an ack from a leader that is not this node.
    pub(super) async fn ack_of_another(
        &self,
        node: NodeId,
        deadline: Instant,
        clock: &Clock,
    ) -> anyhow::Result<Ack> {
        let mut seen = self.n_acks();
        loop {
            self.acked(seen + 1, deadline, clock).await?;
            let found = self
                .acks
                .lock()
                .iter()
                .skip(seen)
                .find(|it| it.leader != node)
                .copied();
            if let Some(ack) = found {
                return Ok(ack);
            }
            seen += 1;
        }
    }

    /// Lets the record in flight come to its end, and tells what was acked.
    pub(super) async fn stop(self) -> Vec<Ack> {
        self.stop.send_replace(true);
        let mut n_acks = self.n_acks.clone();
        // The sender goes with the task, which is what is waited for.
        while n_acks.changed().await.is_ok() {}
        std::mem::take(&mut *self.acks.lock())
    }
}

struct Writing {
    brokers: Route,
    clock: Clock,
    acks: Arc<Mutex<Vec<Ack>>>,
    told: watch::Sender<usize>,
}

impl Writing {
    async fn run(mut self, stopped: watch::Receiver<bool>) {
        let mut number = 0;
        while !*stopped.borrow() {
            if let Some(ack) = self.attempt(number).await {
                self.acks.lock().push(ack);
                self.told.send_modify(|it| *it += 1);
                number += 1;
            } else {
                self.brokers.forget_leader();
                self.clock.sleep_until(self.clock.now() + RETRY_PAUSE).await;
            }
        }
    }

    async fn attempt(&mut self, number: u64) -> Option<Ack> {
        let leader = self.brokers.leader().await?;
        let connection = self.brokers.pool.connection(&leader.address).await.ok()?;
        let request = self.request(number, leader.topic_id);
        let response = connection.send(&request, ATTEMPT_TIMEOUT).await.ok()?;
        let answer = response.responses.first()?.partition_responses.first()?;
        (ErrorCode::from_number(answer.error_code) == ErrorCode::None).then(|| Ack {
            number,
            offset: Offset(answer.base_offset),
            leader: leader.node,
            leader_epoch: leader.epoch,
            at: self.clock.now(),
        })
    }

    fn request(&self, number: u64, topic_id: TopicId) -> ProduceRequest {
        let batch = BatchBuilder::new().value(self.clock.wall_ms(), number.to_string());
        let data = PartitionProduceData {
            index: self.brokers.partition.partition,
            records: Some(Bytes::from(batch.build())),
        };
        ProduceRequest {
            acks: -1,
            timeout_ms: i32::try_from(ATTEMPT_TIMEOUT.as_millis()).unwrap_or(i32::MAX),
            topic_data: vec![TopicProduceData {
                name: self.brokers.partition.topic.clone(),
                topic_id,
                partition_data: vec![data],
            }],
            ..ProduceRequest::default()
        }
    }
}

/// The way to the leader of one partition, asked anew after every failure.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) pool: Pool,
    pub(super) partition: TopicPartition,
    bootstrap: Vec<String>,
    leader: Option<Leader>,
}

impl Route {
    pub(super) fn new(bootstrap: &str, partition: &TopicPartition) -> Self {
        Self {
            pool: Pool::new("drave-drill", CONNECT_TIMEOUT),
            partition: partition.clone(),
            bootstrap: bootstrap
                .split(',')
                .map(|it| it.trim().to_owned())
                .collect(),
            leader: None,
        }
    }

    pub(super) fn forget_leader(&mut self) {
        self.leader = None;
        // The next question goes to another broker: one that hangs must not be asked for ever.
        if !self.bootstrap.is_empty() {
            self.bootstrap.rotate_left(1);
        }
    }

    /// The leader by the newest epoch any broker that answers knows.
    pub(super) async fn leader(&mut self) -> Option<Leader> {
        if self.leader.is_none() {
            let address = self.bootstrap.first()?.clone();
            self.leader = self.ask(&address).await;
        }
        self.leader.clone()
    }

    async fn ask(&self, address: &str) -> Option<Leader> {
        let connection = self.pool.connection(address).await.ok()?;
        let topics = [self.partition.topic.clone()];
        let request = metadata::request(Some(&topics));
        let response = connection.send(&request, ATTEMPT_TIMEOUT).await.ok()?;
        let cluster = metadata::translate(response);
        let topic = cluster.topics.first()?;
        let mut partitions = topic.partitions.iter();
        let found = partitions.find(|it| it.partition == self.partition.partition)?;
        let node = found.leader?;
        let broker = cluster.brokers.iter().find(|it| it.id == node)?;
        Some(Leader {
            node,
            epoch: found.leader_epoch,
            address: broker.address(),
            topic_id: topic.topic_id,
        })
    }
}
