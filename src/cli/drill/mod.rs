//! `drave drill`: kills the node that leads a partition while a writer writes to it, and tells what
//! the writer saw: who leads next, after how many milliseconds the next ack came, what was lost.
//!
//! - [`writer`] one record after the other with `acks=all`, and what was acked
//! - [`audit`] what is in the partition against what was acked
//! - [`victim`] the node that is killed, and brought back

mod audit;
mod victim;
mod writer;

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use drave_client::Admin;
use drave_client::admin::NewTopic;
use drave_client::metadata::PartitionDescription;
use drave_protocol::ids::{NodeId, TopicPartition};
use serde_json::{Value, json};

use crate::cli::Exit;
use crate::cli::ask::{Brokers, Nodes};
use crate::cli::drill::audit::Audit;
use crate::cli::drill::victim::Victims;
use crate::cli::drill::writer::{Ack, Writer};
use crate::cli::output::{self, Format};
use crate::clock::Clock;
use crate::http::answers::ClusterAnswer;
use crate::tasks::Tasks;

const REPLICAS: i16 = 3;
/// Acks before the kill, so that the writer is at speed, and after it.
const ACKS_AROUND: usize = 100;
const POLL_EVERY: Duration = Duration::from_millis(20);

const EXAMPLES: &str = "\
Examples:
  make failover                      one trial on the cluster of make cluster
  make failover TRIALS=20            figures: p50 and max
  drave drill --kill controller --pid-file 'run/node{}.pid' --restart 'run/start {}'";

/// Kill the leader of a partition under load, and see what its writer saw.
///
/// Needs three brokers on this machine. Each trial makes a topic of its own and deletes it.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Drill {
    #[command(flatten)]
    brokers: Brokers,
    #[command(flatten)]
    nodes: Nodes,
    /// Which leader to kill: one that is the active controller too, or one that is not.
    #[arg(long, value_enum, default_value_t = Target::Leader)]
    kill: Target,
    #[arg(long, value_name = "N", default_value_t = 1)]
    trials: usize,
    /// The file with a node's process id; {} stands for its node.id.
    #[arg(long, value_name = "PATH")]
    pid_file: String,
    /// The command that brings a node back; {} stands for its node.id.
    #[arg(long, value_name = "COMMAND")]
    restart: String,
    /// How long anything may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    Leader,
    Controller,
}

/// What one trial showed.
#[derive(Debug)]
struct Trial {
    killed: NodeId,
    was_controller: bool,
    next: Ack,
    /// From SIGKILL to the next ack.
    gap: Duration,
    /// From the start of the node to its return to the ISR.
    back: Duration,
    audit: Audit,
}

impl Drill {
    pub(super) fn run(self, format: Format) -> anyhow::Result<Exit> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build();
        runtime
            .context("cannot start the runtime")?
            .block_on(self.trials(format))
    }

    async fn trials(&self, format: Format) -> anyhow::Result<Exit> {
        let clock = Clock::system();
        let mut trials = Vec::new();
        for at in 1..=self.trials {
            let trial = self.trial(at, format, &clock).await?;
            if format == Format::Table {
                output::say(&trial.story(at));
            }
            trials.push(trial);
        }
        match format {
            Format::Table => output::say(&summary(&trials)),
            Format::Json => output::say_json(&trials.iter().map(Trial::json).collect()),
        }
        let is_clean = trials.iter().all(|it| it.audit.is_clean());
        Ok(if is_clean { Exit::Done } else { Exit::Failed })
    }

    async fn trial(&self, at: usize, format: Format, clock: &Clock) -> anyhow::Result<Trial> {
        let deadline = clock.now() + Duration::from_secs(self.timeout);
        let admin = self
            .brokers
            .admin(Duration::from_secs(self.timeout))
            .await?;
        let topic = format!("drave-drill-{}-{at}", clock.wall_ms());
        create(&admin, &topic).await?;
        let (partition, killed, was_controller) =
            self.choose(&admin, &topic, deadline, clock).await?;
        let partition = TopicPartition {
            topic: topic.clone(),
            partition,
        };
        if format == Format::Table {
            let also = if was_controller {
                ", the active controller"
            } else {
                ""
            };
            output::say(&format!(
                "node {killed} leads {partition}{also}; writing, then kill -9 {killed}"
            ));
        }

        let tasks = Tasks::new();
        let victims = Victims::new(&self.pid_file, &self.restart);
        let writer = Writer::start(&self.brokers.addresses(), &partition, clock, &tasks);
        writer.acked(ACKS_AROUND, deadline, clock).await?;
        let (next, gap) = kill(&victims, killed, &writer, deadline, clock).await?;
        writer
            .acked(writer.n_acks() + ACKS_AROUND, deadline, clock)
            .await?;
        let acks = writer.stop().await;

        let restarted_at = clock.now();
        victims.restart(killed, &tasks).await?;
        until_in_sync(&admin, &partition, deadline, clock).await?;
        let back = clock.now() - restarted_at;
        let audit = audit::run(
            &self.brokers.addresses(),
            &partition,
            &acks,
            deadline,
            clock,
        )
        .await?;
        tasks.drain(Duration::from_secs(1)).await;
        if audit.is_clean() {
            admin.delete_topics(&[topic]).await?;
        }
        Ok(Trial {
            killed,
            was_controller,
            next,
            gap,
            back,
            audit,
        })
    }

    /// A partition in sync whose leader is what is to be killed.
    async fn choose(
        &self,
        admin: &Admin,
        topic: &str,
        deadline: Instant,
        clock: &Clock,
    ) -> anyhow::Result<(i32, NodeId, bool)> {
        while clock.now() < deadline {
            let controller = self.controller();
            for it in partitions(admin, topic).await? {
                let (Some(leader), true) = (it.leader, is_in_sync(&it)) else {
                    continue;
                };
                let is_controller = controller == Some(leader);
                if is_controller == (self.kill == Target::Controller) {
                    return Ok((it.partition, leader, is_controller));
                }
            }
            clock.sleep_until(clock.now() + POLL_EVERY).await;
        }
        bail!("no partition of {topic} has such a leader; is the cluster whole?")
    }

    fn controller(&self) -> Option<NodeId> {
        let answer = self.nodes.get_any("/v1/cluster").ok()?;
        serde_json::from_value::<ClusterAnswer>(answer.body)
            .ok()?
            .controller
    }
}

