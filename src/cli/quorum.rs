//! `drave quorum status | add | remove`: who votes on the cluster's metadata.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use drave_client::Admin;
use drave_client::quorum::{QuorumMember, QuorumState};
use drave_protocol::ids::{DirectoryId, NodeId};
use serde_json::{Value, json};

use crate::cli::Exit;
use crate::cli::ask::{self, Brokers};
use crate::cli::output::{self, Format, Table};
use crate::clock::Clock;

const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Entries a node may be behind and still be called caught up: the rest takes milliseconds.
const LAG_MAX: i64 = 100;

const EXAMPLES: &str = "\
Examples:
  drave quorum status
  drave quorum add 4                                node 4 votes, once it has caught up
  drave quorum remove 3                             node 3 votes no more
  drave quorum remove 3 --directory 5fd1a2b3c4d5e6f7

A change that would leave no living majority is refused.";

/// See and change who votes on the cluster's metadata.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Quorum {
    #[command(flatten)]
    brokers: Brokers,
    /// Give up after this many seconds.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 30)]
    timeout: u64,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Leader, voters and observers, and how far behind each is.
    Status,
    /// Make a node that follows the quorum a voter, once it has caught up.
    Add {
        #[arg(value_name = "NODE")]
        node: i32,
    },
    /// Take a node's vote; a node that does not answer leaves the quorum altogether.
    Remove {
        #[arg(value_name = "NODE")]
        node: i32,
        /// Its directory, where several go by that node id.
        #[arg(long, value_name = "ID", value_parser = directory)]
        directory: Option<DirectoryId>,
    },
}

pub(super) fn directory(text: &str) -> Result<DirectoryId, String> {
    DirectoryId::parse(text).ok_or_else(|| {
        "a directory id is 16 hexadecimal digits, or 22 characters as Kafka writes it".to_owned()
    })
}

impl Quorum {
    pub(super) fn run(self, format: Format) -> anyhow::Result<Exit> {
        let patience = Duration::from_secs(self.timeout);
        ask::runtime()?.block_on(async {
            let admin = self.brokers.admin(patience).await?;
            match self.command {
                Command::Status => status(&admin, format).await,
                Command::Add { node } => add(&admin, NodeId(node), patience).await,
                Command::Remove { node, directory } => {
                    remove(&admin, NodeId(node), directory).await
                }
            }
        })
    }
}

async fn status(admin: &Admin, format: Format) -> anyhow::Result<Exit> {
    let quorum = admin.describe_quorum().await?;
    match format {
        Format::Json => output::say_json(&in_json(&quorum)),
        Format::Table => output::say(&in_words(&quorum)),
    }
    Ok(Exit::Done)
}

/// Every member with its role, the leader first.
fn members(quorum: &QuorumState) -> Vec<(&QuorumMember, &'static str)> {
    let role = |it: &QuorumMember| {
        if it.node == quorum.leader {
            "leader"
        } else {
            "voter"
        }
    };
    let voters = quorum.voters.iter().map(|it| (it, role(it)));
    let observers = quorum.observers.iter().map(|it| (it, "observer"));
    let mut members: Vec<_> = voters.chain(observers).collect();
    members.sort_by_key(|(it, role)| (*role != "leader", *role != "voter", it.node));
    members
}

/// Entries a member lacks, where the leader knows.
fn lag(quorum: &QuorumState, member: &QuorumMember) -> Option<i64> {
    let end = quorum.leader_member()?.log_end_offset;
    (member.log_end_offset >= 0).then(|| (end - member.log_end_offset).max(0))
}

fn in_words(quorum: &QuorumState) -> String {
    let mut table = Table::new(&[
        "NODE",
        "ROLE",
        "DIRECTORY",
        "ADDRESS",
        "END",
        "LAG",
        "SILENT",
    ]);
    let now_ms = quorum.leader_member().map_or(-1, |it| it.answered_at_ms);
    for (member, role) in members(quorum) {
        let number = |it: Option<i64>| it.map_or_else(|| "-".to_owned(), |it| it.to_string());
        let silent = (member.answered_at_ms >= 0).then(|| now_ms - member.answered_at_ms);
        table.row([
            member.node.to_string(),
            role.to_owned(),
            hex(member.directory),
            member.address(),
            number(Some(member.log_end_offset).filter(|it| *it >= 0)),
            number(lag(quorum, member)),
            silent.map_or_else(|| "-".to_owned(), |it| format!("{} ms", it.max(0))),
        ]);
    }
    format!(
        "leader {}  term {}  high watermark {}\n\n{}",
        quorum.leader,
        quorum.term,
        quorum.high_watermark,
        table.render()
    )
}

fn in_json(quorum: &QuorumState) -> Value {
    let member = |(it, role): (&QuorumMember, &str)| {
        json!({
            "node": it.node.0,
            "role": role,
            "directory": hex(it.directory),
            "address": it.address(),
            "log_end_offset": it.log_end_offset,
            "lag": lag(quorum, it),
            "answered_at_ms": it.answered_at_ms,
        })
    };
    json!({
        "leader": quorum.leader.0,
        "term": quorum.term,
        "high_watermark": quorum.high_watermark,
        "members": members(quorum).into_iter().map(member).collect::<Vec<Value>>(),
    })
}

fn hex(directory: Option<DirectoryId>) -> String {
    directory.map_or_else(|| "-".to_owned(), |it| format!("{:016x}", it.0))
}

