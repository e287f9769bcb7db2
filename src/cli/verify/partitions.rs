//! `drave verify partitions`: what many partitions cost a cluster, and how long it takes to create them, to
//! do without one of its nodes, to have it back, and to delete them.
//!
//! One machine holds all nodes and this program: its processors are shared, and so are its figures.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use drave_client::admin::NewTopic;
use drave_client::metadata::TopicDescription;
use drave_client::{Admin, ClientError};
use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::NodeId;

use crate::cli::Exit;
use crate::cli::output::{self, Format, Table};
use crate::cli::verify::cluster::{Cluster, Shape};
use crate::cli::verify::home::Home;
use crate::cli::verify::node::Node;
use crate::cli::verify::usage::Usage;
use crate::cli::verify::windows::millis;
use crate::cli::verify::writes::Writes;
use crate::clock::Clock;

const PATIENCE: Duration = Duration::from_mins(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Until what was begun is left to itself.
const SETTLES_IN: Duration = Duration::from_secs(10);

const EXAMPLES: &str = "\
Examples:
  drave verify partitions                                  one topic of 10,000 partitions
  drave verify partitions --partitions 10000 --topics 1000 ten in each of a thousand topics";

/// Create many partitions, leave them idle, lose a node, have it back, delete them; and measure.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Partitions {
    #[arg(long, value_name = "N", default_value_t = 3)]
    nodes: i32,
    /// All topics together.
    #[arg(long = "partitions", value_name = "N", default_value_t = 10_000)]
    n_in_all: i32,
    #[arg(long, value_name = "N", default_value_t = 1)]
    topics: i32,
    #[arg(long, value_name = "N", default_value_t = 3)]
    replicas: i16,
    /// How long they are left idle.
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = super::duration)]
    idle: Duration,
    /// A setting of every node; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Keep the nodes' files.
    #[arg(long)]
    keep: bool,
}

/// What is told, in its order.
#[derive(Debug, Default)]
struct Figures {
    rows: Vec<(String, String)>,
}

impl Figures {
    fn time(&mut self, what: &str, took: Duration) {
        self.tell(what, format!("{} ms", millis(took)));
    }

    fn tell(&mut self, what: &str, figure: String) {
        output::complain(&format!("{what}: {figure}"));
        self.rows.push((what.to_owned(), figure));
    }

    fn show(&self, format: Format) {
        if format == Format::Json {
            let rows = self.rows.iter().cloned();
            let rows = rows.map(|(what, figure)| (what, figure.into()));
            return output::say_json(&serde_json::Value::Object(rows.collect()));
        }
        let mut table = Table::new(&["WHAT", "FIGURE"]);
        for (what, figure) in &self.rows {
            table.row([what.clone(), figure.clone()]);
        }
        output::say(&table.render());
    }
}

impl Partitions {
    pub(super) async fn run(&self, format: Format) -> anyhow::Result<Exit> {
        let clock = Clock::system();
        let shape = Shape {
            n_nodes: self.nodes,
            with_disks: false,
            with_wires: false,
            settings: super::pairs(&self.set)?,
        };
        let home = Home::create("drave-verify-partitions")?;
        let mut cluster = Cluster::lay_out(&shape, home, &clock)?;
        let done = self.measure(&mut cluster, &clock).await;
        if done.is_err() || self.keep {
            cluster.home().keep();
            output::complain(&format!("see {}", cluster.home_path().display()));
        }
        done?.show(format);
        Ok(Exit::Done)
    }

    async fn measure(&self, cluster: &mut Cluster, clock: &Clock) -> anyhow::Result<Figures> {
        cluster.start_all().await?;
        cluster.wait_ready(clock.now() + PATIENCE).await?;
        let admin = Admin::connect_within(&cluster.bootstrap(), PATIENCE).await?;
        let mut measuring = Measuring {
            names: (0..self.topics).map(|it| format!("many-{it}")).collect(),
            n_replicas: usize::try_from(self.replicas)?,
            admin,
            cluster,
            clock: clock.clone(),
            figures: Figures::default(),
        };
        let empty = measuring.usage()?;
        measuring.create(self).await?;
        measuring.stay_idle(&empty, self).await?;
        let mut writes = Writes::new(&measuring.cluster.bootstrap(), clock);
        let began = clock.now();
        writes.write_all(&measuring.describe().await?).await?;
        let took = clock.now().saturating_duration_since(began);
        measuring
            .figures
            .time("one record to each, acked by all", took);
        let controller = measuring.cluster.controller().context("a controller")?;
        let ids = measuring.cluster.ids();
        let other = ids.into_iter().find(|it| *it != controller);
        let other = other.context("another node")?;
        measuring.lose("a node", other, &mut writes).await?;
        measuring
            .lose("the controller", controller, &mut writes)
            .await?;
        measuring.delete().await?;
        Ok(measuring.figures)
    }
}

