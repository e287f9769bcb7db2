//! `drave topic create | list | describe | alter | delete`.

use clap::{Args, Subcommand};
use drave_client::ClientError;
use drave_client::admin::{CreatedTopic, NewTopic, PerTopic};
use drave_client::metadata::{PartitionDescription, TopicDescription};
use drave_client::reassignment::Ongoing;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::NodeId;
use serde_json::{Value, json};

use crate::cli::Exit;
use crate::cli::ask::{self, PatientBrokers};
use crate::cli::output::{self, Format, Table, list};

const EXAMPLES: &str = "\
Examples:
  drave topic create orders --partitions 6 --replication-factor 3 --config retention.ms=86400000
  drave topic create orders --if-not-exists
  drave topic list
  drave topic describe orders payments
  drave topic alter orders --partitions 12
  drave topic delete orders --if-exists";

/// Create, list, describe, enlarge and delete topics.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Topic {
    #[command(flatten)]
    brokers: PatientBrokers,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create topics.
    Create(Create),
    /// List all topics.
    List,
    /// Show leaders, epochs, replicas and in-sync replicas of topics.
    Describe {
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Give a topic more partitions. Keys are spread over them anew; records stay where they are.
    Alter {
        #[arg(value_name = "NAME")]
        name: String,
        /// Partitions it has afterwards.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
        partitions: i32,
        /// Only say whether it could be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete topics and all their records.
    Delete {
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// A topic that does not exist is no failure.
        #[arg(long)]
        if_exists: bool,
    },
}

#[derive(Args, Debug)]
struct Create {
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Partitions of each; the broker's num.partitions when not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Replicas of each partition; the broker's default.replication.factor when not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
    replication_factor: Option<i16>,
    /// A config of the topic, as in docs/configs.md; may be repeated.
    #[arg(long = "config", value_name = "NAME=VALUE", value_parser = pair)]
    configs: Vec<(String, String)>,
    /// A topic that exists is no failure.
    #[arg(long)]
    if_not_exists: bool,
    /// Only say whether it could be done.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let split = text
        .split_once('=')
        .ok_or_else(|| "expected NAME=VALUE".to_owned());
    split.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
}

impl Topic {
    pub(super) fn run(self, format: Format) -> anyhow::Result<Exit> {
        ask::runtime()?.block_on(async {
            let admin = self.brokers.admin().await?;
            match self.command {
                Command::Create(create) => {
                    let topics = create.topics();
                    let outcomes = admin.create_topics(&topics, create.dry_run).await?;
                    let excused = create
                        .if_not_exists
                        .then_some(ErrorCode::TopicAlreadyExists);
                    Ok(report(outcomes, excused, format, &created))
                }
                Command::List => {
                    list_topics(admin.list_topics().await?, format);
                    Ok(Exit::Done)
                }
                Command::Describe { names } => {
                    let topics = admin.describe_topics(&names).await?;
                    let ongoing = admin.list_reassignments().await?;
                    Ok(describe_topics(&topics, &ongoing, format))
                }
                Command::Alter {
                    name,
                    partitions,
                    dry_run,
                } => {
                    let asked = admin.create_partitions(&name, partitions, dry_run);
                    let outcomes = asked.await?;
                    Ok(report(outcomes, None, format, &|()| {
                        format!("has {partitions} partitions")
                    }))
                }
                Command::Delete { names, if_exists } => {
                    let outcomes = admin.delete_topics(&names).await?;
                    let excused = if_exists.then_some(ErrorCode::UnknownTopicOrPartition);
                    Ok(report(outcomes, excused, format, &|()| {
                        "deleted".to_owned()
                    }))
                }
            }
        })
    }
}

impl Create {
    fn topics(&self) -> Vec<NewTopic> {
        let topic = |name: &String| NewTopic {
            name: name.clone(),
            n_partitions: self.partitions,
            replication_factor: self.replication_factor,
            configs: self.configs.clone(),
        };
        self.names.iter().map(topic).collect()
    }
}

fn created(topic: &CreatedTopic) -> String {
    if topic.n_partitions < 0 {
        return "created".to_owned();
    }
    let (n_partitions, factor) = (topic.n_partitions, topic.replication_factor);
    format!("created, {n_partitions} partitions of {factor} replicas")
}

/// Says what became of each topic; one real failure fails the command.
fn report<T>(
    outcomes: PerTopic<T>,
    excused: Option<ErrorCode>,
    format: Format,
    success: &dyn Fn(&T) -> String,
) -> Exit {
    let mut exit = Exit::Done;
    let mut told = Vec::new();
    for (name, outcome) in outcomes {
        match outcome {
            Ok(value) => told.push(json!({ "topic": name, "outcome": success(&value) })),
            Err(error) if excused.is_some() && code(&error) == excused => {
                told.push(json!({ "topic": name, "outcome": "nothing to do" }));
            }
            Err(error) => {
                exit = Exit::Failed;
                told.push(json!({ "topic": name, "error": error.to_string() }));
                if format == Format::Table {
                    output::complain(&format!("{name}: {error}"));
                }
            }
        }
    }
    match format {
        Format::Json => output::say_json(&Value::Array(told)),
        Format::Table => {
            for it in told.iter().filter(|it| it.get("outcome").is_some()) {
                output::say(&format!("{}: {}", text(it, "topic"), text(it, "outcome")));
            }
        }
    }
    exit
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn code(error: &ClientError) -> Option<ErrorCode> {
    if let ClientError::Refused { code, .. } = error {
        return Some(*code);
    }
    None
}

fn list_topics(mut topics: Vec<TopicDescription>, format: Format) {
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    let factor = |it: &TopicDescription| it.partitions.first().map_or(0, |it| it.replicas.len());
    if format == Format::Json {
        let one = |it: &TopicDescription| {
            json!({
                "topic": it.name,
                "topic_id": it.topic_id.to_string(),
                "partitions": it.partitions.len(),
                "replication_factor": factor(it),
            })
        };
        output::say_json(&topics.iter().map(one).collect());
        return;
    }
    let mut table = Table::new(&["TOPIC", "PARTITIONS", "REPLICAS", "ID"]);
    for topic in &topics {
        table.row([
            topic.name.clone(),
            topic.partitions.len().to_string(),
            factor(topic).to_string(),
            topic.topic_id.to_string(),
        ]);
    }
    output::say(&table.render());
}

fn describe_topics(topics: &[TopicDescription], ongoing: &[Ongoing], format: Format) -> Exit {
    let is_bad = |it: &&TopicDescription| it.error != ErrorCode::None;
    for topic in topics.iter().filter(is_bad) {
        output::complain(&format!("{}: {}", topic.name, topic.error));
    }
    if format == Format::Json {
        let one = |it: &TopicDescription| topic_json(it, ongoing);
        output::say_json(&topics.iter().map(one).collect());
    } else if topics.iter().any(|it| it.error == ErrorCode::None) {
        output::say(&topics_table(topics, ongoing).render());
    }
    if topics.iter().any(|it| is_bad(&it)) {
        Exit::Failed
    } else {
        Exit::Done
    }
}

fn topics_table(topics: &[TopicDescription], ongoing: &[Ongoing]) -> Table {
    let headings = [
        "TOPIC",
        "PARTITION",
        "LEADER",
        "EPOCH",
        "REPLICAS",
        "ISR",
        "STATE",
    ];
    let mut table = Table::new(&headings);
    for topic in topics {
        for partition in &topic.partitions {
            table.row([
                topic.name.clone(),
                partition.partition.to_string(),
                partition
                    .leader
                    .map_or_else(|| "none".to_owned(), |it| it.to_string()),
                partition.leader_epoch.to_string(),
                list(&partition.replicas),
                list(&partition.isr),
                state(partition, on_its_way(topic, partition, ongoing)),
            ]);
        }
    }
    table
}

fn on_its_way<'a>(
    topic: &TopicDescription,
    partition: &PartitionDescription,
    ongoing: &'a [Ongoing],
) -> Option<&'a Ongoing> {
    let is_it = |it: &&Ongoing| it.topic == topic.name && it.partition == partition.partition;
    ongoing.iter().find(is_it)
}

