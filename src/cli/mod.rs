//! The command line: one file per command.
//!
//! - [`start`] runs a node · [`topic`] topics · [`cluster`] and [`status`] state of the cluster
//! - [`quorum`] who votes · [`node`] drains, retires and readmits one
//! - [`verify`] proves that nothing acked is lost, and measures failovers · [`log`] a log's files as they lie
//! - [`perf`] loads, and what they measured · [`duration`] times on the command line
//! - [`config`] of topics, brokers and the cluster · [`elect`] leaders of partitions
//! - [`reassign`] replicas to other brokers · [`group`] who reads what, and how far
//! - [`completions`] for shells
//! - [`output`] tables for people, JSON for programs · [`ask`] whom a command asks
//!
//! Promise: 0 done, 1 failed or refused, 2 misused, 10 asked for health and it is not there.

mod ask;
mod cluster;
mod completions;
mod config;
mod duration;
mod elect;
mod group;
mod log;
mod node;
mod output;
mod perf;
mod quorum;
mod reassign;
mod start;
mod status;
mod topic;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::cli::output::Format;

const EXAMPLES: &str = "\
Examples:
  drave start                                       one node, nothing configured
  drave start --config server.properties            as Kafka's file says
  drave topic create orders --partitions 6
  drave topic describe orders --format json
  drave cluster status --watch
  drave quorum status
  drave node drain 2
  drave log verify /var/lib/drave
  drave verify --nodes 3 --duration 2m
  drave perf produce --duration 30s

Exit codes: 0 done, 1 failed or refused, 2 misused, 10 unhealthy.";

/// A streaming broker that speaks the Kafka wire protocol.
#[derive(Debug, Parser)]
#[command(name = "drave", version, about, after_help = EXAMPLES, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Tables for people, JSON for programs.
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    Start(start::Start),
    Topic(topic::Topic),
    Cluster(cluster::Cluster),
    Config(config::Config),
    Elect(elect::Elect),
    Group(group::Group),
    Reassign(reassign::Reassign),
    Quorum(quorum::Quorum),
    Node(node::Node),
    Log(log::Log),
    // Boxed: it has by far the most arguments.
    Verify(Box<verify::Verify>),
    Perf(Box<perf::Perf>),
    Completions(completions::Completions),
}

/// How a command ended. Scripts rely on the numbers: never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Done = 0,
    Failed = 1,
    Misused = 2,
    Unhealthy = 10,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Failed => Self::FAILURE,
            Exit::Misused => Self::from(2),
            Exit::Unhealthy => Self::from(10),
        }
    }
}

/// Parses, runs, and says what went wrong in one line.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // `--help` and `--version` come this way too, and are no failure.
        Err(error) => {
            drop(error.print());
            let misused = error.use_stderr();
            return if misused { Exit::Misused } else { Exit::Done }.into();
        }
    };
    let format = arguments.format;
    let ended = match arguments.command {
        Command::Start(command) => command.run(),
        Command::Topic(command) => command.run(format),
        Command::Cluster(command) => command.run(format),
        Command::Config(command) => command.run(format),
        Command::Reassign(command) => command.run(format),
        Command::Elect(command) => command.run(format),
        Command::Group(command) => command.run(format),
        Command::Quorum(command) => command.run(format),
        Command::Node(command) => command.run(),
        Command::Log(command) => command.run(format),
        Command::Verify(command) => command.run(format),
        Command::Perf(command) => command.run(format),
        Command::Completions(command) => Ok(command.run()),
    };
    let exit = ended.unwrap_or_else(|error| {
        output::complain(&in_one_line(&error));
        Exit::Failed
    });
    exit.into()
}

/// The error and its causes; a cause its effect already tells is not told twice.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

/// The command as clap sees it, for completions.
fn command() -> clap::Command {
    <Arguments as clap::CommandFactory>::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn a_cause_is_told_once() {
        let cause = anyhow::anyhow!("in use")
            .context("cannot listen: in use")
            .context("start");
        assert_eq!(in_one_line(&cause), "start: cannot listen: in use");
    }

    #[test]
    fn exit_codes_are_the_documented_ones() {
        for (exit, code) in [
            (Exit::Done, 0),
            (Exit::Failed, 1),
            (Exit::Misused, 2),
            (Exit::Unhealthy, 10),
        ] {
            assert_eq!(ExitCode::from(exit), ExitCode::from(code));
        }
    }
}
