//! `drave config show | set | unset | append | subtract`.

use clap::{Args, Subcommand};
use drave_client::admin::ConfigEntry;
use drave_client::alteration::{ConfigChange, Resource};
use serde_json::{Value, json};

use crate::cli::Exit;
use crate::cli::ask::{self, PatientBrokers};
use crate::cli::output::{self, Format, Table};

const EXAMPLES: &str = "\
Examples:
  drave config show topic:orders
  drave config set topic:orders retention.ms=86400000 cleanup.policy=compact
  drave config set cluster min.insync.replicas=2
  drave config set broker:3 leader.replication.throttled.rate=10000000
  drave config set group:billing consumer.session.timeout.ms=50000
  drave config unset topic:orders retention.ms
  drave config append topic:orders cleanup.policy=delete";

/// Show and change configs while nodes run.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Config {
    #[command(flatten)]
    brokers: PatientBrokers,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what is in force, and who said so.
    Show {
        /// topic:NAME, broker:ID, group:ID or cluster.
        #[arg(value_name = "RESOURCE", value_parser = resource)]
        resource: Resource,
        /// Defaults and what a node was started with, too.
        #[arg(long)]
        all: bool,
    },
    /// Set entries.
    Set(Entries),
    /// Remove entries: what lies beneath is in force again.
    Unset {
        /// topic:NAME, broker:ID, group:ID or cluster.
        #[arg(value_name = "RESOURCE", value_parser = resource)]
        resource: Resource,
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// Only say whether it could be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// Add to lists.
    Append(Entries),
    /// Take from lists.
    Subtract(Entries),
}

#[derive(Args, Debug)]
struct Entries {
    /// topic:NAME, broker:ID, group:ID or cluster.
    #[arg(value_name = "RESOURCE", value_parser = resource)]
    resource: Resource,
    #[arg(required = true, value_name = "NAME=VALUE", value_parser = super::topic::pair)]
    pairs: Vec<(String, String)>,
    /// Only say whether it could be done.
    #[arg(long)]
    dry_run: bool,
}

fn resource(text: &str) -> Result<Resource, String> {
    match text.split_once(':') {
        None if text == "cluster" => Ok(Resource::Cluster),
        Some(("topic", name)) if !name.is_empty() => Ok(Resource::Topic(name.to_owned())),
        Some(("group", id)) if !id.is_empty() => Ok(Resource::Group(id.to_owned())),
        Some(("broker", id)) => match id.parse() {
            Ok(id) => Ok(Resource::Broker(id)),
            Err(_) => Err(format!("a broker is named by its id, not '{id}'")),
        },
        _ => Err("expected topic:NAME, broker:ID, group:ID or cluster".to_owned()),
    }
}

/// What is to be changed.
struct Wanted {
    resource: Resource,
    changes: Vec<(String, ConfigChange)>,
    dry_run: bool,
}

impl Config {
    pub(super) fn run(self, format: Format) -> anyhow::Result<Exit> {
        ask::runtime()?.block_on(async {
            let admin = self.brokers.admin().await?;
            let wanted = match self.command {
                Command::Show { resource, all } => {
                    let entries = admin.describe_configs_of(&resource).await?;
                    show(&entries, all, format);
                    return Ok(Exit::Done);
                }
                Command::Set(entries) => entries.with(ConfigChange::Set),
                Command::Append(entries) => entries.with(ConfigChange::Append),
                Command::Subtract(entries) => entries.with(ConfigChange::Subtract),
                Command::Unset {
                    resource,
                    names,
                    dry_run,
                } => Wanted {
                    resource,
                    changes: names
                        .into_iter()
                        .map(|it| (it, ConfigChange::Delete))
                        .collect(),
                    dry_run,
                },
            };
            admin
                .alter_configs(&wanted.resource, &wanted.changes, wanted.dry_run)
                .await?;
            told(&wanted, format);
            Ok(Exit::Done)
        })
    }
}

impl Entries {
    fn with(self, change: fn(String) -> ConfigChange) -> Wanted {
        let changes = self.pairs.into_iter();
        Wanted {
            resource: self.resource,
            changes: changes.map(|(name, value)| (name, change(value))).collect(),
            dry_run: self.dry_run,
        }
    }
}

fn told(wanted: &Wanted, format: Format) {
    let names: Vec<&str> = wanted.changes.iter().map(|it| it.0.as_str()).collect();
    let outcome = if wanted.dry_run {
        "could be changed"
    } else {
        "changed"
    };
    match format {
        Format::Json => output::say_json(&json!({ "names": names, "outcome": outcome })),
        Format::Table => output::say(&format!("{}: {outcome}", names.join(", "))),
    }
}

fn show(entries: &[ConfigEntry], all: bool, format: Format) {
    let is_shown = |it: &&ConfigEntry| all || is_agreed(it.source);
    let shown: Vec<&ConfigEntry> = entries.iter().filter(is_shown).collect();
    if format == Format::Json {
        let one = |it: &&ConfigEntry| {
            json!({
                "name": it.name,
                "value": it.value,
                "source": source(it.source),
                "read_only": it.is_read_only,
            })
        };
        output::say_json(&Value::Array(shown.iter().map(one).collect()));
        return;
    }
    let mut table = Table::new(&["NAME", "VALUE", "SET BY"]);
    for it in shown {
        let value = it.value.clone().unwrap_or_default();
        table.row([it.name.clone(), value, source(it.source).to_owned()]);
    }
    output::say(&table.render());
}

/// Whether it was agreed on while nodes ran.
fn is_agreed(source: i8) -> bool {
    matches!(source, 1..=3 | 8)
}

fn source(number: i8) -> &'static str {
    match number {
        1 => "topic",
        2 => "broker",
        3 => "cluster",
        4 => "start of the node",
        5 => "default",
        8 => "group",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_named_by_what_it_is() {
        assert_eq!(resource("topic:a:b"), Ok(Resource::Topic("a:b".to_owned())));
        assert_eq!(resource("group:g"), Ok(Resource::Group("g".to_owned())));
        assert_eq!(resource("broker:3"), Ok(Resource::Broker(3)));
        assert_eq!(resource("cluster"), Ok(Resource::Cluster));
        for wrong in ["orders", "topic:", "broker:x", "node:1"] {
            assert!(resource(wrong).is_err(), "{wrong}");
        }
    }
}
