//! `drave verify calm`: a machine with more to do than it can, and no fault at all. Nobody may be taken for
//! dead who is only slow: every leader that moves then is a failover without a cause.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use drave_client::Admin;
use serde_json::json;

use crate::cli::Exit;
use crate::cli::ask;
use crate::cli::output::{self, Format};
use crate::cli::verify::cluster::{self, Cluster, Shape};
use crate::cli::verify::history::History;
use crate::cli::verify::home::Home;
use crate::cli::verify::workload::{self, Plan, Workload};
use crate::clock::Clock;
use crate::http::answers::ClusterAnswer;
use crate::tasks::Tasks;

const PATIENCE: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Load without a fault: count failovers nobody asked for.
#[derive(Args, Debug)]
pub(super) struct Calm {
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = super::duration)]
    duration: Duration,
    /// Threads that do nothing but burn; one per processor when not given.
    #[arg(long, value_name = "N")]
    burners: Option<usize>,
    /// Records a second.
    #[arg(long, value_name = "N", default_value_t = 5000)]
    rate: u32,
    /// A setting of every node; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
}

/// What was seen to change.
#[derive(Debug, Default)]
struct Seen {
    epochs: BTreeMap<i32, i32>,
    n_leader_changes: u64,
    n_isr_shrinks: u64,
    in_sync: BTreeMap<i32, usize>,
    terms: BTreeSet<u64>,
}

impl Calm {
    pub(super) async fn run(&self, format: Format) -> anyhow::Result<Exit> {
        let clock = Clock::system();
        let shape = Shape {
            n_nodes: 3,
            with_disks: false,
            with_wires: false,
            settings: super::pairs(&self.set)?,
        };
        let home = Home::create("drave-verify-calm")?;
        let history = Arc::new(History::create(&home.path().join("history.jsonl"), &clock)?);
        let mut cluster = Cluster::lay_out(&shape, home, &clock)?;
        let (changes, n_dead) = self.load(&mut cluster, &history, &clock).await?;
        let n_false = changes.n_leader_changes + n_terms(&changes) + n_dead;
        let n_acked = history.standing().n_acked;
        let seconds = self.duration.as_secs();
        match format {
            Format::Table => output::say(&format!(
                "{seconds} s at full load, {n_acked} acked: {} leader changes, {} controller changes, \
                 {} shrinks of an ISR, {n_dead} nodes ended",
                changes.n_leader_changes,
                n_terms(&changes),
                changes.n_isr_shrinks
            )),
            Format::Json => output::say_json(&json!({
                "seconds": seconds,
                "acked": n_acked,
                "leader_changes": changes.n_leader_changes,
                "controller_changes": n_terms(&changes),
                "isr_shrinks": changes.n_isr_shrinks,
                "nodes_ended": n_dead,
            })),
        }
        Ok(if n_false == 0 {
            Exit::Done
        } else {
            Exit::Failed
        })
    }

    async fn load(
        &self,
        cluster: &mut Cluster,
        history: &Arc<History>,
        clock: &Clock,
    ) -> anyhow::Result<(Seen, u64)> {
        cluster.start_all().await?;
        cluster.wait_ready(clock.now() + PATIENCE).await?;
        let plan = Plan {
            bootstrap: cluster.bootstrap(),
            topic: "calm".to_owned(),
            n_partitions: 6,
            rate: self.rate,
            n_records: 10,
            record_bytes: 200,
            may_lose: false,
        };
        workload::create_topic(&plan, 3, 2).await?;
        let admin = Admin::connect(&plan.bootstrap).await?;
        cluster::wait_in_sync(&admin, &plan.topic, clock.now() + PATIENCE, clock).await?;
        let workload = Workload::start(&plan, history, clock);
        let tasks = Tasks::new();
        let is_over = self.burn(&tasks)?;
        let mut changes = Seen::default();
        let mut n_dead = 0;
        let end = clock.now() + self.duration;
        while clock.now() < end {
            for (_, what) in cluster.dead().await {
                output::complain(&what);
                n_dead += 1;
            }
            changes.look(&admin, &plan.topic, cluster).await;
            clock.sleep_until(clock.now() + LOOK_EVERY).await;
        }
        is_over.store(true, Ordering::Relaxed);
        workload.stop().await;
        Ok((changes, n_dead))
    }

    fn burn(&self, tasks: &Tasks) -> anyhow::Result<Arc<AtomicBool>> {
        let is_over = Arc::new(AtomicBool::new(false));
        let processors = std::thread::available_parallelism().context("how many processors?")?;
        for _ in 0..self.burners.unwrap_or(processors.get()) {
            let (over, pool) = (Arc::clone(&is_over), tasks.clone());
            let burn = move || burn_until(&over);
            tasks.spawn("verify burner", async move {
                pool.run_blocking(burn).await;
            });
        }
        Ok(is_over)
    }
}

fn burn_until(over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        std::hint::spin_loop();
    }
}

impl Seen {
    async fn look(&mut self, admin: &Admin, topic: &str, cluster: &Cluster) {
        for partition in cluster::partitions(admin, topic).await.unwrap_or_default() {
            let epoch = partition.leader_epoch.0;
            let before = self.epochs.insert(partition.partition, epoch);
            if before.is_some_and(|it| it != epoch) {
                self.n_leader_changes += 1;
            }
            let n = partition.isr.len();
            let before = self.in_sync.insert(partition.partition, n);
            if before.is_some_and(|it| n < it) {
                self.n_isr_shrinks += 1;
            }
        }
        for node in &cluster.nodes {
            let answer = ask::get(&node.http_url(), "/v1/cluster").ok();
            let answer =
                answer.and_then(|it| serde_json::from_value::<ClusterAnswer>(it.body).ok());
            self.terms.extend(answer.map(|it| it.term));
        }
    }
}

/// How often the controller changed.
fn n_terms(changes: &Seen) -> u64 {
    changes
        .terms
        .iter()
        .map(|_| 1)
        .sum::<u64>()
        .saturating_sub(1)
}
