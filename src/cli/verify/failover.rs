//! `drave verify failover`: how long nobody can write when a leader, a controller or both are gone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use drave_client::Admin;
use drave_client::admin::NewTopic;
use drave_client::metadata::PartitionDescription;
use drave_protocol::ids::NodeId;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::cli::Exit;
use crate::cli::output::{self, Format, Table};
use crate::cli::verify::cluster::{self, Cluster, Shape, cannot_be_cut};
use crate::cli::verify::home::Home;
use crate::cli::verify::last_reading;
use crate::cli::verify::prober::Prober;
use crate::cli::verify::windows::millis;
use crate::cli::verify::wires::{Cut, Traffic};
use crate::clock::Clock;
use crate::oracle::Oracle;
use crate::oracle::event::Lane;

const PATIENCE: Duration = Duration::from_mins(1);
const POLL_EVERY: Duration = Duration::from_millis(20);
/// Before anything is broken, so that the writer is at speed; and after.
const ACKS_AROUND: u64 = 20;
const N_PARTITIONS: i32 = 9;

const EXAMPLES: &str = "\
Examples:
  drave verify failover                    20 trials of each kind
  drave verify failover --trials 200 --kinds leader,controller --format json";

/// Kill, freeze and cut off leaders and controllers under load, and measure.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Failover {
    /// Trials of each kind.
    #[arg(long, value_name = "N", default_value_t = 20)]
    trials: usize,
    #[arg(long, value_enum, value_name = "KINDS", value_delimiter = ',')]
    kinds: Option<Vec<Victim>>,
    /// A setting of every node; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Victim {
    /// kill -9 of a leader that is not the active controller.
    Leader,
    /// kill -9 of a leader that is the active controller too.
    LeaderAndController,
    /// kill -9 of the active controller; the partition written to is elsewhere.
    Controller,
    /// SIGSTOP of a leader.
    PausedLeader,
    /// A leader that no other node reaches, nor it them.
    CutOffLeader,
}

const ALL: [Victim; 5] = [
    Victim::Leader,
    Victim::LeaderAndController,
    Victim::Controller,
    Victim::PausedLeader,
    Victim::CutOffLeader,
];

impl Victim {
    fn told(self) -> &'static str {
        match self {
            Self::Leader => "kill -9, leader",
            Self::LeaderAndController => "kill -9, leader and controller",
            Self::Controller => "kill -9, controller",
            Self::PausedLeader => "SIGSTOP, leader",
            Self::CutOffLeader => "cut off, leader",
        }
    }

    /// What the longest gap should stay below.
    fn aim(self) -> Duration {
        Duration::from_millis(match self {
            Self::Leader => 300,
            Self::LeaderAndController | Self::Controller => 1_200,
            Self::PausedLeader | Self::CutOffLeader => 3_000,
        })
    }

    /// Replicas of the topic: where the controller dies, it is to have none of the partition.
    fn replicas(self) -> i16 {
        if self == Self::Controller { 2 } else { 3 }
    }

    fn suits(self, partition: &PartitionDescription, controller: NodeId) -> bool {
        let leads = partition.leader == Some(controller);
        match self {
            Self::Leader => !leads,
            Self::LeaderAndController => leads,
            Self::Controller => !partition.replicas.contains(&controller),
            Self::PausedLeader | Self::CutOffLeader => true,
        }
    }
}

/// What the trials of one kind showed.
#[derive(Debug)]
struct Series {
    victim: Victim,
    /// From the fault to the next ack; where the controller alone dies, to the next topic made.
    gaps: Vec<Duration>,
    /// The longest wait for an ack of a partition the dead controller had no part in.
    undisturbed: Duration,
    n_acked: u64,
    n_violations: u64,
    told: Vec<String>,
}

