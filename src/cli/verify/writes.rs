//! One record to each of many partitions, all that one broker leads in one request, again until acked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use drave_client::Admin;
use drave_client::metadata::{Broker, TopicDescription};
use drave_client::network::pool::Pool;
use drave_protocol::ids::{NodeId, TopicId};
use drave_protocol::record::builder::BatchBuilder;
use drave_protocol::schema::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::tasks::Tasks;

const PATIENCE: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_millis(20);
const ALL: i16 = -1;

/// Topic and number.
pub(super) type Name = (String, i32);

#[derive(Debug)]
pub(super) struct Writes {
    bootstrap: String,
    pool: Pool,
    clock: Clock,
}

impl Writes {
    pub(super) fn new(bootstrap: &str, clock: &Clock) -> Self {
        Self {
            bootstrap: bootstrap.to_owned(),
            pool: Pool::new("drave-verify-writes", PATIENCE),
            clock: clock.clone(),
        }
    }

    /// Writes to every partition of these topics.
    pub(super) async fn write_all(&mut self, topics: &[TopicDescription]) -> anyhow::Result<()> {
        let names: Vec<String> = topics.iter().map(|it| it.name.clone()).collect();
        let all = topics.iter().flat_map(|topic| {
            let numbers = topic.partitions.iter().map(|it| it.partition);
            numbers.map(|it| (topic.name.clone(), it))
        });
        let deadline = self.clock.now() + Duration::from_mins(5);
        self.until_acked(all.collect(), &names, deadline).await?;
        Ok(())
    }

    /// When each of these was acked.
    pub(super) async fn until_acked(
        &mut self,
        mut left: Vec<Name>,
        topics: &[String],
        deadline: Instant,
    ) -> anyhow::Result<Vec<Instant>> {
        let admin = Admin::connect_within(&self.bootstrap, PATIENCE).await?;
        let mut acked = Vec::new();
        let mut last = "nobody was asked".to_owned();
        while !left.is_empty() {
            if self.clock.now() >= deadline {
                bail!("{} partitions do not ack: {last}", left.len());
            }
            let brokers = admin.describe_cluster().await?.brokers;
            let by_leader = led(&admin.describe_topics(topics).await?, &left);
            // One after the other would charge the second with what the first takes.
            let rounds = by_leader
                .iter()
                .map(|(leader, asked)| self.ask(*leader, &brokers, asked));
            for outcome in join_all(rounds).await {
                match outcome {
                    Ok((names, error)) => {
                        let now = self.clock.now();
                        acked.extend(names.iter().map(|_| now));
                        left.retain(|it| names.binary_search(it).is_err());
                        last = error.unwrap_or(last);
                    }
                    Err(error) => last = error.to_string(),
                }
            }
            if !left.is_empty() {
                self.clock.sleep_until(self.clock.now() + ASK_AGAIN).await;
            }
        }
        Ok(acked)
    }

    /// Who acked, sorted, and one reason of those who did not.
    async fn ask(
        &self,
        leader: NodeId,
        brokers: &[Broker],
        asked: &BTreeMap<(String, TopicId), Vec<i32>>,
    ) -> anyhow::Result<(Vec<Name>, Option<String>)> {
        let address = brokers.iter().find(|it| it.id == leader);
        let address = address.context("a leader nobody knows")?.address();
        let connection = self.pool.connection(&address).await?;
        let request = request(asked, &self.record());
        let response = connection.send(&request, PATIENCE * 2).await?;
        Ok(acked(&response, asked))
    }

    fn record(&self) -> Bytes {
        let batch = BatchBuilder::new().value(self.clock.wall_ms(), b"one record".to_vec());
        batch.build().freeze()
    }

