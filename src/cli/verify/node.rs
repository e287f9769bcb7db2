//! One node of the cluster that is tried: a process of this same program, its folder and its ports.
//!
//! Promise: the process is gone when this is dropped, and, where `setpriv` is there, also when this program
//! is killed before it can drop anything.

use std::fs::{File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use drave_protocol::ids::NodeId;
use rustix::process::{Pid, Signal, kill_process};

use crate::clock::Clock;

const SETPRIV: &str = "/usr/bin/setpriv";
const POLL_EVERY: Duration = Duration::from_millis(5);

/// Where one node is reached: by clients, by other brokers, by the quorum, over HTTP.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodePorts {
    pub(super) clients: u16,
    pub(super) brokers: u16,
    pub(super) quorum: u16,
    pub(super) http: u16,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) ports: NodePorts,
    /// Its properties and its log.
    dir: PathBuf,
    /// What it keeps.
    data_dir: PathBuf,
    process: Option<Child>,
    is_stopping: bool,
}

impl Node {
    pub(super) fn new(id: NodeId, ports: NodePorts, dir: PathBuf) -> Self {
        let data_dir = dir.join("disk");
        Self {
            id,
            ports,
            dir,
            data_dir,
            process: None,
            is_stopping: false,
        }
    }

    /// Where its disk is, or may be mounted.
    pub(super) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    pub(super) fn records_dir(&self) -> PathBuf {
        self.data_dir.join("records")
    }

    pub(super) fn metadata_dir(&self) -> PathBuf {
        self.data_dir.join("metadata")
    }

    pub(super) fn client_address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.clients)
    }

    pub(super) fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.http)
    }

    pub(super) fn log_path(&self) -> PathBuf {
        self.dir.join("log")
    }

    #[allow(clippy::disallowed_methods, reason = "one small file of this run")]
    pub(super) fn configure(&self, settings: &[(String, String)]) -> anyhow::Result<()> {
        let own = [
            ("log.dirs", self.records_dir().display().to_string()),
            (
                "metadata.log.dir",
                self.metadata_dir().display().to_string(),
            ),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value));
        let all = own.iter().chain(settings);
        let lines: Vec<String> = all
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect();
        std::fs::create_dir_all(&self.data_dir)
            .and_then(|()| std::fs::write(self.properties(), lines.concat()))
            .with_context(|| format!("cannot write {}", self.properties().display()))
    }

    /// The logs of all its partitions are gone. It does not run.
    #[allow(clippy::disallowed_methods, reason = "folders of this run")]
    pub(super) fn wipe_records(&self) -> anyhow::Result<()> {
        let path = self.records_dir();
        let wipe = || {
            for entry in std::fs::read_dir(&path)? {
                let entry = entry?.path();
                if entry.is_dir() {
                    std::fs::remove_dir_all(entry)?;
                }
            }
            Ok::<(), std::io::Error>(())
        };
        wipe().with_context(|| format!("cannot wipe {}", path.display()))
    }

    fn properties(&self) -> PathBuf {
        self.dir.join("server.properties")
    }

    /// Returns the id of its process. To be called from the thread that lives as long as this program.
    pub(super) fn start(&mut self) -> anyhow::Result<i32> {
        let program = this_program()?;
        let mut command = dies_with_us(&program);
        // The configuration is the file: what is set around us is not meant for these nodes.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("DRAVE_") && !matches!(name.as_str(), "DRAVE_LOG" | "DRAVE_PLANT") {
                command.env_remove(name);
            }
        }
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command
            .arg("start")
            .arg("--config")
            .arg(self.properties())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(append_to(&self.log_path())?)
            .stderr(append_to(&self.log_path())?);
        let child = command.spawn();
        let child = child.with_context(|| format!("cannot start {}", program.display()))?;
        let pid = i32::try_from(child.id())?;
        self.process = Some(child);
        self.is_stopping = false;
        Ok(pid)
    }

    /// Of its process, while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    pub(super) fn is_started(&self) -> bool {
        self.process.is_some()
    }

    /// How it ended, if it did by itself; then it no longer counts as started.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.process.as_mut()?.try_wait().ok()??;
        self.process = None;
        Some(status)
    }

    /// SIGKILL; the process is gone when this returns.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            // Errors mean that it is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGKILL, without waiting for the end.
    pub(super) fn strike_dead(&self) {
        self.signal(Signal::KILL);
    }

    /// SIGTERM, without waiting for the end.
    pub(super) fn ask_to_stop(&mut self) {
        self.is_stopping = true;
        self.signal(Signal::TERM);
    }

    /// Asks it to stop, unless it was asked before; it is gone when this returns, by force when it takes too long.
    pub(super) async fn stop(&mut self, deadline: Instant, clock: &Clock) -> anyhow::Result<()> {
        // A second SIGTERM makes it leave at once.
        if !std::mem::replace(&mut self.is_stopping, true) {
            self.signal(Signal::TERM);
        }
        while self.is_started() {
            if let Some(status) = self.ended() {
                // A program that SIGTERM itself ends had not yet begun: one that listens for it is never ended by it.
                let had_not_begun = status.signal() == Some(Signal::TERM.as_raw());
                if status.success() || had_not_begun {
                    return Ok(());
                }
                bail!("node {} was asked to stop and ended with {status}", self.id);
            }
            if clock.now() >= deadline {
                self.kill();
                bail!("node {} was asked to stop and did not in time", self.id);
            }
            clock.sleep_until(clock.now() + POLL_EVERY).await;
        }
        Ok(())
    }

    pub(super) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub(super) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &self.process {
            // An error means that it is gone, which is found out elsewhere.
            let _ = kill_process(Pid::from_child(child), signal);
        }
    }

    /// The last lines it said.
    #[allow(
        clippy::disallowed_methods,
        reason = "one log, read when something is wrong"
    )]
    pub(super) fn last_words(&self, n: usize) -> String {
        let said = std::fs::read(self.log_path()).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().collect();
        let skipped = lines.len().saturating_sub(n);
        lines
            .into_iter()
            .skip(skipped)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// This program; by its process, where another build was put in its place since it was started.
fn this_program() -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe().context("this program has no path")?;
    let by_process = || PathBuf::from(format!("/proc/{}/exe", std::process::id()));
    Ok(if path.exists() { path } else { by_process() })
}

fn dies_with_us(program: &Path) -> Command {
    if !Path::new(SETPRIV).exists() {
        return Command::new(program);
    }
    let mut command = Command::new(SETPRIV);
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}

#[allow(
    clippy::disallowed_methods,
    reason = "a log of a process, not of the node"
)]
fn append_to(path: &Path) -> anyhow::Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.with_context(|| format!("cannot write {}", path.display()))
}
