//! The processes a drill kills and brings back. It touches only those whose files and command it
//! was given.

use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use drave_protocol::ids::NodeId;
use rustix::process::{Pid, Signal, kill_process};

use crate::tasks::Tasks;

#[derive(Debug)]
pub(super) struct Victims {
    pid_file: String,
    restart: String,
}

impl Victims {
    pub(super) fn new(pid_file: &str, restart: &str) -> Self {
        Self {
            pid_file: pid_file.to_owned(),
            restart: restart.to_owned(),
        }
    }

    /// SIGKILL; the process is gone when this returns, its parent may not have noticed.
    #[allow(clippy::disallowed_methods, reason = "one small file, read once")]
    pub(super) fn kill(&self, node: NodeId) -> anyhow::Result<()> {
        let path = for_node(&self.pid_file, node);
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let number = text.trim().parse().ok();
        let pid = number.and_then(Pid::from_raw);
        let pid = pid.with_context(|| format!("{path} holds no process id"))?;
        kill_process(pid, Signal::KILL).with_context(|| format!("cannot kill node {node}"))
    }

    /// Runs the command that was given; its output goes to standard error.
    pub(super) async fn restart(&self, node: NodeId, tasks: &Tasks) -> anyhow::Result<()> {
        let command = for_node(&self.restart, node);
        let shell = command.clone();
        let run = move || {
            let mut shell_command = Command::new("sh");
            let quiet = shell_command.arg("-c").arg(&shell).stdout(Stdio::null());
            quiet.status()
        };
        let status = tasks
            .run_blocking(run)
            .await
            .context("the pool is closed")?;
        let status = status.with_context(|| format!("cannot run {command:?}"))?;
        ensure!(status.success(), "{command:?} failed: {status}");
        Ok(())
    }
}

fn for_node(pattern: &str, node: NodeId) -> String {
    pattern.replace("{}", &node.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_the_node_is_filled_in() {
        assert_eq!(for_node("run/{}.pid", NodeId(2)), "run/2.pid");
    }

    #[tokio::test]
    async fn a_restart_that_fails_is_told() {
        let tasks = Tasks::new();
        let victims = Victims::new("", "test {} = 7");
        assert!(victims.restart(NodeId(7), &tasks).await.is_ok());
        let error = victims.restart(NodeId(8), &tasks).await.unwrap_err();
        assert!(error.to_string().contains("test 8 = 7"), "{error}");
    }
}
