//! `drave group list | describe | reset-offsets | delete`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use clap::{Args, Subcommand};
use drave_client::Admin;
use drave_client::groups::{Edge, Place};
use drave_protocol::schema::describe_groups::DescribedGroup;
use serde_json::json;

use crate::cli::Exit;
use crate::cli::ask::{self, PatientBrokers};
use crate::cli::output::{self, Format, Table};

const EXAMPLES: &str = "\
Examples:
  drave group list
  drave group describe orders-service
  drave group reset-offsets orders-service --topic orders --to earliest --dry-run
  drave group reset-offsets orders-service --topic orders --to 1200
  drave group delete orders-service";

/// List, describe and delete consumer groups, and move their offsets.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Group {
    #[command(flatten)]
    brokers: PatientBrokers,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List all groups.
    List,
    /// Show members of a group, its offsets, and how far behind they are.
    Describe {
        #[arg(value_name = "GROUP")]
        group: String,
    },
    /// Move the offsets of a group nobody is in.
    ResetOffsets {
        #[arg(value_name = "GROUP")]
        group: String,
        #[arg(long, required = true, value_name = "TOPIC")]
        topic: Vec<String>,
        /// earliest, latest, or an offset, which is kept within what there is.
        #[arg(long, value_name = "WHERE", value_parser = target)]
        to: Target,
        /// Only say where they would be.
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete groups nobody is in, with their offsets.
    Delete {
        #[arg(required = true, value_name = "GROUP")]
        groups: Vec<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Edge(Edge),
    Offset(i64),
}

fn target(text: &str) -> Result<Target, String> {
    match text {
        "earliest" => Ok(Target::Edge(Edge::Earliest)),
        "latest" => Ok(Target::Edge(Edge::Latest)),
        _ => match text.parse() {
            Ok(offset) if offset >= 0 => Ok(Target::Offset(offset)),
            Ok(_) | Err(_) => {
                Err("expected earliest, latest, or an offset of 0 or more".to_owned())
            }
        },
    }
}

impl Group {
    pub(super) fn run(self, format: Format) -> anyhow::Result<Exit> {
        ask::runtime()?.block_on(async {
            let admin = self.brokers.admin().await?;
            match self.command {
                Command::List => list(&admin, format).await,
                Command::Describe { group } => describe(&admin, &group, format).await,
                Command::ResetOffsets {
                    group,
                    topic,
                    to,
                    dry_run,
                } => {
                    let offsets = offsets_at(&admin, &topic, to).await?;
                    if !dry_run {
                        commit(&admin, &group, &offsets).await?;
                    }
                    tell_offsets(&offsets, format);
                    Ok(Exit::Done)
                }
                Command::Delete { groups } => delete(&admin, &groups).await,
            }
        })
    }
}

async fn list(admin: &Admin, format: Format) -> anyhow::Result<Exit> {
    let groups = admin.list_groups().await?;
    if format == Format::Json {
        let groups = groups.iter().map(|it| {
            json!({
                "group": it.group_id,
                "state": it.group_state,
                "type": it.group_type,
                "protocol_type": it.protocol_type,
            })
        });
        output::say_json(&groups.collect());
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["GROUP", "STATE", "TYPE", "PROTOCOL"]);
    for it in groups {
        table.row([it.group_id, it.group_state, it.group_type, it.protocol_type]);
    }
    output::say(&table.render());
    Ok(Exit::Done)
}

async fn describe(admin: &Admin, group: &str, format: Format) -> anyhow::Result<Exit> {
    let described = admin.describe_group(group).await?;
    let offsets = admin.committed_offsets(group).await?;
    let topics: BTreeSet<String> = offsets.keys().map(|(topic, _)| topic.clone()).collect();
    let topics: Vec<String> = topics.into_iter().collect();
    let ends = if topics.is_empty() {
        BTreeMap::new()
    } else {
        admin.edges(&topics, Edge::Latest).await?
    };
    if format == Format::Json {
        output::say_json(&as_json(&described, &offsets, &ends));
        return Ok(Exit::Done);
    }
    output::say(&format!(
        "{group}: {}, {} members, protocol '{}'",
        described.group_state,
        described.members.len(),
        described.protocol_data
    ));
    if !described.members.is_empty() {
        let mut table = Table::new(&["MEMBER", "INSTANCE", "CLIENT", "HOST"]);
        for it in described.members {
            let instance = it.group_instance_id.unwrap_or_default();
            table.row([it.member_id, instance, it.client_id, it.client_host]);
        }
        output::say(&table.render());
    }
    let mut table = Table::new(&["TOPIC", "PARTITION", "OFFSET", "END", "BEHIND"]);
    for (place, offset) in &offsets {
        let end = ends.get(place);
        table.row([
            place.0.clone(),
            place.1.to_string(),
            offset.to_string(),
            end.map_or_else(|| "?".to_owned(), i64::to_string),
            end.map_or_else(|| "?".to_owned(), |it| (it - offset).to_string()),
        ]);
    }
    output::say(&table.render());
    Ok(Exit::Done)
}

fn as_json(
    group: &DescribedGroup,
    offsets: &BTreeMap<Place, i64>,
    ends: &BTreeMap<Place, i64>,
) -> serde_json::Value {
    let members = group.members.iter().map(|it| {
        json!({
            "member": it.member_id,
            "instance": it.group_instance_id,
            "client": it.client_id,
            "host": it.client_host,
        })
    });
    let offsets = offsets.iter().map(|(place, offset)| {
        json!({
            "topic": place.0,
            "partition": place.1,
            "offset": offset,
            "end": ends.get(place),
        })
    });
    json!({
        "group": group.group_id,
        "state": group.group_state,
        "protocol": group.protocol_data,
        "members": members.collect::<Vec<_>>(),
        "offsets": offsets.collect::<Vec<_>>(),
    })
}

async fn offsets_at(
    admin: &Admin,
    topics: &[String],
    to: Target,
) -> anyhow::Result<BTreeMap<Place, i64>> {
    let edge = match to {
        Target::Edge(edge) => return Ok(admin.edges(topics, edge).await?),
        Target::Offset(offset) => offset,
    };
    let starts = admin.edges(topics, Edge::Earliest).await?;
    let ends = admin.edges(topics, Edge::Latest).await?;
    let within = starts.into_iter().map(|(place, start)| {
        let end = ends.get(&place).copied().unwrap_or(start);
        (place, edge.clamp(start, end.max(start)))
    });
    Ok(within.collect())
}

/// Members would commit over it at once: the broker refuses while there are any.
async fn commit(admin: &Admin, group: &str, offsets: &BTreeMap<Place, i64>) -> anyhow::Result<()> {
    if offsets.is_empty() {
        bail!("none of the topics has a partition with a leader");
    }
    Ok(admin.commit_offsets(group, offsets).await?)
}

fn tell_offsets(offsets: &BTreeMap<Place, i64>, format: Format) {
    if format == Format::Json {
        let offsets = offsets.iter().map(
            |(place, offset)| json!({ "topic": place.0, "partition": place.1, "offset": offset }),
        );
        output::say_json(&offsets.collect());
        return;
    }
    let mut table = Table::new(&["TOPIC", "PARTITION", "OFFSET"]);
    for ((topic, partition), offset) in offsets {
        table.row([topic.clone(), partition.to_string(), offset.to_string()]);
    }
    output::say(&table.render());
}

async fn delete(admin: &Admin, groups: &[String]) -> anyhow::Result<Exit> {
    let mut exit = Exit::Done;
    for group in groups {
        match admin.delete_group(group).await {
            Ok(()) => output::say(&format!("{group}: deleted")),
            Err(error) => {
                exit = Exit::Failed;
                output::complain(&format!("{group}: {error}"));
            }
        }
    }
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_an_edge_or_an_offset() {
        assert_eq!(target("earliest"), Ok(Target::Edge(Edge::Earliest)));
        assert_eq!(target("latest"), Ok(Target::Edge(Edge::Latest)));
        assert_eq!(target("12"), Ok(Target::Offset(12)));
        assert!(target("-1").is_err() && target("soon").is_err());
    }
}
