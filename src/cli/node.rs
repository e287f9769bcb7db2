//! `drave node drain | undrain | retire | readmit`: taking a node out, and letting one back in.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use drave_client::quorum::Remains;
use drave_client::{Admin, ClientError};
use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{DirectoryId, NodeId};

use crate::cli::Exit;
use crate::cli::ask::{self, Brokers};
use crate::cli::output;
use crate::cli::quorum::{directory, member_directory};
use crate::clock::Clock;

const LOOK_EVERY: Duration = Duration::from_millis(200);

const EXAMPLES: &str = "\
Examples:
  drave node drain 2                                node 2 leads nothing that others can
  drave node undrain 2
  drave node retire 2                               for good, once it holds no replicas
  drave node readmit 2                              its disk is gone: it may come back empty
  drave node readmit 2 --directory 5fd1a2b3c4d5e6f7";

/// Take a node out of the cluster, or let one with a new disk in.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Node {
    #[command(flatten)]
    brokers: Brokers,
    /// Give up after this many seconds.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Move its leaderships away and place nothing new on it, until it is undrained.
    Drain {
        #[arg(value_name = "NODE")]
        node: i32,
    },
    /// Let it lead and hold new replicas again.
    Undrain {
        #[arg(value_name = "NODE")]
        node: i32,
    },
    /// Take it out for good: no vote, no registration. Refused while it holds replicas.
    Retire {
        #[arg(value_name = "NODE")]
        node: i32,
    },
    /// Forget the disk a node had, so that it joins with an empty one and fetches its replicas anew.
    Readmit {
        #[arg(value_name = "NODE")]
        node: i32,
        /// The directory that is gone.
        #[arg(long, value_name = "ID", value_parser = directory)]
        directory: Option<DirectoryId>,
    },
}

impl Node {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let patience = Duration::from_secs(self.timeout);
        ask::runtime()?.block_on(async {
            let admin = self.brokers.admin(patience).await?;
            match self.command {
                Command::Drain { node } => drain(&admin, NodeId(node), patience).await,
                Command::Undrain { node } => undrain(&admin, NodeId(node)).await,
                Command::Retire { node } => retire(&admin, NodeId(node), patience).await,
                Command::Readmit { node, directory } => {
                    readmit(&admin, NodeId(node), directory).await
                }
            }
        })
    }
}

async fn drain(admin: &Admin, node: NodeId, patience: Duration) -> anyhow::Result<Exit> {
    let clock = Clock::system();
    let deadline = clock.now() + patience;
    loop {
        // Drained already, it is asked again for what is left: leaderships move as others catch up.
        let Remains { leaders, replicas } = admin.drain_broker(node).await?;
        if leaders == 0 {
            output::say(&format!("node {node} leads nothing"));
            if replicas > 0 {
                output::say(&format!(
                    "it holds {replicas} replicas still; move them with \
                     `drave reassign execute` before it is retired"
                ));
            }
            return Ok(Exit::Done);
        }
        if clock.now() >= deadline {
            bail!(
                "node {node} is drained, but leads {leaders} partitions still: nobody else is in sync \
                 with them; drave topic describe shows their ISR"
            );
        }
        clock.sleep_until(clock.now() + LOOK_EVERY).await;
    }
}

async fn undrain(admin: &Admin, node: NodeId) -> anyhow::Result<Exit> {
    let Remains { replicas, .. } = admin.undrain_broker(node).await?;
    output::say(&format!(
        "node {node} serves as any other; its {replicas} replicas lead again within half a minute"
    ));
    Ok(Exit::Done)
}

async fn retire(admin: &Admin, node: NodeId, patience: Duration) -> anyhow::Result<Exit> {
    refuse_with_replicas(admin, node).await?;
    let quorum = admin.describe_quorum().await?;
    if quorum.voters.iter().any(|it| it.node == node) {
        let directory = member_directory(&quorum, node, None)?;
        let removed = admin.remove_voter(node, directory).await;
        removed.with_context(|| format!("node {node} stays a voter"))?;
        output::say(&format!("node {node} votes no more"));
    }
    await_its_end(admin, node, patience).await?;
    output::say(&format!("node {node} is not registered any more"));
    leave_quorum(admin, node, patience).await?;
    output::say(&format!(
        "node {node} is retired; do not start it with its old configuration"
    ));
    Ok(Exit::Done)
}

