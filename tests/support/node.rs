//! One node as a process: its files, its ports, and the signals it gets.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::command::of_this_machine;
use crate::support::http;
use crate::support::ports::{Ports, address_of};
use crate::support::wait::{seconds, wait_for};

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: i32,
    pub(crate) ports: Ports,
    /// Where its properties, its logs and its `data` lie.
    pub(crate) dir: PathBuf,
    /// This build's, unless it is compared with another.
    pub(crate) program: PathBuf,
    /// A command that runs it elsewhere: in a network of its own.
    pub(crate) through: Vec<String>,
    /// The fault planted in it, if there is one.
    pub(crate) planted: Option<&'static str>,
    process: Option<Child>,
}

impl Node {
    /// Writes the node's properties. It does not run yet.
    pub(crate) fn new(id: i32, ports: Ports, dir: PathBuf, bootstrap: &str) -> Self {
        std::fs::create_dir_all(&dir).expect("a folder for the node");
        let node = Self {
            id,
            ports,
            dir,
            program: PathBuf::from(env!("CARGO_BIN_EXE_drave")),
            through: Vec::new(),
            planted: None,
            process: None,
        };
        let Ports {
            kafka,
            controller,
            http,
        } = ports;
        node.write_properties(&[
            ("node.id", &id.to_string()),
            ("process.roles", "broker,controller"),
            (
                "listeners",
                &format!("PLAINTEXT://127.0.0.1:{kafka},CONTROLLER://127.0.0.1:{controller}"),
            ),
            ("http.listeners", &format!("HTTP://127.0.0.1:{http}")),
            ("controller.quorum.bootstrap.servers", bootstrap),
            ("log.dirs", &node.data_dir().display().to_string()),
        ]);
        node
    }

    /// Adds to the properties; the last line of a name counts.
    pub(crate) fn write_properties(&self, settings: &[(&str, &str)]) {
        use std::io::Write;
        let mut file = append_to(&self.properties_path());
        for (name, value) in settings {
            writeln!(file, "{name}={value}").expect("properties are written");
        }
    }

    pub(crate) fn properties_path(&self) -> PathBuf {
        self.dir.join("server.properties")
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Where the replica lies, in whichever of the node's log directories.
    pub(crate) fn log_folder(&self, topic: &str, partition: i32) -> PathBuf {
        let folder = format!("{topic}-{partition}");
        let dirs = [self.data_dir(), self.dir.join("second")];
        let found = dirs
            .iter()
            .map(|it| it.join(&folder))
            .find(|it| it.is_dir());
        found.unwrap_or_else(|| panic!("node {} has no {folder}", self.id))
    }

    pub(crate) fn out_path(&self) -> PathBuf {
        self.dir.join("out.log")
    }

    pub(crate) fn err_path(&self) -> PathBuf {
        self.dir.join("err.log")
    }

    pub(crate) fn kafka_address(&self) -> String {
        address_of(self.ports.kafka).to_string()
    }

    /// Starts the process and returns at once.
    pub(crate) fn spawn(&mut self) {
        assert!(self.process.is_none(), "node {} already runs", self.id);
        let child = self.command().spawn().expect("drave starts");
        self.process = Some(child);
    }

    fn command(&self) -> Command {
        let mut command = dies_with_us(&self.through, &self.program);
        // The configuration is the file: a key exported in a developer's shell is not meant for us. But
        // whoever plants a fault wants to see which stories notice.
        for (name, _) in std::env::vars_os() {
            let is_key = name.to_str().is_some_and(|it| it.starts_with("DRAVE_"));
            if is_key && name != "DRAVE_LOG" && name != "DRAVE_PLANT" {
                command.env_remove(name);
            }
        }
        if let Some(fault) = self.planted {
            command.env("DRAVE_PLANT", fault);
        }
        command
            .arg("start")
            .arg("--config")
            .arg(self.properties_path())
            .env("NO_COLOR", "1")
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(append_to(&self.out_path()))
            .stderr(append_to(&self.err_path()));
        command
    }

    /// Starts the node for as long as it takes to refuse; returns how it ended and all it said.
    pub(crate) fn run_to_refusal(&mut self) -> (ExitStatus, String) {
        let said_before = self.output().len();
        self.spawn();
        let status = wait_for("the node to refuse to start", seconds(20), || {
            self.exit_status().ok_or_else(|| "it runs".to_owned())
        });
        let said = self.output().get(said_before..).unwrap_or("").to_owned();
        (status, said)
    }

    /// Whether the process is there; a paused one is.
    pub(crate) fn is_running(&mut self) -> bool {
        self.process.is_some() && self.exit_status().is_none()
    }

    /// How it ended, if it did by itself; then it no longer counts as started.
    pub(crate) fn exit_status(&mut self) -> Option<ExitStatus> {
        let status = self
            .process
            .as_mut()?
            .try_wait()
            .expect("our own child can be asked")?;
        self.process = None;
        Some(status)
    }

    /// SIGKILL: the process is gone when this returns.
    pub(crate) fn kill9(&mut self) {
        let mut child = self.process.take().expect("the node runs");
        child.kill().expect("our own child can be killed");
        child.wait().expect("our own child can be waited for");
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let id = self.id;
        wait_for(&format!("node {id} to stop"), seconds(30), || {
            self.exit_status().ok_or_else(|| "it runs".to_owned())
        })
    }

    /// SIGSTOP: it holds its connections and answers nobody.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("our own child takes signals");
    }

    pub(crate) fn pid(&self) -> Pid {
        let child = self.process.as_ref().expect("the node runs");
        Pid::from_child(child)
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid().as_raw_nonzero());
        let status = std::fs::read_to_string(path).expect("the node runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("a process has a size");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("kB");
        kib * 1024
    }

    /// User and system time of its process so far.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let path = format!("/proc/{}/stat", self.pid().as_raw_nonzero());
        let stat = std::fs::read_to_string(path).expect("the node runs");
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let ticks = |index: usize| fields[index].parse::<f64>().expect("a number");
        (ticks(11) + ticks(12)) / 100.0
    }

    /// Everything the node ever said.
    pub(crate) fn output(&self) -> String {
        let read = |path: &Path| {
            let bytes = std::fs::read(path).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        read(&self.out_path()) + &read(&self.err_path())
    }

    pub(crate) fn get(&self, path: &str) -> Result<http::Answer, String> {
        http::get(self.ports.http, path)
    }

    pub(crate) fn wait_ready(&self, limit: Duration) {
        let what = format!("node {} to be ready", self.id);
        wait_for(&what, limit, || match self.get("/health/ready")? {
            answer if answer.status == 200 => Ok(()),
            answer => Err(format!("{} {}", answer.status, answer.text)),
        });
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.take() {
            // SIGKILL reaches a paused process too. Errors mean it is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A command whose process the kernel ends when the thread that started it does, where `setpriv` can ask
/// for that: a test program that is itself killed leaves no nodes behind.
fn dies_with_us(through: &[String], program: &Path) -> Command {
    const SETPRIV: &str = "/usr/bin/setpriv";
    let mut words: Vec<OsString> = through.iter().map(OsString::from).collect();
    if Path::new(SETPRIV).exists() {
        words.extend([SETPRIV, "--pdeathsig", "KILL"].map(OsString::from));
    }
    words.push(program.into());
    let (first, rest) = words.split_first().expect("there is a program");
    let mut command = of_this_machine(first);
    command.args(rest);
    command
}

fn append_to(path: &Path) -> File {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .expect("a file of ours can be written")
}
