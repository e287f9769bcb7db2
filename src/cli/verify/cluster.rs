//! The cluster that is tried, where this program starts it: nodes, the wires between them, their disks.
//!
//! Invariant: what is started here ends here; nodes go first, then their disks, then the folder.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use drave_client::Admin;
use drave_client::metadata::PartitionDescription;
use drave_protocol::ids::NodeId;

use crate::cli::ask;
use crate::cli::verify::disk::{self, Disk};
use crate::cli::verify::home::Home;
use crate::cli::verify::node::{Node, NodePorts};
use crate::cli::verify::ports::Ports;
use crate::cli::verify::whose;
use crate::cli::verify::wires::{Plug, Traffic, Wires, local};
use crate::clock::Clock;
use crate::http::answers::ClusterAnswer;

const POLL_EVERY: Duration = Duration::from_millis(20);
const DISK_MEBIBYTES: u64 = 512;
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// What the cluster is to be.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) n_nodes: i32,
    /// Whether each node has a disk of its own.
    pub(super) with_disks: bool,
    /// Whether nodes dial each other through wires that can be cut.
    pub(super) with_wires: bool,
    pub(super) settings: Vec<(String, String)>,
}

#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) nodes: Vec<Node>,
    pub(super) wires: Wires,
    disks: BTreeMap<NodeId, Disk>,
    clock: Clock,
    // The last to be dropped.
    home: Home,
}

impl Cluster {
    /// Lays the cluster out; nothing runs yet.
    pub(super) fn lay_out(shape: &Shape, home: Home, clock: &Clock) -> anyhow::Result<Self> {
        let mut ports = Ports::new();
        let mut cluster = Self {
            nodes: Vec::new(),
            wires: Wires::new(),
            disks: BTreeMap::new(),
            clock: clock.clone(),
            home,
        };
        let mut dialled = BTreeMap::new();
        for id in (1..=shape.n_nodes).map(NodeId) {
            let listens = NodePorts {
                clients: ports.free()?,
                brokers: ports.free()?,
                quorum: ports.free()?,
                http: ports.free()?,
            };
            let mut others = (listens.brokers, listens.quorum);
            if shape.with_wires {
                others = (ports.free()?, ports.free()?);
                for (traffic, dialled, listens) in [
                    (Traffic::Records, others.0, listens.brokers),
                    (Traffic::Control, others.1, listens.quorum),
                ] {
                    cluster.wires.add(Plug {
                        node: id,
                        traffic,
                        dialled: local(dialled)?,
                        listens: local(listens)?,
                    });
                }
            }
            dialled.insert(id, others);
            let dir = cluster.home.path().join(format!("node-{id}"));
            cluster.nodes.push(Node::new(id, listens, dir));
        }
        cluster.configure(shape, &dialled)?;
        if shape.with_disks {
            for node in &cluster.nodes {
                let disk = Disk::mount(node.data_dir(), DISK_MEBIBYTES)?;
                cluster.disks.insert(node.id, disk);
            }
        }
        Ok(cluster)
    }

    fn configure(
        &self,
        shape: &Shape,
        dialled: &BTreeMap<NodeId, (u16, u16)>,
    ) -> anyhow::Result<()> {
        let quorum: Vec<String> = dialled
            .values()
            .map(|(_, quorum)| format!("127.0.0.1:{quorum}"))
            .collect();
        for node in &self.nodes {
            let ports = node.ports;
            let (brokers, quorum_port) = dialled
                .get(&node.id)
                .copied()
                .context("a port for each node")?;
            let pairs = [
                ("node.id", node.id.to_string()),
                ("process.roles", "broker,controller".to_owned()),
                (
                    "listeners",
                    format!(
                        "PLAINTEXT://127.0.0.1:{},BROKERS://127.0.0.1:{},CONTROLLER://127.0.0.1:{}",
                        ports.clients, ports.brokers, ports.quorum
                    ),
                ),
                (
                    "advertised.listeners",
                    format!(
                        "PLAINTEXT://127.0.0.1:{},BROKERS://127.0.0.1:{brokers},CONTROLLER://127.0.0.1:{quorum_port}",
                        ports.clients
                    ),
                ),
                (
                    "listener.security.protocol.map",
                    "PLAINTEXT:PLAINTEXT,BROKERS:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
                ),
                ("inter.broker.listener.name", "BROKERS".to_owned()),
                ("http.listeners", format!("HTTP://127.0.0.1:{}", ports.http)),
                ("controller.quorum.bootstrap.servers", quorum.join(",")),
            ];
            let mut settings: Vec<(String, String)> = pairs
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect();
            settings.extend(shape.settings.iter().cloned());
            node.configure(&settings)?;
        }
        Ok(())
    }

    pub(super) fn ids(&self) -> Vec<NodeId> {
        self.nodes.iter().map(|it| it.id).collect()
    }

    pub(super) fn bootstrap(&self) -> String {
        let addresses: Vec<String> = self.nodes.iter().map(Node::client_address).collect();
        addresses.join(",")
    }

    pub(super) fn home(&mut self) -> &mut Home {
        &mut self.home
    }

    pub(super) fn home_path(&self) -> PathBuf {
        self.home.path().to_owned()
    }

    pub(super) fn node(&mut self, id: NodeId) -> anyhow::Result<&mut Node> {
        let mut nodes = self.nodes.iter_mut();
        nodes
            .find(|it| it.id == id)
            .with_context(|| format!("there is no node {id}"))
    }

    pub(super) fn disk(&mut self, id: NodeId) -> anyhow::Result<&mut Disk> {
        let disk = self.disks.get_mut(&id);
        disk.with_context(|| format!("node {id} has no disk of its own"))
    }