struct Measuring<'a> {
    names: Vec<String>,
    n_replicas: usize,
    admin: Admin,
    cluster: &'a mut Cluster,
    clock: Clock,
    figures: Figures,
}

impl Measuring<'_> {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn since(&self, began: Instant) -> Duration {
        self.now().saturating_duration_since(began)
    }

    async fn pass(&self, time: Duration) {
        self.clock.sleep_until(self.now() + time).await;
    }

    /// Of each node that runs.
    fn usage(&self) -> anyhow::Result<Vec<Usage>> {
        let running = self.cluster.nodes.iter().filter_map(Node::pid);
        running.map(Usage::of).collect()
    }

    async fn describe(&self) -> anyhow::Result<Vec<TopicDescription>> {
        Ok(self.admin.describe_topics(&self.names).await?)
    }

    async fn create(&mut self, asked: &Partitions) -> anyhow::Result<()> {
        let new = |name: &String| NewTopic {
            name: name.clone(),
            n_partitions: Some(asked.n_in_all / asked.topics.max(1)),
            replication_factor: Some(asked.replicas),
            configs: Vec::new(),
        };
        let new: Vec<NewTopic> = self.names.iter().map(new).collect();
        let began = self.now();
        for (name, outcome) in self.admin.create_topics(&new, false).await? {
            match outcome {
                // A first try that was not answered in time may have gone through.
                Err(ClientError::Refused {
                    code: ErrorCode::TopicAlreadyExists,
                    ..
                }) => {}
                outcome => drop(outcome.with_context(|| format!("creating {name}"))?),
            }
        }
        let took = self.since(began);
        self.figures.time("created: answered", took);
        self.wait_in_sync(began + PATIENCE).await?;
        let took = self.since(began);
        self.figures.time("created: all in sync", took);
        Ok(())
    }

    /// Waits until each partition has a leader and all its replicas in sync.
    async fn wait_in_sync(&mut self, deadline: Instant) -> anyhow::Result<()> {
        loop {
            let found = self.describe().await?;
            let all = found.iter().flat_map(|it| &it.partitions);
            let n_all = all.clone().count();
            let is_whole =
                |isr: usize, leader: Option<NodeId>| isr == self.n_replicas && leader.is_some();
            let n_whole = all.filter(|it| is_whole(it.isr.len(), it.leader)).count();
            if n_whole == n_all && n_all > 0 {
                return Ok(());
            }
            if let Some((_, what)) = self.cluster.dead().await.into_iter().next() {
                bail!("{what}");
            }
            if self.now() >= deadline {
                bail!("{n_whole} of {n_all} partitions are in sync after {PATIENCE:?}");
            }
            self.pass(LOOK_EVERY).await;
        }
    }

    async fn stay_idle(&mut self, empty: &[Usage], asked: &Partitions) -> anyhow::Result<()> {
        self.pass(SETTLES_IN).await;
        let before = self.usage()?;
        self.pass(asked.idle).await;
        let after = self.usage()?;
        let n = f64::from(asked.n_in_all.max(1));
        let per_node = |tell: &dyn Fn(&Usage, &Usage, &Usage) -> String| {
            let nodes = empty.iter().zip(&before).zip(&after);
            let told: Vec<String> = nodes.map(|((a, b), c)| tell(a, b, c)).collect();
            told.join(", ")
        };
        let cpu = per_node(&|_, before, after| {
            let share = (after.cpu_seconds - before.cpu_seconds) / asked.idle.as_secs_f64();
            format!("{:.1} %", share * 100.0)
        });
        let memory = per_node(&|_, _, after| format!("{:.0} MB", after.resident_kb / 1024.0));
        let each = per_node(&|empty, _, after| {
            format!("{:.1} kB", (after.resident_kb - empty.resident_kb) / n)
        });
        let files = per_node(&|_, _, after| after.n_files.to_string());
        self.figures
            .tell("idle: processor, of one core, per node", cpu);
        self.figures.tell("idle: memory per node", memory);
        self.figures
            .tell("idle: memory per partition and node", each);
        self.figures.tell("idle: open files per node", files);
        Ok(())
    }

    /// SIGKILL of a node: until each partition it led acks again, and until it is in all ISRs again.
    async fn lose(&mut self, who: &str, node: NodeId, writes: &mut Writes) -> anyhow::Result<()> {
        let before = self.describe().await?;
        let led = led_by(&before, node);
        let began = self.now();
        self.cluster.kill(node).await?;
        let moved = self.until_led_elsewhere(node, began + PATIENCE).await?;
        let moved = moved.saturating_duration_since(began);
        self.figures
            .time(&format!("{who} killed: all it led is led elsewhere"), moved);
        let acked = writes
            .until_acked(led, &self.names, began + PATIENCE)
            .await?;
        let gap = |at: &Instant| at.saturating_duration_since(began);
        let mut gaps: Vec<Duration> = acked.iter().map(gap).collect();
        gaps.sort_unstable();
        let (half, last) = (gaps.get(gaps.len() / 2), gaps.last());
        let figure = format!(
            "{} led; p50 {} ms, last {} ms",
            gaps.len(),
            millis(half.copied().unwrap_or_default()),
            millis(last.copied().unwrap_or_default())
        );
        self.figures.tell(
            &format!("{who} killed: each led partition acks again"),
            figure,
        );
        self.pass(SETTLES_IN).await;
        let began = self.now();
        self.cluster.start(node).await?;
        self.cluster.wait_ready(self.now() + PATIENCE).await?;
        let ready = self.since(began);
        self.wait_in_sync(began + PATIENCE).await?;
        let whole = self.since(began);
        self.figures.time(&format!("{who} started: ready"), ready);
        self.figures
            .time(&format!("{who} started: in all ISRs"), whole);
        Ok(())
    }

    /// When no partition is led by this node any more, nor by nobody.
    async fn until_led_elsewhere(
        &self,
        node: NodeId,
        deadline: Instant,
    ) -> anyhow::Result<Instant> {
        while self.now() < deadline {
            let found = self.describe().await?;
            let mut all = found.iter().flat_map(|it| &it.partitions);
            if all.all(|it| it.leader.is_some_and(|leader| leader != node)) {
                return Ok(self.now());
            }
            self.pass(LOOK_EVERY / 5).await;
        }
        bail!("node {node} still leads after {PATIENCE:?}")
    }

    /// Deletes all; meanwhile a topic of its own is written to.
    async fn delete(&mut self) -> anyhow::Result<()> {
        let other = NewTopic {
            name: "other".to_owned(),
            n_partitions: Some(self.cluster.ids().len().try_into()?),
            replication_factor: Some(self.n_replicas.try_into()?),
            configs: Vec::new(),
        };
        for (_, outcome) in self.admin.create_topics(&[other], false).await? {
            outcome?;
        }
        let bystander = Writes::bystander(&self.cluster.bootstrap(), "other", &self.clock).await?;
        let began = self.now();
        for (name, outcome) in self.admin.delete_topics(&self.names).await? {
            outcome.with_context(|| format!("deleting {name}"))?;
        }
        let took = self.since(began);
        self.figures.time("deleted: answered", took);
        while self.n_folders()? > 0 {
            if self.since(began) > PATIENCE {
                bail!("folders of deleted partitions are left after {PATIENCE:?}");
            }
            self.pass(LOOK_EVERY).await;
        }
        let took = self.since(began);
        self.figures.time("deleted: no file is left", took);
        let longest = bystander.stop().await;
        self.figures
            .time("deleted: longest wait for an ack elsewhere", longest);
        Ok(())
    }

    /// Of partitions, on all nodes.
    #[allow(clippy::disallowed_methods, reason = "folders of this run")]
    fn n_folders(&self) -> anyhow::Result<usize> {
        let mut n = 0;
        for node in &self.cluster.nodes {
            for entry in std::fs::read_dir(node.records_dir())? {
                let name = entry?.file_name();
                n += usize::from(name.to_string_lossy().starts_with("many-"));
            }
        }
        Ok(n)
    }
}

fn led_by(topics: &[TopicDescription], node: NodeId) -> Vec<(String, i32)> {
    let led = topics.iter().flat_map(|topic| {
        let mine = topic.partitions.iter().filter(|it| it.leader == Some(node));
        mine.map(|it| (topic.name.clone(), it.partition))
    });
    led.collect()
}
