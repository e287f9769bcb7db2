//! A cluster of real processes.
//!
//! Promises: when `start` returns, every node is ready and an `acks=all` write was acked. One cluster
//! runs at a time in a test program, because figures are measured.

use std::panic::Location;
use std::path::PathBuf;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tempfile::TempDir;

use crate::support::node::Node;
use crate::support::ports::Ports;
use crate::support::wait::{seconds, wait_for};
use crate::support::wire::Wire;

static TURN: Mutex<()> = Mutex::new(());

/// A debug build on a busy machine; a cluster is ready in a fraction of it.
const START_LIMIT: Duration = seconds(30);
const START_ATTEMPTS: usize = 3;
const LAST_WORDS_LINES: usize = 40;

#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    /// Who answered last, and is asked first.
    pub(crate) spokesman: i32,
    dir: Option<TempDir>,
    _turn: MutexGuard<'static, ()>,
}

/// For those whose clusters somebody else starts: no other runs meanwhile.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    TURN.lock()
}

impl Cluster {
    #[track_caller]
    pub(crate) fn start(n_nodes: i32) -> Self {
        Self::start_with(n_nodes, &[])
    }

    /// Starts with these settings on every node.
    #[track_caller]
    pub(crate) fn start_with(n_nodes: i32, settings: &[(&str, &str)]) -> Self {
        let mut cluster = Self::prepare(n_nodes, settings);
        for attempt in 1.. {
            cluster.spawn_all();
            if !cluster.lost_a_port() {
                break;
            }
            assert!(attempt < START_ATTEMPTS, "ports were taken every time");
            for node in &mut cluster.nodes {
                drop(std::fs::remove_dir_all(&node.dir));
            }
            cluster.nodes = lay_out(cluster.path(), n_nodes, settings);
        }
        cluster.wait_ready();
        cluster
    }

    /// Nodes with their properties written and nothing running.
    #[track_caller]
    pub(crate) fn prepare(n_nodes: i32, settings: &[(&str, &str)]) -> Self {
        let turn = TURN.lock();
        let caller = Location::caller();
        let story = caller.file().rsplit('/').next().unwrap_or("story");
        let dir = tempfile::Builder::new()
            .prefix(&format!("drave-{}-{}-", story, caller.line()))
            .tempdir()
            .expect("a folder for the cluster");
        let nodes = lay_out(dir.path().to_owned(), n_nodes, settings);
        Self {
            nodes,
            spokesman: 1,
            dir: Some(dir),
            _turn: turn,
        }
    }

    /// One more node that was given the data directory of this one. It is no member of the cluster.
    pub(crate) fn second_node_on(&self, id: i32) -> Node {
        let ports = Ports::reserve();
        let bootstrap = format!("127.0.0.1:{}", ports.controller);
        let second = Node::new(id, ports, self.path().join("second"), &bootstrap);
        let data_dir = self.node(id).data_dir().display().to_string();
        second.write_properties(&[("log.dirs", &data_dir)]);
        second
    }

    /// One more node, told of these controllers and of nothing else. It does not run yet.
    pub(crate) fn lay_out_another(&mut self, bootstrap: &str) -> i32 {
        let id = self.ids().into_iter().max().unwrap_or_default() + 1;
        let dir = self.path().join(format!("node-{id}"));
        self.nodes
            .push(Node::new(id, Ports::reserve(), dir, bootstrap));
        id
    }

    pub(crate) fn spawn_all(&mut self) {
        for node in &mut self.nodes {
            node.spawn();
        }
    }

    /// Starts every node that does not run.
    pub(crate) fn spawn_all_dead(&mut self) {
        for node in &mut self.nodes {
            if !node.is_running() {
                node.spawn();
            }
        }
    }

    /// Waits out the first moments, and tells whether someone else took a port meanwhile.
    fn lost_a_port(&mut self) -> bool {
        wait_for("every node to answer or to refuse", START_LIMIT, || {
            let mut waiting = None;
            for node in &mut self.nodes {
                if !node.is_running() {
                    return Ok(Some(node.id));
                }
                if let Err(error) = node.get("/health/live") {
                    waiting = Some(format!("node {}: {error}", node.id));
                }
            }
            waiting.map_or(Ok(None), Err)
        })
        .is_some_and(|id| {
            let said = self.node(id).output();
            assert!(
                said.contains("in use"),
                "node {id} refused to start: {said}"
            );
            true
        })
    }