impl Failover {
    pub(super) async fn run(&self, format: Format) -> anyhow::Result<Exit> {
        let clock = Clock::system();
        let kinds = self.kinds.clone().unwrap_or_else(|| ALL.to_vec());
        let mut all = Vec::new();
        for victim in kinds {
            if victim == Victim::CutOffLeader
                && let Some(reason) = cannot_be_cut()
            {
                output::complain(&format!("{} is skipped: {reason}", victim.told()));
                continue;
            }
            let series = self.series(victim, &clock).await?;
            if format == Format::Table {
                output::say(&series.line());
            }
            all.push(series);
        }
        match format {
            Format::Table => output::say(&table(&all)),
            Format::Json => output::say_json(&all.iter().map(Series::json).collect()),
        }
        let is_clean = all.iter().all(|it| it.n_violations == 0);
        Ok(if is_clean { Exit::Done } else { Exit::Failed })
    }

    async fn series(&self, victim: Victim, clock: &Clock) -> anyhow::Result<Series> {
        let shape = Shape {
            n_nodes: 3,
            with_disks: false,
            // Only where they are cut: they cost time.
            with_wires: victim == Victim::CutOffLeader,
            settings: super::pairs(&self.set)?,
        };
        let home = Home::create("drave-verify-failover")?;
        let mut cluster = Cluster::lay_out(&shape, home, clock)?;
        let done = self.trials(victim, &mut cluster, clock).await;
        if done.is_err() {
            cluster.home().keep();
        }
        done.with_context(|| format!("see {}", cluster.home_path().display()))
    }

    async fn trials(
        &self,
        victim: Victim,
        cluster: &mut Cluster,
        clock: &Clock,
    ) -> anyhow::Result<Series> {
        cluster.start_all().await?;
        cluster.wait_ready(clock.now() + PATIENCE).await?;
        let topic = "failover";
        let admin = Admin::connect(&cluster.bootstrap()).await?;
        create(&admin, topic, N_PARTITIONS, victim.replicas()).await?;
        let mut trial = Trial {
            victim,
            cluster,
            clock: clock.clone(),
            admin,
            topic: topic.to_owned(),
            oracle: Arc::new(Mutex::new(Oracle::new())),
            number: 0,
        };
        let mut gaps = Vec::new();
        let mut undisturbed = Duration::ZERO;
        for _ in 0..self.trials {
            let (gap, longest) = trial.run().await?;
            gaps.push(gap);
            undisturbed = undisturbed.max(longest);
        }
        trial.close(gaps, undisturbed).await
    }
}

struct Trial<'a> {
    victim: Victim,
    cluster: &'a mut Cluster,
    clock: Clock,
    admin: Admin,
    topic: String,
    oracle: Arc<Mutex<Oracle>>,
    number: u32,
}