async fn refuse_with_replicas(admin: &Admin, node: NodeId) -> anyhow::Result<()> {
    let mut n_replicas = 0;
    let mut first = None;
    for topic in admin.list_topics().await? {
        for partition in &topic.partitions {
            if partition.replicas.contains(&node) {
                n_replicas += 1;
                first.get_or_insert_with(|| format!("{}-{}", topic.name, partition.partition));
            }
        }
    }
    if let Some(first) = first {
        bail!(
            "node {node} holds {n_replicas} replicas, {first} among them: move them to other nodes with \
             `drave reassign execute`, or delete those topics, and retire it then"
        );
    }
    Ok(())
}

/// Unregisters it, once it has stopped.
async fn await_its_end(admin: &Admin, node: NodeId, patience: Duration) -> anyhow::Result<()> {
    let clock = Clock::system();
    let deadline = clock.now() + patience;
    let mut told = false;
    loop {
        match admin.unregister_broker(node).await {
            Ok(()) => return Ok(()),
            Err(error) if code(&error) == Some(ErrorCode::BrokerIdNotRegistered) => return Ok(()),
            // What refuses it otherwise does not pass, and says so.
            Err(error) if !error.to_string().contains("is running") => return Err(error.into()),
            Err(_) if clock.now() >= deadline => {
                bail!(
                    "node {node} holds nothing and does not vote, but runs still: stop it, then retire it \
                     once more"
                )
            }
            Err(_) if !told => {
                output::say(&format!("stop node {node} now; waiting for it to be gone"));
                told = true;
            }
            Err(_) => {}
        }
        clock.sleep_until(clock.now() + LOOK_EVERY).await;
    }
}

/// Ends the membership it had without a vote, once it does not answer any more.
async fn leave_quorum(admin: &Admin, node: NodeId, patience: Duration) -> anyhow::Result<()> {
    let clock = Clock::system();
    let deadline = clock.now() + patience;
    loop {
        let quorum = admin.describe_quorum().await?;
        let Some(directory) = quorum
            .observers
            .iter()
            .find(|it| it.node == node)
            .and_then(|it| it.directory)
        else {
            return Ok(());
        };
        match admin.remove_voter(node, directory).await {
            Ok(()) => return Ok(()),
            Err(error) if clock.now() >= deadline => {
                return Err(error).with_context(|| format!("node {node} still follows the quorum"));
            }
            Err(_) => clock.sleep_until(clock.now() + LOOK_EVERY).await,
        }
    }
}

async fn readmit(
    admin: &Admin,
    node: NodeId,
    directory: Option<DirectoryId>,
) -> anyhow::Result<Exit> {
    // The registration first: it is what may be refused, and then nothing has changed.
    match admin.unregister_broker(node).await {
        Ok(()) => output::say(&format!(
            "the records node {node} held are not counted on any more"
        )),
        Err(error) if code(&error) == Some(ErrorCode::BrokerIdNotRegistered) => {}
        Err(error) => {
            return Err(error).with_context(|| format!("node {node} is not let in anew"));
        }
    }
    let quorum = admin.describe_quorum().await?;
    let mut members = quorum.voters.iter().chain(&quorum.observers);
    if members.any(|it| it.node == node) {
        let directory = member_directory(&quorum, node, directory)?;
        let removed = admin.remove_voter(node, directory).await;
        removed.with_context(|| format!("node {node} is not let in anew"))?;
        output::say(&format!("directory {:016x} left the quorum", directory.0));
    }
    output::say(&format!(
        "node {node} may join with an empty disk: if it runs it does so within a second, otherwise start it"
    ));
    Ok(Exit::Done)
}

fn code(error: &ClientError) -> Option<ErrorCode> {
    if let ClientError::Refused { code, .. } = error {
        return Some(*code);
    }
    None
}
