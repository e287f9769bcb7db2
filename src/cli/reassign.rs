//! `drave reassign execute | list | cancel`: moves replicas to other brokers.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use drave_client::Admin;
use drave_client::reassignment::{Ongoing, Reassigned, Reassignment};
use drave_protocol::ids::NodeId;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::Exit;
use crate::cli::ask::{self, PatientBrokers};
use crate::cli::elect::partition;
use crate::cli::output::{self, Format, Table, list};

const EXAMPLES: &str = "\
Examples:
  drave reassign execute --topic orders --to 1,2,3
  drave reassign execute --file plan.json             as kafka-reassign-partitions.sh writes it
  drave reassign list
  drave reassign cancel orders:0 orders:1
  drave reassign cancel --all

While replicas copy: drave config set broker:ID leader.replication.throttled.rate=… bounds the pace.";

/// Move replicas to other brokers.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Reassign {
    #[command(flatten)]
    brokers: PatientBrokers,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Begin to move replicas; returns at once.
    Execute {
        /// A plan: {"partitions":[{"topic":"t","partition":0,"replicas":[1,2,3]}]}
        #[arg(long, value_name = "PATH", conflicts_with_all = ["topic", "to"], required_unless_present = "topic")]
        file: Option<PathBuf>,
        /// All partitions of this topic.
        #[arg(long, value_name = "NAME", requires = "to")]
        topic: Option<String>,
        /// The brokers that are to hold them; each leads as many as any other.
        #[arg(long, value_name = "ID,…", value_delimiter = ',')]
        to: Vec<i32>,
    },
    /// Show what is on its way.
    List,
    /// Go back to where replicas were.
    Cancel {
        #[arg(value_name = "TOPIC:PARTITION", value_parser = partition, required_unless_present = "all")]
        partitions: Vec<(String, i32)>,
        /// Everything that is on its way.
        #[arg(long)]
        all: bool,
    },
}

/// The plan, as Kafka's tool reads and writes it.
#[derive(Debug, Deserialize)]
struct Plan {
    partitions: Vec<PlannedPartition>,
}

#[derive(Debug, Deserialize)]
struct PlannedPartition {
    topic: String,
    partition: i32,
    replicas: Vec<i32>,
}

impl Reassign {
    pub(super) fn run(self, format: Format) -> anyhow::Result<Exit> {
        ask::runtime()?.block_on(async {
            let admin = self.brokers.admin().await?;
            let reassignments = match self.command {
                Command::List => {
                    show(&admin.list_reassignments().await?, format);
                    return Ok(Exit::Done);
                }
                Command::Execute { file, topic, to } => match (file, topic) {
                    (Some(path), _) => plan(&path)?,
                    (None, Some(topic)) => spread(&admin, &topic, &to).await?,
                    (None, None) => bail!("name a topic or a plan"),
                },
                Command::Cancel { partitions, all } => {
                    let ongoing = if all {
                        let ongoing = admin.list_reassignments().await?.into_iter();
                        ongoing.map(|it| (it.topic, it.partition)).collect()
                    } else {
                        partitions
                    };
                    ongoing.into_iter().map(back).collect()
                }
            };
            let reassigned = admin.alter_reassignments(&reassignments).await?;
            Ok(report(&reassigned, format))
        })
    }
}

fn back((topic, partition): (String, i32)) -> Reassignment {
    Reassignment {
        topic,
        partition,
        target: None,
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "a command reads the file it was given"
)]
fn plan(path: &Path) -> anyhow::Result<Vec<Reassignment>> {
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    let plan: Plan =
        serde_json::from_str(&text).with_context(|| format!("{} is no plan", path.display()))?;
    let one = |it: PlannedPartition| Reassignment {
        topic: it.topic,
        partition: it.partition,
        target: Some(it.replicas.into_iter().map(NodeId).collect()),
    };
    Ok(plan.partitions.into_iter().map(one).collect())
}

/// Every partition of a topic on these brokers, each time another one first.
async fn spread(admin: &Admin, topic: &str, to: &[i32]) -> anyhow::Result<Vec<Reassignment>> {
    let described = admin.describe_topics(&[topic.to_owned()]).await?;
    let Some(found) = described.into_iter().find(|it| !it.error.is_error()) else {
        bail!("there is no topic {topic:?}");
    };
    let one = |partition: i32| Reassignment {
        topic: topic.to_owned(),
        partition,
        target: Some(rotated(to, partition)),
    };
    Ok(found
        .partitions
        .iter()
        .map(|it| one(it.partition))
        .collect())
}

fn rotated(brokers: &[i32], by: i32) -> Vec<NodeId> {
    let mut nodes: Vec<NodeId> = brokers.iter().copied().map(NodeId).collect();
    let n = nodes.len().max(1);
    nodes.rotate_left(usize::try_from(by).unwrap_or(0) % n);
    nodes
}

fn show(ongoing: &[Ongoing], format: Format) {
    if format == Format::Json {
        let ids = |nodes: &[NodeId]| nodes.iter().map(|it| it.0).collect::<Vec<i32>>();
        let one = |it: &Ongoing| {
            json!({
                "topic": it.topic,
                "partition": it.partition,
                "replicas": ids(&it.replicas),
                "adding": ids(&it.adding),
                "removing": ids(&it.removing),
            })
        };
        output::say_json(&ongoing.iter().map(one).collect());
        return;
    }
    let mut table = Table::new(&["TOPIC", "PARTITION", "REPLICAS", "ADDING", "REMOVING"]);
    for it in ongoing {
        table.row([
            it.topic.clone(),
            it.partition.to_string(),
            list(&it.replicas),
            list(&it.adding),
            list(&it.removing),
        ]);
    }
    output::say(&table.render());
}

fn report(reassigned: &[Reassigned], format: Format) -> Exit {
    let name = |it: &Reassigned| format!("{}:{}", it.topic, it.partition);
    if format == Format::Json {
        let one = |it: &Reassigned| {
            let error = it.outcome.as_ref().err().map(ToString::to_string);
            json!({ "topic": it.topic, "partition": it.partition, "error": error })
        };
        output::say_json(&Value::Array(reassigned.iter().map(one).collect()));
    }
    let mut exit = Exit::Done;
    for it in reassigned {
        match &it.outcome {
            Ok(()) if format == Format::Table => output::say(&format!("{}: on its way", name(it))),
            Ok(()) => {}
            Err(error) => {
                exit = Exit::Failed;
                if format == Format::Table {
                    output::complain(&format!("{}: {error}", name(it)));
                }
            }
        }
    }
    exit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_of_a_topic_prefers_another_broker() {
        let ids = |by| {
            rotated(&[1, 2, 3], by)
                .iter()
                .map(|it| it.0)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (ids(0), ids(1), ids(5)),
            (vec![1, 2, 3], vec![2, 3, 1], vec![3, 1, 2])
        );
        assert_eq!(rotated(&[], 3), vec![]);
    }

    #[test]
    fn a_plan_of_kafkas_tool_is_read_as_it_is() {
        let text = r#"{"version":1,"partitions":[{"topic":"t","partition":2,"replicas":[3,1],
            "log_dirs":["any","any"]}]}"#;
        let plan: Plan = serde_json::from_str(text).unwrap();
        assert_eq!(plan.partitions[0].replicas, [3, 1]);
    }
}