impl Trial<'_> {
    async fn run(&mut self) -> anyhow::Result<(Duration, Duration)> {
        let deadline = self.clock.now() + PATIENCE;
        cluster::wait_in_sync(&self.admin, &self.topic, deadline, &self.clock).await?;
        let (partition, leader, controller) = self.choose(deadline).await?;
        self.number += 1;
        let lane = Lane {
            producer: self.number,
            partition,
        };
        let bootstrap = self.cluster.bootstrap();
        let prober = Prober::start(&bootstrap, &self.topic, lane, &self.oracle, &self.clock);
        prober.more(ACKS_AROUND, deadline, &self.clock).await?;
        prober.forget_longest();
        let hit = if self.victim == Victim::Controller {
            controller
        } else {
            leader
        };
        let since = self.strike(hit).await?;
        let gap = if self.victim == Victim::Controller {
            self.until_a_topic_is_made(since, deadline).await?
        } else {
            let next = prober
                .ack_of_another(leader, since, deadline, &self.clock)
                .await?;
            next.at.saturating_duration_since(since)
        };
        prober.more(ACKS_AROUND, deadline, &self.clock).await?;
        let longest = prober.longest();
        self.heal(hit).await?;
        prober.stop().await;
        Ok((gap, longest))
    }

    /// A partition and its leader, as the kind wants them, and the active controller.
    async fn choose(&self, deadline: Instant) -> anyhow::Result<(i32, NodeId, NodeId)> {
        while self.clock.now() < deadline {
            if let Some(controller) = self.cluster.controller() {
                let found = cluster::partitions(&self.admin, &self.topic).await?;
                let mut suiting = found.iter().filter(|it| self.victim.suits(it, controller));
                if let Some((it, leader)) = suiting.find_map(|it| Some((it, it.leader?))) {
                    return Ok((it.partition, leader, controller));
                }
            }
            self.clock.sleep_until(self.clock.now() + POLL_EVERY).await;
        }
        bail!(
            "no partition has what is needed for: {}",
            self.victim.told()
        )
    }

    /// Returns when it happened.
    async fn strike(&mut self, node: NodeId) -> anyhow::Result<Instant> {
        let since = self.clock.now();
        match self.victim {
            Victim::Leader | Victim::LeaderAndController | Victim::Controller => {
                self.cluster.kill(node).await?;
            }
            Victim::PausedLeader => self.cluster.node(node)?.pause(),
            Victim::CutOffLeader => self.cluster.wires.cut(around(node, &self.cluster.ids())),
        }
        Ok(since)
    }

    async fn heal(&mut self, node: NodeId) -> anyhow::Result<()> {
        self.cluster.wires.cut(BTreeSet::new());
        self.cluster.node(node)?.resume();
        self.cluster.start(node).await?;
        self.cluster.wait_ready(self.clock.now() + PATIENCE).await
    }

    async fn until_a_topic_is_made(
        &self,
        since: Instant,
        deadline: Instant,
    ) -> anyhow::Result<Duration> {
        let name = format!("made-{}", self.number);
        loop {
            let asked =
                Admin::connect_within(&self.cluster.bootstrap(), Duration::from_secs(2)).await;
            let made = match asked {
                Ok(admin) => create(&admin, &name, 1, 2).await,
                Err(error) => Err(error.into()),
            };
            let now = self.clock.now();
            match made {
                Ok(()) => return Ok(now.saturating_duration_since(since)),
                // The first try may have gone through unanswered.
                Err(error) if error.to_string().contains("TOPIC_ALREADY_EXISTS") => {
                    return Ok(now.saturating_duration_since(since));
                }
                Err(error) if now >= deadline => return Err(error),
                Err(_) => self.clock.sleep_until(now + POLL_EVERY).await,
            }
        }
    }

    async fn close(self, gaps: Vec<Duration>, undisturbed: Duration) -> anyhow::Result<Series> {
        let deadline = self.clock.now() + PATIENCE;
        cluster::wait_in_sync(&self.admin, &self.topic, deadline, &self.clock).await?;
        let bootstrap = self.cluster.bootstrap();
        let mut events = Vec::new();
        let last = last_reading::read_all(
            &bootstrap,
            &self.topic,
            N_PARTITIONS,
            deadline,
            &self.clock,
            |it| {
                events.push(it);
            },
        )
        .await;
        if let Some(why) = last.unread.first() {
            bail!("{why}");
        }
        let mut oracle = std::mem::take(&mut *self.oracle.lock());
        for event in &events {
            oracle.see(event);
        }
        let verdict = oracle.close();
        Ok(Series {
            victim: self.victim,
            gaps,
            undisturbed,
            n_acked: verdict.n_acked,
            n_violations: verdict.counts.values().sum(),
            told: verdict.told.iter().map(ToString::to_string).collect(),
        })
    }
}

/// Nothing passes between this node and the others, either way.
fn around(node: NodeId, ids: &[NodeId]) -> BTreeSet<Cut> {
    let mut cuts = BTreeSet::new();
    for other in ids.iter().filter(|it| **it != node) {
        for traffic in [Traffic::Records, Traffic::Control] {
            for (from, to) in [(node, *other), (*other, node)] {
                cuts.insert(Cut { from, to, traffic });
            }
        }
    }
    cuts
}

