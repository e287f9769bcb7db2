//! One run from its start to its verdict: write and break, heal, come to rest, read back, compare.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use drave_client::Admin;
use tokio::sync::watch;

use crate::cli::Exit;
use crate::cli::output::{self, Format};
use crate::cli::verify::cluster::{self, Cluster, Shape, cannot_be_cut};
use crate::cli::verify::disk::cannot_be_mounted;
use crate::cli::verify::faults::{self, Kind, Strike};
use crate::cli::verify::history::History;
use crate::cli::verify::home::Home;
use crate::cli::verify::nemesis::Nemesis;
use crate::cli::verify::replicas::{self, Replica};
use crate::cli::verify::report::Report;
use crate::cli::verify::view::View;
use crate::cli::verify::workload::{self, Plan, Workload};
use crate::cli::verify::{Trial, pairs};
use crate::clock::Clock;
use crate::config::{BrokerConfig, FlushMode};
use crate::oracle::verdict;
use crate::random::Random;
use crate::tasks::Tasks;

const START_PATIENCE: Duration = Duration::from_mins(3);
/// What is due is on disk this much later at the latest.
const SYNC_TAKES: Duration = Duration::from_secs(1);
/// Kept small, so that logs roll and are cut across segments.
const SEGMENT_BYTES: &str = "1048576";

/// Whether a kind needs something that may not be there.
type Needs = fn(Kind) -> bool;

/// What is done, once it is known what can be.
#[derive(Debug)]
struct Course {
    seed: u64,
    kinds: Vec<Kind>,
    skipped: Vec<(String, String)>,
    strikes: Vec<Strike>,
}