    /// Starts a node that is down.
    pub(super) async fn start(&mut self, id: NodeId) -> anyhow::Result<()> {
        let node = self.node(id)?;
        if !node.is_started() {
            let pid = node.start()?;
            self.wires.open(id, pid).await;
        }
        Ok(())
    }

    pub(super) async fn start_all(&mut self) -> anyhow::Result<()> {
        for id in self.ids() {
            self.start(id).await?;
        }
        Ok(())
    }

    /// SIGKILL. Its addresses refuse before it is gone, as a dead host's do when it is.
    pub(super) async fn kill(&mut self, id: NodeId) -> anyhow::Result<()> {
        self.wires.close(id).await;
        self.node(id)?.kill();
        Ok(())
    }

    pub(super) async fn kill_all(&mut self) {
        for id in self.ids() {
            self.wires.close(id).await;
        }
        for node in &self.nodes {
            node.strike_dead();
        }
        for node in &mut self.nodes {
            node.kill();
        }
    }

    /// A polite stop.
    pub(super) async fn stop(&mut self, id: NodeId) -> anyhow::Result<()> {
        let (deadline, clock) = (self.clock.now() + STOP_PATIENCE, self.clock.clone());
        let stopped = self.node(id)?.stop(deadline, &clock).await;
        self.wires.close(id).await;
        stopped
    }

    /// All at once: the last alone would have nobody to hand over to.
    pub(super) async fn stop_all(&mut self) -> anyhow::Result<()> {
        let (deadline, clock) = (self.clock.now() + STOP_PATIENCE, self.clock.clone());
        for node in &mut self.nodes {
            node.ask_to_stop();
        }
        for node in &mut self.nodes {
            node.stop(deadline, &clock).await?;
        }
        for id in self.ids() {
            self.wires.close(id).await;
        }
        Ok(())
    }

    /// The power goes, of disks and of whoever runs. Returns when it had gone.
    pub(super) async fn cut_power(&mut self) -> anyhow::Result<Instant> {
        let disks: Vec<&Disk> = self.disks.values().collect();
        let pids: Vec<u32> = self.nodes.iter().filter_map(Node::pid).collect();
        disk::cut_power(&disks, &pids)?;
        let went = self.clock.now();
        self.kill_all().await;
        for disk in self.disks.values() {
            disk.come_back()?;
        }
        Ok(went)
    }

    /// Nodes that ended without being asked to, and how. They are down afterwards.
    pub(super) async fn dead(&mut self) -> Vec<(NodeId, String)> {
        let mut dead = Vec::new();
        for node in &mut self.nodes {
            if let Some(status) = node.ended() {
                let words = node.last_words(5);
                dead.push((
                    node.id,
                    format!("node {} ended with {status}: {words}", node.id),
                ));
            }
        }
        for (id, _) in &dead {
            self.wires.close(*id).await;
        }
        dead
    }

    /// Waits until every node is ready.
    pub(super) async fn wait_ready(&mut self, deadline: Instant) -> anyhow::Result<()> {
        let mut waited_for: Vec<(NodeId, String)> =
            self.nodes.iter().map(|it| (it.id, it.http_url())).collect();
        while !waited_for.is_empty() {
            if let Some((id, what)) = self.dead().await.into_iter().next() {
                bail!("node {id} did not start: {what}");
            }
            waited_for.retain(|(_, url)| {
                !ask::get(url, "/health/ready").is_ok_and(|it| it.status == 200)
            });
            if self.clock.now() >= deadline {
                let ids: Vec<String> = waited_for.iter().map(|(id, _)| id.to_string()).collect();
                bail!("node {} is not ready in time", ids.join(","));
            }
            self.clock.sleep_until(self.clock.now() + POLL_EVERY).await;
        }
        Ok(())
    }

    /// The active controller, as any node tells.
    pub(super) fn controller(&self) -> Option<NodeId> {
        let running = self.nodes.iter().filter(|it| it.is_started());
        running.into_iter().find_map(|node| {
            let answer = ask::get(&node.http_url(), "/v1/cluster").ok()?;
            let answer: ClusterAnswer = serde_json::from_value(answer.body).ok()?;
            answer.controller.filter(|_| answer.seen.quorum)
        })
    }
}

/// Whether nodes can be cut off from each other here.
pub(super) fn cannot_be_cut() -> Option<String> {
    (!whose::can_tell()).then(|| "this system does not tell who owns a socket".to_owned())
}

/// The partitions of a topic, as any broker tells.
pub(super) async fn partitions(
    admin: &Admin,
    topic: &str,
) -> anyhow::Result<Vec<PartitionDescription>> {
    let topics = admin.describe_topics(&[topic.to_owned()]).await?;
    Ok(topics.into_iter().flat_map(|it| it.partitions).collect())
}

/// Waits until every replica of a topic is in sync.
pub(super) async fn wait_in_sync(
    admin: &Admin,
    topic: &str,
    deadline: Instant,
    clock: &Clock,
) -> anyhow::Result<()> {
    loop {
        let found = partitions(admin, topic).await.unwrap_or_default();
        let lags =
            |it: &&PartitionDescription| it.leader.is_none() || it.isr.len() != it.replicas.len();
        let lagging = found.iter().find(lags);
        match lagging {
            None if !found.is_empty() => return Ok(()),
            _ if clock.now() < deadline => clock.sleep_until(clock.now() + POLL_EVERY).await,
            None => bail!("no broker tells of {topic}"),
            Some(it) => bail!(
                "partition {} is led by {:?} with {:?} of {:?} in sync",
                it.partition,
                it.leader.map(|it| it.0),
                it.isr.iter().map(|it| it.0).collect::<Vec<_>>(),
                it.replicas.iter().map(|it| it.0).collect::<Vec<_>>(),
            ),
        }
    }
}
