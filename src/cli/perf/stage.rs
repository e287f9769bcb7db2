//! The topic of a run, who leads its partitions, and which client writes and reads which of them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use drave_client::admin::NewTopic;
use drave_client::groups::Edge;
use drave_client::metadata::TopicDescription;
use drave_client::raw::Target;
use drave_client::{Admin, Connection};
use drave_protocol::ids::TopicId;

use crate::cli::perf::consume::Reader;
use crate::cli::perf::load::Load;
use crate::cli::perf::produce::Producer;
use crate::cli::perf::{Kind, Run};
use crate::clock::Clock;
use crate::tasks::Tasks;

/// For each question.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL_EVERY: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Stage {
    admin: Admin,
    topic: String,
    topic_id: TopicId,
    /// It was made for this run.
    is_ours: bool,
    n_clients: usize,
    /// The address of each partition's leader.
    leaders: BTreeMap<i32, String>,
}

/// What one client has to do with one broker.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) client: usize,
    pub(super) connection: Connection,
    pub(super) topic: String,
    pub(super) topic_id: TopicId,
    pub(super) partitions: Vec<i32>,
}

impl Lane {
    pub(super) fn target(&self, partition: i32) -> Target {
        Target {
            topic: self.topic.clone(),
            topic_id: self.topic_id,
            partition,
        }
    }
}

impl Stage {
    pub(super) async fn set(load: &Load, kind: Kind, clock: &Clock) -> anyhow::Result<Self> {
        let admin = load.brokers.admin(PATIENCE).await?;
        let name = format!("drave-perf-{}-{}", kind.name(), clock.wall_ms());
        let topic = load.topic.clone().unwrap_or(name);
        let mut stage = Self {
            admin,
            topic,
            topic_id: TopicId::default(),
            is_ours: load.topic.is_none(),
            n_clients: usize::from(load.connections),
            leaders: BTreeMap::new(),
        };
        if stage.is_ours {
            stage.create(load).await?;
        }
        stage.find_leaders(clock).await?;
        Ok(stage)
    }

    async fn create(&self, load: &Load) -> anyhow::Result<()> {
        let config = |text: &String| {
            let pair = text.split_once('=');
            let (name, value) =
                pair.with_context(|| format!("--config {text}: expected NAME=VALUE"))?;
            Ok((name.to_owned(), value.to_owned()))
        };
        let new = NewTopic {
            name: self.topic.clone(),
            n_partitions: Some(load.partitions),
            replication_factor: load.replication_factor,
            configs: load
                .configs
                .iter()
                .map(config)
                .collect::<anyhow::Result<_>>()?,
        };
        for (name, outcome) in self.admin.create_topics(&[new], false).await? {
            outcome.with_context(|| format!("cannot create {name}"))?;
        }
        Ok(())
    }

    async fn find_leaders(&mut self, clock: &Clock) -> anyhow::Result<()> {
        let deadline = clock.now() + PATIENCE;
        loop {
            let said = self.leaders_now().await?;
            if let Some((topic, leaders)) = said
                && self.they_know().await?
            {
                self.topic_id = topic.topic_id;
                self.leaders = leaders;
                return Ok(());
            }
            if clock.now() >= deadline {
                bail!(
                    "{} is not there, or not every partition of it has a leader, after {PATIENCE:?}",
                    self.topic
                );
            }
            clock.sleep_until(clock.now() + POLL_EVERY).await;
        }
    }

    /// Whether those said to lead do: one may be told so before it has heard it itself.
    async fn they_know(&self) -> anyhow::Result<bool> {
        let topics = std::slice::from_ref(&self.topic);
        match self.admin.edges(topics, Edge::Latest).await {
            Ok(ends) => Ok(!ends.is_empty()),
            Err(error) if error.is_retriable() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// `None` while somebody is missing.
    async fn leaders_now(
        &self,
    ) -> anyhow::Result<Option<(TopicDescription, BTreeMap<i32, String>)>> {
        let cluster = self.admin.describe_cluster().await?;
        let mut topics = self
            .admin
            .describe_topics(std::slice::from_ref(&self.topic))
            .await?;
        let Some(topic) = topics.pop() else {
            return Ok(None);
        };
        // One that was made a moment ago is not known everywhere yet.
        let may_come = self.is_ours || topic.error.is_retriable();
        if topic.error.is_error() && !may_come {
            bail!("topic {}: {:?}", self.topic, topic.error);
        }
        let mut leaders = BTreeMap::new();
        for partition in &topic.partitions {
            let mut brokers = cluster.brokers.iter();
            let leader = brokers.find(|it| Some(it.id) == partition.leader);
            let Some(leader) = leader else {
                return Ok(None);
            };
            leaders.insert(partition.partition, leader.address());
        }
        let is_whole = !leaders.is_empty();
        Ok(is_whole.then_some((topic, leaders)))
    }

    /// Partitions are dealt to the clients; when there are more clients, some share one.
    fn partitions_of(&self, client: usize) -> BTreeMap<&str, Vec<i32>> {
        let mut by_leader: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        let n = self.leaders.len();
        for (i, (partition, leader)) in self.leaders.iter().enumerate() {
            let is_theirs = if self.n_clients <= n {
                i % self.n_clients == client
            } else {
                client % n == i
            };
            if is_theirs {
                by_leader.entry(leader).or_default().push(*partition);
            }
        }
        by_leader
    }

    async fn lanes(&self, role: &str) -> anyhow::Result<Vec<Lane>> {
        let mut lanes = Vec::new();
        for client in 0..self.n_clients {
            for (address, partitions) in self.partitions_of(client) {
                let name = format!("drave-perf-{role}-{client}");
                lanes.push(Lane {
                    client,
                    connection: Connection::connect(address, &name, PATIENCE).await?,
                    topic: self.topic.clone(),
                    topic_id: self.topic_id,
                    partitions,
                });
            }
        }
        Ok(lanes)
    }

    pub(super) async fn start_writers(
        &self,
        tasks: &Tasks,
        run: &Run,
        kind: Kind,
    ) -> anyhow::Result<()> {
        let lanes = self.lanes("producer").await?;
        let n_lanes = u32::try_from(lanes.len()).unwrap_or(u32::MAX);
        for (i_lane, lane) in (0..).zip(lanes) {
            let producer = Producer::new(run.clone(), lane, kind, i_lane, n_lanes);
            tasks.spawn("perf producer", producer.run());
        }
        Ok(())
    }

    pub(super) async fn start_readers(
        &self,
        tasks: &Tasks,
        run: &Run,
        kind: Kind,
    ) -> anyhow::Result<()> {
        for lane in self.lanes("consumer").await? {
            let reader = Reader::open(run.clone(), lane, kind, PATIENCE).await?;
            tasks.spawn("perf consumer", reader.run());
        }
        Ok(())
    }

    pub(super) async fn clear(&self) -> anyhow::Result<()> {
        if !self.is_ours {
            return Ok(());
        }
        let names = [self.topic.clone()];
        for (name, outcome) in self.admin.delete_topics(&names).await? {
            outcome.with_context(|| format!("cannot delete {name}"))?;
        }
        Ok(())
    }
}
