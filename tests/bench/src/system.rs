//! The brokers that are compared, started alike: combined nodes on this machine, each with its folder,
//! nothing configured but where they are. How they differ is what they are.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::process::{self, Usage};

const START_WITHIN: Duration = Duration::from_mins(2);
const POLL_EVERY: Duration = Duration::from_millis(10);
/// What `kafka-server-start.sh` and `kafka-run-class.sh` give a broker.
const JVM: &[&str] = &[
    "-Xmx1G",
    "-Xms1G",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-XX:MaxInlineLevel=15",
    "-Djava.awt.headless=true",
];
const CLUSTER_ID: &str = "4L6g3nShT-eMCtK--X86sw";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum System {
    /// `log.flush.mode=async`: as Kafka, the page cache is enough for an ack.
    Drave,
    /// Its default: what is acknowledged with `acks=all` is on disk.
    DraveSynced,
    Kafka,
}

impl System {
    pub(crate) const ALL: [Self; 3] = [Self::Drave, Self::DraveSynced, Self::Kafka];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Drave => "drave without fsync",
            Self::DraveSynced => "drave with fsync",
            Self::Kafka => "Kafka 4.3.1",
        }
    }
}

/// The program of this build.
pub(crate) fn drave() -> PathBuf {
    let set = std::env::var_os("DRAVE").map(PathBuf::from);
    set.unwrap_or_else(|| PathBuf::from("target/release/drave"))
}

fn class_path() -> anyhow::Result<String> {
    let path = std::env::var("JAVA_CLASSPATH").unwrap_or("target/java-classpath".to_owned());
    let text = fs::read_to_string(&path);
    let text = text.with_context(|| format!("no Kafka: {path} is not there; run `make java`"))?;
    Ok(text.trim().to_owned())
}

/// One of Kafka's classes with a `main`.
pub(crate) fn java(options: &[&str], class: &str) -> anyhow::Result<Command> {
    let mut command = Command::new("java");
    command
        .args(options)
        .args(["-cp", &class_path()?])
        .arg(class);
    Ok(command)
}

pub(crate) fn check_programs() -> anyhow::Result<()> {
    let drave = drave();
    if !drave.is_file() {
        bail!("{} is not there; run `make build`", drave.display());
    }
    class_path().map(drop)
}

/// Nodes that run; they end with it.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) system: System,
    /// When the first process was started.
    pub(crate) started: Instant,
    nodes: Vec<Child>,
    ports: Vec<u16>,
    homes: Vec<PathBuf>,
    // Last, so that the nodes are gone before their files.
    dir: Rc<TempDir>,
}

impl Cluster {
    pub(crate) fn start(system: System, n_nodes: usize, under: &Path) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("drave-bench-")
            .tempdir_in(under)?;
        let ports = free_ports(n_nodes * 2)?;
        let (kafka, controller) = ports.split_at(n_nodes);
        let mut cluster = Self {
            system,
            started: now(),
            nodes: Vec::new(),
            ports: kafka.to_vec(),
            homes: Vec::new(),
            dir: Rc::new(dir),
        };
        let voters: Vec<String> = controller
            .iter()
            .map(|it| format!("127.0.0.1:{it}"))
            .collect();
        for (id, (kafka, controller)) in (1..).zip(kafka.iter().zip(controller)) {
            let home = cluster.dir.path().join(format!("node-{id}"));
            fs::create_dir(&home)?;
            let properties = properties(system, id, *kafka, *controller, &voters, &home);
            fs::write(home.join("server.properties"), properties)?;
            // Kafka's alone, and no part of a start.
            if system == System::Kafka {
                format(&home)?;
            }
            cluster.homes.push(home);
        }
        cluster.start_nodes()?;
        Ok(cluster)
    }

    fn start_nodes(&mut self) -> anyhow::Result<()> {
        let commands = self.homes.iter().map(|home| command(self.system, home));
        let commands: Vec<Command> = commands.collect::<Result<_, _>>()?;
        self.started = now();
        for mut command in commands {
            let node = command.spawn().context("a node cannot be started")?;
            self.nodes.push(node);
        }
        self.wait_for_listeners()
    }

    /// SIGKILL to all nodes at once, and all started again.
    pub(crate) fn kill_and_start(&mut self) -> anyhow::Result<()> {
        for node in &mut self.nodes {
            node.kill()?;
        }
        for mut node in self.nodes.drain(..) {
            node.wait()?;
        }
        self.start_nodes()
    }

    fn wait_for_listeners(&mut self) -> anyhow::Result<()> {
        let deadline = now() + START_WITHIN;
        for port in self.ports.clone() {
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                self.check_alive()?;
                if now() >= deadline {
                    bail!("{} does not listen on {port}", self.system.name());
                }
                // The condition is looked at between two of these.
                thread::sleep(POLL_EVERY);
            }
        }
        Ok(())
    }

    fn check_alive(&mut self) -> anyhow::Result<()> {
        for node in &mut self.nodes {
            if let Some(status) = node.try_wait()? {
                bail!("a node of {} ended with {status}", self.system.name());
            }
        }
        Ok(())
    }

    pub(crate) fn bootstrap(&self) -> String {
        let addresses: Vec<String> = self
            .ports
            .iter()
            .map(|it| format!("127.0.0.1:{it}"))
            .collect();
        addresses.join(",")
    }

    /// Of all nodes together.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let each = self.nodes.iter().map(|it| process::usage(it.id()));
        each.sum::<anyhow::Result<Usage>>()
    }

    /// Its files stay as long as this is held.
    pub(crate) fn dir(&self) -> Rc<TempDir> {
        Rc::clone(&self.dir)
    }

    pub(crate) fn first_port(&self) -> u16 {
        self.ports.first().copied().unwrap_or_default()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            // An error means that it is gone.
            let _ = node.kill();
            let _ = node.wait();
        }
    }
}

