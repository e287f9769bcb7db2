//! `drave cluster status | wait`: what the nodes say of the cluster over HTTP.

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;

use crate::cli::Exit;
use crate::cli::ask::{self, Nodes};
use crate::cli::output::{self, Format};
use crate::cli::status;
use crate::clock::Clock;
use crate::http::answers::HealthAnswer;

const WATCH_EVERY: Duration = Duration::from_secs(1);
const POLL_EVERY: Duration = Duration::from_millis(20);
/// Clears the screen and goes to its first line.
const CLEAR: &str = "\x1b[2J\x1b[H";

const EXAMPLES: &str = "\
Examples:
  drave cluster status
  drave cluster status --watch --http http://localhost:9292,http://localhost:9293
  drave cluster status --format json | jq .controller
  drave cluster wait --timeout 30 && echo ready

Exit codes: 10 when the cluster is not healthy (status), or not ready in time (wait).";

/// Look at the cluster.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Cluster {
    #[command(flatten)]
    nodes: Nodes,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Nodes, roles, controller, quorum, and partitions that need attention.
    Status {
        /// Show it again every second.
        #[arg(long)]
        watch: bool,
    },
    /// Wait until every node named is ready: in the quorum, not fenced.
    Wait {
        /// Give up after this many seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 30)]
        timeout: u64,
        /// Give up at once when this process ends; may be repeated.
        #[arg(long = "while-runs", value_name = "PID")]
        while_runs: Vec<i32>,
        /// Wait instead until this process has ended; may be repeated.
        #[arg(long, value_name = "PID", conflicts_with = "while_runs")]
        ended: Vec<i32>,
    },
}

impl Cluster {
    pub(super) fn run(self, format: Format) -> anyhow::Result<Exit> {
        let clock = Clock::system();
        match self.command {
            Command::Status { watch: false } => {
                let (page, exit) = status::read(&self.nodes, format)?;
                output::say(&page);
                Ok(exit)
            }
            Command::Status { watch: true } => {
                ask::runtime()?.block_on(watch(&self.nodes, format, &clock))
            }
            Command::Wait {
                timeout,
                while_runs,
                ended,
            } => {
                let deadline = clock.now() + Duration::from_secs(timeout);
                Ok(ask::runtime()?.block_on(async {
                    if ended.is_empty() {
                        wait_ready(&self.nodes, deadline, &while_runs, &clock).await
                    } else {
                        wait_ended(&ended, deadline, &clock).await
                    }
                }))
            }
        }
    }
}

/// Until interrupted. A cluster that does not answer is a picture too, not an end.
async fn watch(nodes: &Nodes, format: Format, clock: &Clock) -> anyhow::Result<Exit> {
    loop {
        let page = match status::read(nodes, format) {
            Ok((page, _)) => page,
            Err(error) => format!("{error:#}"),
        };
        let screen = if format == Format::Table { CLEAR } else { "" };
        output::say(&format!("{screen}{page}"));
        tokio::select! {
            () = clock.sleep_until(clock.now() + WATCH_EVERY) => {}
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Done),
        }
    }
}

async fn wait_ready(nodes: &Nodes, deadline: Instant, while_runs: &[i32], clock: &Clock) -> Exit {
    let mut waited_for = nodes.urls();
    let mut last = String::new();
    while clock.now() < deadline {
        if let Some(pid) = while_runs.iter().find(|pid| !runs(**pid)) {
            output::complain(&format!("process {pid} ended"));
            return Exit::Failed;
        }
        waited_for.retain(|url| match ask::get(url, "/health/ready") {
            Ok(answer) if answer.status == 200 => false,
            Ok(answer) => {
                last = format!("{url} is not ready: {}", reason(&answer.body));
                true
            }
            Err(error) => {
                last = format!("{error:#}");
                true
            }
        });
        if waited_for.is_empty() {
            return Exit::Done;
        }
        clock.sleep_until(clock.now() + POLL_EVERY).await;
    }
    output::complain(&last);
    Exit::Unhealthy
}

async fn wait_ended(pids: &[i32], deadline: Instant, clock: &Clock) -> Exit {
    while let Some(pid) = pids.iter().find(|pid| runs(**pid)) {
        if clock.now() >= deadline {
            output::complain(&format!("process {pid} still runs"));
            return Exit::Failed;
        }
        clock.sleep_until(clock.now() + POLL_EVERY).await;
    }
    Exit::Done
}

/// Why a node says it is not ready: the first check that failed.
fn reason(body: &Value) -> String {
    let Ok(health) = HealthAnswer::deserialize(body) else {
        return body.to_string();
    };
    let failed = health.checks.into_iter().find(|it| !it.ok);
    failed.map_or_else(String::new, |it| it.reason.unwrap_or(it.name))
}

/// Whether a process exists and is more than an exit code waiting to be read.
#[allow(clippy::disallowed_methods, reason = "/proc is no disk")]
fn runs(pid: i32) -> bool {
    let exists = rustix::process::Pid::from_raw(pid)
        .is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok());
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which is in parentheses and may hold any character.
    let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
    exists && !state.is_some_and(|it| it.starts_with(['Z', 'X']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ended_does_not_run_even_before_it_is_reaped() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        // Its standard streams are ours, so the end shows only in its state: look until it does.
        while runs(pid) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!runs(pid));
        assert!(runs(i32::try_from(std::process::id()).unwrap()));
    }
}