fn state(partition: &PartitionDescription, ongoing: Option<&Ongoing>) -> String {
    if partition.leader.is_none() {
        "offline".to_owned()
    } else if let Some(it) = ongoing {
        format!("reassigning: +{} -{}", list(&it.adding), list(&it.removing))
    } else if partition.isr.len() < partition.replicas.len() {
        "under-replicated".to_owned()
    } else {
        "ok".to_owned()
    }
}

fn topic_json(topic: &TopicDescription, ongoing: &[Ongoing]) -> Value {
    let ids = |nodes: &[NodeId]| nodes.iter().map(|it| it.0).collect::<Vec<i32>>();
    let partition = |it: &PartitionDescription| {
        json!({
            "partition": it.partition,
            "leader": it.leader.map(|it| it.0),
            "leader_epoch": it.leader_epoch.0,
            "replicas": ids(&it.replicas),
            "isr": ids(&it.isr),
            "state": state(it, on_its_way(topic, it, ongoing)),
        })
    };
    json!({
        "topic": topic.name,
        "topic_id": topic.topic_id.to_string(),
        "error": (topic.error != ErrorCode::None).then(|| topic.error.to_string()),
        "partitions": topic.partitions.iter().map(partition).collect::<Vec<Value>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: ErrorCode) -> ClientError {
        ClientError::Refused {
            code,
            message: None,
        }
    }

    #[test]
    fn an_excused_refusal_is_no_failure_and_any_other_is() {
        let outcomes = || {
            vec![(
                "a".to_owned(),
                Err::<(), _>(refused(ErrorCode::TopicAlreadyExists)),
            )]
        };
        let success = |(): &()| "created".to_owned();
        let excused = Some(ErrorCode::TopicAlreadyExists);
        assert_eq!(
            report(outcomes(), excused, Format::Json, &success),
            Exit::Done
        );
        assert_eq!(
            report(outcomes(), None, Format::Json, &success),
            Exit::Failed
        );
    }

    #[test]
    fn a_config_is_a_pair() {
        assert_eq!(pair("a = b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(pair("a").is_err());
    }
}