pub(super) async fn run(trial: &Trial, format: Format) -> anyhow::Result<Exit> {
    let clock = Clock::system();
    let course = Course::plan(trial)?;
    let report = match &trial.bootstrap {
        Some(bootstrap) => elsewhere(trial, bootstrap, &course, &clock).await?,
        None => here(trial, &course, &clock).await?,
    };
    match format {
        Format::Table => output::say(&report.text()),
        Format::Json => output::say_json(&report.json()),
    }
    if let Some(path) = &trial.json {
        write_json(path, &report)?;
    }
    Ok(if report.is_clean() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

#[allow(clippy::disallowed_methods, reason = "the report, written once")]
fn write_json(path: &std::path::Path, report: &Report) -> anyhow::Result<()> {
    let text = format!("{:#}\n", report.json());
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

impl Course {
    fn plan(trial: &Trial) -> anyhow::Result<Self> {
        let seed = trial
            .seed
            .unwrap_or_else(|| Random::system().u64() % 1_000_000);
        let mut kinds = trial.kinds()?;
        let mut skipped = Vec::new();
        if trial.bootstrap.is_some() {
            kinds.clear();
        }
        if trial.power_cuts.is_some() {
            kinds = vec![Kind::Power];
        }
        let needs: [(Needs, Option<String>); 2] = [
            (Kind::needs_disks, cannot_be_mounted()),
            (Kind::needs_wires, cannot_be_cut()),
        ];
        for (needs, reason) in needs {
            let Some(reason) = reason else { continue };
            for kind in kinds.iter().filter(|it| needs(**it)) {
                skipped.push((kind.name().to_owned(), reason.clone()));
            }
            kinds.retain(|it| !needs(*it));
        }
        if let (Some(_), [(_, why), ..]) = (trial.power_cuts, skipped.as_slice()) {
            anyhow::bail!("the power cannot be cut here: {why}");
        }
        let nodes: Vec<_> = (1..=trial.nodes).map(drave_protocol::ids::NodeId).collect();
        let mut strikes = faults::draw(seed, &kinds, &nodes, trial.duration);
        if let Some(n) = trial.power_cuts {
            // Longer than so many take.
            let long = Duration::from_secs(10) * u32::try_from(n + 1)?;
            strikes = faults::draw(seed, &kinds, &nodes, long);
            strikes.truncate(n);
        }
        Ok(Self {
            seed,
            kinds,
            skipped,
            strikes,
        })
    }

    fn struck(&self) -> Vec<(&'static str, usize)> {
        let mut struck = BTreeMap::new();
        for strike in &self.strikes {
            *struck.entry(strike.kind.name()).or_default() += 1;
        }
        struck.into_iter().collect()
    }
}

/// A cluster that somebody else runs.
async fn elsewhere(
    trial: &Trial,
    bootstrap: &str,
    course: &Course,
    clock: &Clock,
) -> anyhow::Result<Report> {
    let mut home = Home::create(&format!("drave-verify-{}", course.seed))?;
    let history = Arc::new(History::create(&home.path().join("history.jsonl"), clock)?);
    let plan = plan(trial, bootstrap, course.seed);
    let admin = Admin::connect(bootstrap).await?;
    let n_brokers = admin.describe_cluster().await?.brokers.len();
    create_topic(trial, &plan, n_brokers).await?;
    let workload = Workload::start(&plan, &history, clock);
    let (stop_view, _tasks) = start_view(trial, course, &history, clock);
    clock.sleep_until(clock.now() + trial.duration).await;
    rest(trial, &plan, &workload, &history, clock).await?;
    stop_view.send_replace(true);
    let mut report = report(trial, course, &history, None)?;
    if trial.keep || !report.is_clean() {
        home.keep();
        report.kept_in = Some(home.path().display().to_string());
    }
    Ok(report)
}

/// A cluster of our own, and everything that can happen to it.
async fn here(trial: &Trial, course: &Course, clock: &Clock) -> anyhow::Result<Report> {
    let home = Home::create(&format!("drave-verify-{}", course.seed))?;
    let history = Arc::new(History::create(&home.path().join("history.jsonl"), clock)?);
    let mut settings = vec![("log.segment.bytes".to_owned(), SEGMENT_BYTES.to_owned())];
    settings.extend(pairs(&trial.set)?);
    let shape = Shape {
        n_nodes: trial.nodes,
        with_disks: course.kinds.iter().any(|it| it.needs_disks()),
        with_wires: cannot_be_cut().is_none(),
        settings,
    };
    let mut cluster = Cluster::lay_out(&shape, home, clock)?;
    let tried = try_out(trial, course, &mut cluster, &history, clock).await;
    if tried.is_err() {
        // Whoever has to find out why needs the logs.
        cluster.home().keep();
        return tried.with_context(|| format!("see {}", cluster.home_path().display()));
    }
    let mut report = tried?;
    if trial.keep || !report.is_clean() {
        cluster.home().keep();
        report.kept_in = Some(cluster.home_path().display().to_string());
    }
    Ok(report)
}

async fn try_out(
    trial: &Trial,
    course: &Course,
    cluster: &mut Cluster,
    history: &Arc<History>,
    clock: &Clock,
) -> anyhow::Result<Report> {
    cluster.start_all().await?;
    cluster.wait_ready(clock.now() + START_PATIENCE).await?;
    let mut plan = plan(trial, &cluster.bootstrap(), course.seed);
    if let Some(allowed) = allowed_to_go(trial, course)? {
        plan.may_lose = true;
        history.may_lose(allowed);
    }
    create_topic(trial, &plan, cluster.nodes.len()).await?;
    let workload = Workload::start(&plan, history, clock);
    let (stop_view, _tasks) = start_view(trial, course, history, clock);

    let mut nemesis = Nemesis::new(cluster, &plan.topic, history, clock);
    if trial.power_cuts.is_some() {
        nemesis.cut_power(&course.strikes).await?;
    } else {
        nemesis.run(&course.strikes, trial.duration).await?;
    }
    let healed = nemesis.heal(clock.now() + trial.heal).await;
    if let Err(error) = healed {
        history.found(verdict::Kind::NotHealed, 1, format!("{error:#}"));
    }
    let ends = rest(trial, &plan, &workload, history, clock).await?;
    stop_view.send_replace(true);
    if let Err(error) = cluster.stop_all().await {
        history.found(verdict::Kind::NodeDied, 1, format!("{error:#}"));
    }
    let n_equal = compare(cluster, &plan, &ends, history)?;
    report(trial, course, history, Some(n_equal))
}

/// The healed phase: everything goes on, then all is quiet, then all is read once more.
async fn rest(
    trial: &Trial,
    plan: &Plan,
    workload: &Workload,
    history: &Arc<History>,
    clock: &Clock,
) -> anyhow::Result<BTreeMap<i32, i64>> {
    workload.come_to_rest(clock.now() + trial.heal).await;
    let deadline = clock.now() + trial.heal;
    let in_sync = match Admin::connect(&plan.bootstrap).await {
        Ok(admin) => cluster::wait_in_sync(&admin, &plan.topic, deadline, clock).await,
        Err(error) => Err(error.into()),
    };
    if let Err(error) = in_sync {
        history.found(verdict::Kind::NotHealed, 1, format!("{error:#}"));
    }
    Ok(workload.read_to_the_end(clock.now() + trial.heal).await)
}

fn compare(
    cluster: &Cluster,
    plan: &Plan,
    ends: &BTreeMap<i32, i64>,
    history: &History,
) -> anyhow::Result<u64> {
    let mut n_equal = 0;
    for (partition, end) in ends {
        let folder = format!("{}-{partition}", plan.topic);
        let replica = |node: &crate::cli::verify::node::Node| Replica {
            node: node.id,
            folder: node.records_dir().join(&folder),
        };
        let replicas: Vec<Replica> = cluster.nodes.iter().map(replica).collect();
        let replicas: Vec<Replica> = replicas
            .into_iter()
            .filter(|it| it.folder.is_dir())
            .collect();
        n_equal += replicas::compare(*partition, &replicas, *end, history)?;
    }
    Ok(n_equal)
}

fn plan(trial: &Trial, bootstrap: &str, seed: u64) -> Plan {
    Plan {
        bootstrap: bootstrap.to_owned(),
        topic: format!("drave-verify-{seed}-{}", std::process::id()),
        n_partitions: trial.partitions,
        rate: trial.rate,
        n_records: trial.batch.max(1),
        record_bytes: trial.record_bytes,
        may_lose: false,
    }
}

/// How long before a cut of the power what was acked may go with it, where acks do not wait for disks.
fn allowed_to_go(trial: &Trial, course: &Course) -> anyhow::Result<Option<Duration>> {
    let set = pairs(&trial.set)?;
    let set = set
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let config = BrokerConfig::from_pairs(set)?;
    let goes = config.log_flush_mode == FlushMode::Async && course.kinds.contains(&Kind::Power);
    Ok(goes.then(|| config.log_flush_interval + SYNC_TAKES))
}

async fn create_topic(trial: &Trial, plan: &Plan, n_brokers: usize) -> anyhow::Result<()> {
    let most = i16::try_from(n_brokers).unwrap_or(i16::MAX).min(3);
    let replicas = trial.replicas.unwrap_or(most);
    // What is acked is on two disks at least, where there are three.
    let min_in_sync = (replicas - 1).max(1);
    workload::create_topic(plan, replicas, min_in_sync).await
}

fn start_view(
    trial: &Trial,
    course: &Course,
    history: &Arc<History>,
    clock: &Clock,
) -> (watch::Sender<bool>, Tasks) {
    let (stop, stopped) = watch::channel(false);
    let of = trial
        .bootstrap
        .clone()
        .unwrap_or_else(|| format!("{} nodes", trial.nodes));
    let view = View {
        title: format!("drave verify · {of} · seed {}", course.seed),
        history: Arc::clone(history),
        clock: clock.clone(),
        stop: stopped,
    };
    let tasks = Tasks::new();
    tasks.spawn("verify view", view.run());
    (stop, tasks)
}

fn report(
    trial: &Trial,
    course: &Course,
    history: &History,
    n_equal_batches: Option<u64>,
) -> anyhow::Result<Report> {
    Ok(Report {
        closed: history.close()?,
        seed: course.seed,
        skipped: course.skipped.clone(),
        struck: course.struck(),
        settings: pairs(&trial.set)?,
        n_equal_batches,
        again: again(trial, course),
        kept_in: None,
    })
}

/// The command that repeats this run: the same faults, struck at the same times.
fn again(trial: &Trial, course: &Course) -> String {
    let mut words = vec!["drave verify".to_owned()];
    match &trial.bootstrap {
        Some(bootstrap) => words.push(format!("--bootstrap {bootstrap}")),
        None => words.push(format!("--nodes {}", trial.nodes)),
    }
    words.push(format!("--seed {}", course.seed));
    words.push(format!("--duration {}ms", trial.duration.as_millis()));
    if let Some(n) = trial.power_cuts {
        words.push(format!("--power-cuts {n}"));
    } else if trial.bootstrap.is_none() {
        let kinds: Vec<&str> = course.kinds.iter().map(|it| it.name()).collect();
        let kinds = if kinds.is_empty() {
            "none".to_owned()
        } else {
            kinds.join(",")
        };
        words.push(format!("--faults {kinds}"));
    }
    words.push(format!("--rate {}", trial.rate));
    words.extend(trial.set.iter().map(|it| format!("--set {it}")));
    words.join(" ")
}