async fn create(
    admin: &Admin,
    topic: &str,
    n_partitions: i32,
    replicas: i16,
) -> anyhow::Result<()> {
    let new = NewTopic {
        name: topic.to_owned(),
        n_partitions: Some(n_partitions),
        replication_factor: Some(replicas),
        configs: Vec::new(),
    };
    for (_, outcome) in admin.create_topics(&[new], false).await? {
        outcome?;
    }
    Ok(())
}

impl Series {
    /// The gap below which this share of the trials stayed.
    fn quantile(&self, share: f64) -> Duration {
        quantile(&self.gaps, share)
    }

    fn longest(&self) -> Duration {
        self.gaps.iter().max().copied().unwrap_or_default()
    }

    fn line(&self) -> String {
        format!(
            "{}: {} trials, p50 {} ms, p99 {} ms, max {} ms; {} acked, {} violations",
            self.victim.told(),
            self.gaps.len(),
            self.quantile(0.5).as_millis(),
            self.quantile(0.99).as_millis(),
            self.longest().as_millis(),
            self.n_acked,
            self.n_violations,
        )
    }

    fn json(&self) -> Value {
        json!({
            "kind": self.victim.told(),
            "trials": self.gaps.len(),
            "p50_ms": millis(self.quantile(0.5)),
            "p99_ms": millis(self.quantile(0.99)),
            "max_ms": millis(self.longest()),
            "aim_ms": millis(self.victim.aim()),
            "gaps_ms": self.gaps.iter().map(|it| millis(*it)).collect::<Vec<_>>(),
            "longest_ack_gap_ms": millis(self.undisturbed),
            "acked": self.n_acked,
            "violations": self.n_violations,
            "told": self.told,
        })
    }
}

fn quantile(gaps: &[Duration], share: f64) -> Duration {
    let mut sorted = gaps.to_vec();
    sorted.sort_unstable();
    // The smallest that so many are not above.
    let n_below = |at: usize| f64::from(u32::try_from(at + 1).unwrap_or(u32::MAX));
    let n = f64::from(u32::try_from(sorted.len()).unwrap_or(u32::MAX));
    let mut ranked = sorted.iter().enumerate();
    let found = ranked.find(|(at, _)| n_below(*at) >= share * n);
    found.map(|(_, it)| *it).unwrap_or_default()
}

fn table(all: &[Series]) -> String {
    let mut table = Table::new(&[
        "FAULT", "TRIALS", "P50 MS", "P99 MS", "MAX MS", "AIM MS", "",
    ]);
    for series in all {
        let note = if series.victim == Victim::Controller {
            format!(
                "until a topic is made; acks elsewhere waited {} ms at most",
                series.undisturbed.as_millis()
            )
        } else {
            "until the next ack".to_owned()
        };
        table.row([
            series.victim.told().to_owned(),
            series.gaps.len().to_string(),
            series.quantile(0.5).as_millis().to_string(),
            series.quantile(0.99).as_millis().to_string(),
            series.longest().as_millis().to_string(),
            series.victim.aim().as_millis().to_string(),
            note,
        ]);
    }
    let n_acked: u64 = all.iter().map(|it| it.n_acked).sum();
    let n_violations: u64 = all.iter().map(|it| it.n_violations).sum();
    let told: Vec<String> = all.iter().flat_map(|it| it.told.clone()).collect();
    format!(
        "\n{}\n\n{n_acked} acked, {n_violations} violations\n{}",
        table.render(),
        told.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_what_was_measured() {
        let gaps: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(quantile(&gaps, 0.5), Duration::from_millis(50));
        assert_eq!(quantile(&gaps, 0.99), Duration::from_millis(99));
        assert_eq!(quantile(&gaps[..1], 0.99), Duration::from_millis(1));
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn a_cut_off_node_is_cut_off_in_every_direction() {
        let ids = [NodeId(1), NodeId(2), NodeId(3)];
        let cuts = around(NodeId(2), &ids);
        assert_eq!(cuts.len(), 8);
        assert!(
            cuts.iter()
                .all(|it| it.from == NodeId(2) || it.to == NodeId(2))
        );
    }
}