    /// Waits until every node that runs is ready and an `acks=all` write to a topic on all is acked.
    #[track_caller]
    pub(crate) fn wait_ready(&mut self) {
        let running = self.running();
        for id in &running {
            self.node(*id).wait_ready(START_LIMIT);
        }
        let n_replicas = i16::try_from(running.len().min(3)).expect("at most 3");
        let topic = format!("ready-{}", self.n_topics());
        self.create_topic(&topic, 1, n_replicas, &[]);
        self.produce(&topic, 0, ["ready"]);
    }

    pub(crate) fn path(&self) -> PathBuf {
        let dir = self.dir.as_ref().expect("kept until the end");
        dir.path().to_owned()
    }

    /// Nodes are numbered from 1.
    #[track_caller]
    pub(crate) fn node(&self, id: i32) -> &Node {
        let found = self.nodes.iter().find(|node| node.id == id);
        found.unwrap_or_else(|| panic!("there is no node {id}"))
    }

    #[track_caller]
    pub(crate) fn node_mut(&mut self, id: i32) -> &mut Node {
        let found = self.nodes.iter_mut().find(|node| node.id == id);
        found.unwrap_or_else(|| panic!("there is no node {id}"))
    }

    pub(crate) fn ids(&self) -> Vec<i32> {
        self.nodes.iter().map(|node| node.id).collect()
    }

    pub(crate) fn running(&mut self) -> Vec<i32> {
        let running = self.nodes.iter_mut().filter_map(|node| {
            let id = node.id;
            node.is_running().then_some(id)
        });
        running.collect()
    }

    pub(crate) fn others(&self, id: i32) -> Vec<i32> {
        let mut ids = self.ids();
        ids.retain(|it| *it != id);
        ids
    }

    /// Addresses of all nodes, as clients are given them.
    pub(crate) fn bootstrap(&self) -> String {
        let addresses: Vec<String> = self.nodes.iter().map(Node::kafka_address).collect();
        addresses.join(",")
    }

    #[track_caller]
    pub(crate) fn kill9(&mut self, id: i32) {
        self.node_mut(id).kill9();
    }

    /// Starts a node that ran before, and waits until it is ready.
    #[track_caller]
    pub(crate) fn start_again(&mut self, id: i32) {
        self.node_mut(id).spawn();
        self.node(id).wait_ready(START_LIMIT);
    }

    #[track_caller]
    pub(crate) fn wire(&self, id: i32) -> Wire {
        let port = self.node(id).ports.kafka;
        Wire::connect(port).unwrap_or_else(|error| panic!("node {id} is not reached: {error}"))
    }
}

fn lay_out(dir: PathBuf, n_nodes: i32, settings: &[(&str, &str)]) -> Vec<Node> {
    let ports: Vec<Ports> = (0..n_nodes).map(|_| Ports::reserve()).collect();
    let controllers: Vec<String> = ports
        .iter()
        .map(|it| format!("127.0.0.1:{}", it.controller))
        .collect();
    let bootstrap = controllers.join(",");
    let node = |(id, ports): (i32, &Ports)| {
        let node = Node::new(id, *ports, dir.join(format!("node-{id}")), &bootstrap);
        node.write_properties(settings);
        node
    };
    (1..).zip(&ports).map(node).collect()
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        if let Some(dir) = self.dir.take() {
            eprintln!("the cluster's files are kept in {}", dir.keep().display());
        }
        for node in &self.nodes {
            for path in [node.out_path(), node.err_path()] {
                eprintln!("---- {}", path.display());
                let text = std::fs::read(&path).unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                let lines: Vec<&str> = text.lines().collect();
                let skipped = lines.len().saturating_sub(LAST_WORDS_LINES);
                for line in lines.iter().skip(skipped) {
                    eprintln!("{line}");
                }
            }
        }
    }
}