async fn add(admin: &Admin, node: NodeId, patience: Duration) -> anyhow::Result<Exit> {
    let clock = Clock::system();
    let deadline = clock.now() + patience;
    let mut told = false;
    let member = loop {
        let quorum = admin.describe_quorum().await?;
        if quorum.voters.iter().any(|it| it.node == node) {
            output::say(&format!("node {node} votes already: nothing to do"));
            return Ok(Exit::Done);
        }
        let found = quorum.observers.iter().find(|it| it.node == node);
        let lag = found.and_then(|it| lag(&quorum, it));
        if let (Some(member), Some(lag)) = (found, lag)
            && lag <= LAG_MAX
        {
            output::say(&format!("node {node} follows, {lag} entries behind"));
            break member.clone();
        }
        if !told {
            output::say(&match (found, lag) {
                (None, _) => format!(
                    "node {node} does not follow the quorum yet: start it with \
                     controller.quorum.bootstrap.servers naming any node; waiting"
                ),
                (Some(_), None) => format!("node {node} does not answer the leader; waiting"),
                (Some(_), Some(lag)) => format!("node {node} is {lag} entries behind; waiting"),
            });
            told = true;
        }
        if clock.now() >= deadline {
            bail!("node {node} did not catch up within {patience:?}; nothing was changed");
        }
        clock.sleep_until(clock.now() + LOOK_EVERY).await;
    };
    admin
        .add_voter(&member)
        .await
        .with_context(|| format!("node {node} does not vote"))?;
    say_voters(admin, &format!("node {node} votes now")).await
}

async fn remove(
    admin: &Admin,
    node: NodeId,
    directory: Option<DirectoryId>,
) -> anyhow::Result<Exit> {
    let quorum = admin.describe_quorum().await?;
    let directory = member_directory(&quorum, node, directory)?;
    if quorum.leader == node {
        output::say(&format!(
            "node {node} leads the quorum: another leads first"
        ));
    }
    admin
        .remove_voter(node, directory)
        .await
        .with_context(|| format!("node {node} stays in the quorum"))?;
    say_voters(admin, &format!("node {node} votes no more")).await
}

/// The directory of a member by its node id.
pub(super) fn member_directory(
    quorum: &QuorumState,
    node: NodeId,
    named: Option<DirectoryId>,
) -> anyhow::Result<DirectoryId> {
    let all = quorum.voters.iter().chain(&quorum.observers);
    let found: Vec<DirectoryId> = all
        .filter(|it| it.node == node)
        .filter_map(|it| it.directory)
        .filter(|it| named.is_none_or(|named| named == *it))
        .collect();
    match found.as_slice() {
        [one] => Ok(*one),
        [] => match named {
            Some(named) => bail!(
                "node {node} with directory {:016x} is no member of the quorum; drave quorum status lists them",
                named.0
            ),
            None => bail!("node {node} is no member of the quorum; drave quorum status lists them"),
        },
        several => {
            let ids: Vec<String> = several.iter().map(|it| hex(Some(*it))).collect();
            bail!(
                "several directories go by node {node}: say which with --directory: {}",
                ids.join(", ")
            )
        }
    }
}

async fn say_voters(admin: &Admin, done: &str) -> anyhow::Result<Exit> {
    let quorum = admin.describe_quorum().await?;
    let voters = output::list(quorum.voters.iter().map(|it| it.node));
    let n_voters = quorum.voters.len();
    output::say(&format!(
        "{done}; voters: {voters}, leader {}",
        quorum.leader
    ));
    if n_voters % 2 == 0 {
        let survives = (n_voters - 1) / 2;
        output::say(&format!(
            "{n_voters} voters survive the loss of {survives}, as {} would: an odd number is better",
            n_voters - 1
        ));
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(node: i32, directory: u64, end: i64) -> QuorumMember {
        QuorumMember {
            node: NodeId(node),
            directory: Some(DirectoryId(directory)),
            host: "h".to_owned(),
            port: 9093,
            log_end_offset: end,
            answered_at_ms: 5,
        }
    }

    fn quorum() -> QuorumState {
        QuorumState {
            leader: NodeId(2),
            term: 3,
            high_watermark: 9,
            voters: vec![member(1, 0xa1, 7), member(2, 0xa2, 10)],
            observers: vec![member(3, 0xa3, -1)],
        }
    }

    #[test]
    fn the_leader_comes_first_and_lag_counts_from_its_end() {
        let page = in_words(&quorum());
        let rows: Vec<&str> = page.lines().skip(3).collect();
        assert!(
            rows[0].starts_with("2     leader    00000000000000a2"),
            "{page}"
        );
        assert!(rows[1].contains("h:9093   7    3"), "{page}");
        assert!(rows[2].contains("observer"), "{page}");
    }

    #[test]
    fn a_member_is_found_by_its_node_and_if_need_be_its_directory() {
        let mut quorum = quorum();
        let found = |quorum: &QuorumState, named| member_directory(quorum, NodeId(3), named);
        assert_eq!(found(&quorum, None).unwrap(), DirectoryId(0xa3));
        assert!(found(&quorum, Some(DirectoryId(1))).is_err());
        quorum.observers.push(member(3, 0xb3, 4));
        let error = found(&quorum, None).unwrap_err().to_string();
        assert!(error.contains("00000000000000b3"), "{error}");
        assert_eq!(
            found(&quorum, Some(DirectoryId(0xb3))).unwrap(),
            DirectoryId(0xb3)
        );
    }
}