    /// Writes to the partitions of another topic, again and again, and remembers the longest wait.
    pub(super) async fn bystander(
        bootstrap: &str,
        topic: &str,
        clock: &Clock,
    ) -> anyhow::Result<Bystander> {
        let admin = Admin::connect_within(bootstrap, PATIENCE).await?;
        let mut writes = Self::new(bootstrap, clock);
        let topics = [topic.to_owned()];
        writes
            .write_all(&admin.describe_topics(&topics).await?)
            .await?;
        let longest = Arc::new(Mutex::new(Duration::ZERO));
        let (stop, stopped) = watch::channel(false);
        let tasks = Tasks::new();
        let (seen, clock) = (Arc::clone(&longest), clock.clone());
        tasks.spawn("verify bystander", async move {
            while !*stopped.borrow() {
                let began = clock.now();
                let described = admin.describe_topics(&topics).await.unwrap_or_default();
                // One that is not acked in minutes is told as the longest wait all the same.
                drop(writes.write_all(&described).await);
                let took = clock.now().saturating_duration_since(began);
                let mut longest = seen.lock();
                *longest = (*longest).max(took);
            }
        });
        Ok(Bystander {
            longest,
            stop,
            tasks,
        })
    }
}

/// One who writes elsewhere meanwhile.
#[derive(Debug)]
pub(super) struct Bystander {
    longest: Arc<Mutex<Duration>>,
    stop: watch::Sender<bool>,
    tasks: Tasks,
}

impl Bystander {
    /// The longest it waited for an ack.
    pub(super) async fn stop(self) -> Duration {
        self.stop.send_replace(true);
        self.tasks.drain(PATIENCE * 2).await;
        *self.longest.lock()
    }
}

type ByLeader = BTreeMap<NodeId, BTreeMap<(String, TopicId), Vec<i32>>>;

/// Those that are left, by who leads them now.
fn led(topics: &[TopicDescription], left: &[Name]) -> ByLeader {
    let mut wanted: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in left {
        wanted.entry(topic).or_default().push(*partition);
    }
    for numbers in wanted.values_mut() {
        numbers.sort_unstable();
    }
    let mut by_leader = ByLeader::new();
    for topic in topics {
        let Some(wanted) = wanted.get(topic.name.as_str()) else {
            continue;
        };
        for it in &topic.partitions {
            if let Some(leader) = it.leader
                && wanted.binary_search(&it.partition).is_ok()
            {
                let key = (topic.name.clone(), topic.topic_id);
                let asked = by_leader.entry(leader).or_default().entry(key).or_default();
                asked.push(it.partition);
            }
        }
    }
    by_leader
}

fn request(asked: &BTreeMap<(String, TopicId), Vec<i32>>, record: &Bytes) -> ProduceRequest {
    let data = |index: &i32| PartitionProduceData {
        index: *index,
        records: Some(record.clone()),
    };
    let topic_data = asked
        .iter()
        .map(|((name, topic_id), numbers)| TopicProduceData {
            name: name.clone(),
            topic_id: *topic_id,
            partition_data: numbers.iter().map(data).collect(),
        });
    ProduceRequest {
        acks: ALL,
        timeout_ms: i32::try_from(PATIENCE.as_millis()).unwrap_or(i32::MAX),
        topic_data: topic_data.collect(),
        ..ProduceRequest::default()
    }
}

fn acked(
    response: &ProduceResponse,
    asked: &BTreeMap<(String, TopicId), Vec<i32>>,
) -> (Vec<Name>, Option<String>) {
    let (mut done, mut refused) = (Vec::new(), None);
    for topic in &response.responses {
        // Old versions answer by name, new ones by id.
        let mut names = asked.keys();
        let found = names.find(|(name, id)| *name == topic.name || *id == topic.topic_id);
        let Some((name, _)) = found else { continue };
        for it in &topic.partition_responses {
            if it.error_code == 0 {
                done.push((name.clone(), it.index));
            } else {
                refused = Some(format!("{name}-{} answers {}", it.index, it.error_code));
            }
        }
    }
    done.sort_unstable();
    (done, refused)
}

/// All at once.
async fn join_all<F: Future>(work: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = work.map(|it| (Box::pin(it), None)).collect();
    std::future::poll_fn(|context| {
        let mut is_done = true;
        for (work, outcome) in &mut pending {
            if outcome.is_none() {
                match work.as_mut().poll(context) {
                    std::task::Poll::Ready(it) => *outcome = Some(it),
                    std::task::Poll::Pending => is_done = false,
                }
            }
        }
        if is_done {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    pending.into_iter().filter_map(|(_, it)| it).collect()
}