fn properties(
    system: System,
    id: i32,
    kafka: u16,
    controller: u16,
    voters: &[String],
    home: &Path,
) -> String {
    let n = voters.len();
    let quorum: Vec<String> = (1..)
        .zip(voters)
        .map(|(id, it)| format!("{id}@{it}"))
        .collect();
    let mut lines = vec![
        format!("node.id={id}"),
        "process.roles=broker,controller".to_owned(),
        format!("listeners=PLAINTEXT://127.0.0.1:{kafka},CONTROLLER://127.0.0.1:{controller}"),
        "controller.listener.names=CONTROLLER".to_owned(),
        format!("log.dirs={}", home.join("data").display()),
        format!("offsets.topic.replication.factor={n}"),
        format!("default.replication.factor={n}"),
    ];
    match system {
        System::Drave | System::DraveSynced => {
            let mode = if system == System::Drave {
                "async"
            } else {
                "commit"
            };
            lines.push(format!("log.flush.mode={mode}"));
            lines.push("http.listeners=HTTP://127.0.0.1:0".to_owned());
            lines.push(format!(
                "controller.quorum.bootstrap.servers={}",
                voters.join(",")
            ));
        }
        // Static voters: formatting three nodes of a dynamic quorum needs ids handed around.
        System::Kafka => lines.push(format!("controller.quorum.voters={}", quorum.join(","))),
    }
    lines.join("\n") + "\n"
}

fn command(system: System, home: &Path) -> anyhow::Result<Command> {
    let properties = home.join("server.properties");
    let mut command = match system {
        System::Drave | System::DraveSynced => {
            let mut command = Command::new(drave().canonicalize()?);
            command.arg("start").arg("--config").arg(&properties);
            command
        }
        System::Kafka => {
            let mut command = java(JVM, "kafka.Kafka")?;
            command.arg(&properties);
            command
        }
    };
    let log = File::create(home.join("out.log"))?;
    command
        .current_dir(home)
        .stdin(Stdio::null())
        .stderr(log.try_clone()?)
        .stdout(log);
    Ok(command)
}

fn format(home: &Path) -> anyhow::Result<()> {
    let mut format = java(&["-Xmx256m"], "kafka.tools.StorageTool")?;
    let done = format
        .args(["format", "--cluster-id", CLUSTER_ID, "--config"])
        .arg(home.join("server.properties"))
        .output()?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("Kafka cannot format: {said}");
    }
    Ok(())
}

/// Held together while they are chosen, so that they differ.
fn free_ports(n: usize) -> anyhow::Result<Vec<u16>> {
    let bound = (0..n).map(|_| TcpListener::bind("127.0.0.1:0"));
    let bound: Vec<TcpListener> = bound.collect::<Result<_, _>>()?;
    let ports = bound.iter().map(|it| Ok(it.local_addr()?.port()));
    ports.collect()
}

pub(crate) fn now() -> Instant {
    Instant::now()
}