async fn create(admin: &Admin, topic: &str) -> anyhow::Result<()> {
    let new = NewTopic {
        name: topic.to_owned(),
        n_partitions: Some(i32::from(REPLICAS)),
        replication_factor: Some(REPLICAS),
        configs: Vec::new(),
    };
    for (name, outcome) in admin.create_topics(&[new], false).await? {
        outcome.with_context(|| format!("cannot create {name}"))?;
    }
    Ok(())
}

async fn kill(
    victims: &Victims,
    node: NodeId,
    writer: &Writer,
    deadline: Instant,
    clock: &Clock,
) -> anyhow::Result<(Ack, Duration)> {
    let killed_at = clock.now();
    victims.kill(node)?;
    let next = writer.ack_of_another(node, deadline, clock).await?;
    Ok((next, next.at.saturating_duration_since(killed_at)))
}

async fn until_in_sync(
    admin: &Admin,
    partition: &TopicPartition,
    deadline: Instant,
    clock: &Clock,
) -> anyhow::Result<()> {
    while clock.now() < deadline {
        // The node asked may just be the one that comes back.
        let found = partitions(admin, &partition.topic)
            .await
            .unwrap_or_default();
        if found.len() == usize::try_from(REPLICAS).unwrap_or_default()
            && found.iter().all(is_in_sync)
        {
            return Ok(());
        }
        clock.sleep_until(clock.now() + POLL_EVERY).await;
    }
    bail!("{partition} did not get its replicas back in sync")
}

async fn partitions(admin: &Admin, topic: &str) -> anyhow::Result<Vec<PartitionDescription>> {
    let topics = admin.describe_topics(&[topic.to_owned()]).await?;
    ensure!(!topics.is_empty(), "{topic} is not known");
    Ok(topics.into_iter().flat_map(|it| it.partitions).collect())
}

fn is_in_sync(partition: &PartitionDescription) -> bool {
    partition.isr.len() == partition.replicas.len() && !partition.replicas.is_empty()
}

impl Trial {
    fn story(&self, at: usize) -> String {
        let Self {
            killed,
            next,
            audit,
            ..
        } = self;
        format!(
            "  {at}: node {killed} died; node {} leads at epoch {}; the next ack came after {} ms\n     \
             node {killed} came back, in sync after {} ms; {audit}",
            next.leader,
            next.leader_epoch,
            self.gap.as_millis(),
            self.back.as_millis(),
        )
    }

    fn json(&self) -> Value {
        json!({
            "killed": self.killed.0,
            "was_controller": self.was_controller,
            "next_leader": self.next.leader.0,
            "next_leader_epoch": self.next.leader_epoch.0,
            "next_ack_ms": ms(self.gap),
            "in_sync_again_ms": ms(self.back),
            "acked": self.audit.acked,
            "lost": self.audit.lost,
            "repeated": self.audit.repeated,
            "out_of_order": self.audit.out_of_order,
        })
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// p50 and maximum of the gaps.
fn summary(trials: &[Trial]) -> String {
    let mut gaps: Vec<u64> = trials.iter().map(|it| ms(it.gap)).collect();
    gaps.sort_unstable();
    let middle = gaps
        .get(gaps.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or_default();
    let longest = gaps.last().copied().unwrap_or_default();
    let n_lost: usize = trials.iter().map(|it| it.audit.lost).sum();
    format!(
        "{} trials: next ack after p50 {middle} ms, max {longest} ms; lost {n_lost}",
        trials.len()
    )
}
