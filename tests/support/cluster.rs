//! A cluster of real processes, and the questions a story asks of it.
//!
//! Promises: when `start` returns, every node is ready and an `acks=all` write was acked. One cluster
//! runs at a time in a test program, because figures are measured. Asked of: any node that runs.

use std::panic::Location;
use std::path::PathBuf;
use std::time::Duration;

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use drave_protocol::schema::metadata::{MetadataResponsePartition, MetadataResponseTopic};
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::client::{self, LATEST, code};
use crate::support::node::Node;
use crate::support::ports::Ports;
use crate::support::wait::{seconds, wait_for};
use crate::support::wire::Wire;

static TURN: Mutex<()> = Mutex::new(());

/// A debug build on a busy machine; a cluster is ready in a fraction of it.
const START_LIMIT: Duration = seconds(30);
const ASK_LIMIT: Duration = seconds(5);
const START_ATTEMPTS: usize = 3;
const LAST_WORDS_LINES: usize = 40;

#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    /// Who answered last, and is asked first.
    spokesman: i32,
    dir: Option<TempDir>,
    _turn: MutexGuard<'static, ()>,
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

    fn n_topics(&mut self) -> usize {
        self.ask(|wire| wire.call_newest(&all_topics()))
            .topics
            .len()
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

    /// Asks the first running node that answers.
    #[track_caller]
    pub(crate) fn ask<T>(&mut self, question: impl Fn(&mut Wire) -> std::io::Result<T>) -> T {
        self.try_ask(&question)
            .unwrap_or_else(|error| panic!("no node answers: {error}"))
    }

    fn try_ask<T>(
        &mut self,
        question: &impl Fn(&mut Wire) -> std::io::Result<T>,
    ) -> Result<T, String> {
        let mut errors = Vec::new();
        let mut running = self.running();
        running.sort_by_key(|id| *id != self.spokesman);
        for id in running {
            let connected = Wire::connect(self.node(id).ports.kafka);
            let answer = connected.and_then(|mut wire| {
                // A node that does not serve yet lets its clients wait.
                wire.read_timeout(ASK_LIMIT);
                question(&mut wire)
            });
            match answer {
                Ok(answer) => {
                    self.spokesman = id;
                    return Ok(answer);
                }
                Err(error) => errors.push(format!("node {id}: {error}")),
            }
        }
        Err(errors.join("; "))
    }

    #[track_caller]
    pub(crate) fn create_topic(
        &mut self,
        name: &str,
        n_partitions: i32,
        n_replicas: i16,
        configs: &[(&str, &str)],
    ) {
        let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
        };
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.to_owned(),
                num_partitions: n_partitions,
                replication_factor: n_replicas,
                configs: configs.iter().map(config).collect(),
                ..CreatableTopic::default()
            }],
            timeout_ms: 10_000,
            validate_only: false,
        };
        wait_for(&format!("topic {name} to be created"), seconds(20), || {
            let mut response = self.try_ask(&|wire: &mut Wire| wire.call_newest(&request))?;
            let result = response.topics.pop().expect("one topic was asked for");
            match code(result.error_code) {
                ErrorCode::None | ErrorCode::TopicAlreadyExists => Ok(()),
                refusal => Err(format!("{refusal:?} {:?}", result.error_message)),
            }
        });
        self.wait_for_leaders(name);
    }

    /// Waits until every running node knows every leader, and every leader serves.
    #[track_caller]
    fn wait_for_leaders(&mut self, topic: &str) {
        let running = self.running();
        wait_for(&format!("leaders of {topic}"), seconds(20), || {
            for id in &running {
                let found = Wire::connect(self.node(*id).ports.kafka)
                    .and_then(|mut wire| client::topic_metadata(&mut wire, topic))
                    .map_err(|error| error.to_string())?;
                if found.error_code != 0 || found.partitions.iter().any(|it| it.leader_id < 0) {
                    return Err(format!("node {id} says {found:?}"));
                }
                for partition in &found.partitions {
                    self.try_end_of(topic, partition.partition_index, partition.leader_id)?;
                }
            }
            Ok(())
        });
    }

    /// The end of a partition as `leader` tells it.
    fn try_end_of(&self, topic: &str, partition: i32, leader: i32) -> Result<i64, String> {
        let answer = Wire::connect(self.node(leader).ports.kafka)
            .and_then(|mut wire| client::list_offset(&mut wire, topic, partition, LATEST))
            .map_err(|error| format!("node {leader}: {error}"))?;
        match code(answer.error_code) {
            ErrorCode::None => Ok(answer.offset),
            refusal => Err(format!("node {leader}: {refusal:?}")),
        }
    }

    #[track_caller]
    pub(crate) fn topic(&mut self, topic: &str) -> MetadataResponseTopic {
        self.ask(|wire| client::topic_metadata(wire, topic))
    }

    #[track_caller]
    pub(crate) fn partition(&mut self, topic: &str, partition: i32) -> MetadataResponsePartition {
        let found = self.topic(topic);
        assert_eq!(
            code(found.error_code),
            ErrorCode::None,
            "metadata of {topic}"
        );
        let mut partitions = found.partitions.into_iter();
        partitions
            .find(|it| it.partition_index == partition)
            .unwrap_or_else(|| panic!("there is no {topic}-{partition}"))
    }

    /// Who leads, as the first running node that answers knows it; -1 is nobody.
    #[track_caller]
    pub(crate) fn leader_of(&mut self, topic: &str, partition: i32) -> i32 {
        self.partition(topic, partition).leader_id
    }

    /// Waits for a leader other than `old`, and returns it.
    #[track_caller]
    pub(crate) fn wait_for_other_leader(&mut self, topic: &str, partition: i32, old: i32) -> i32 {
        wait_for(
            &format!("a new leader of {topic}-{partition}"),
            seconds(10),
            || match self.leader_of(topic, partition) {
                leader if leader >= 0 && leader != old => Ok(leader),
                leader => Err(format!("{leader} leads")),
            },
        )
    }

    /// Waits until `n` replicas of every partition are in sync.
    #[track_caller]
    pub(crate) fn wait_for_isr(&mut self, topic: &str, n: usize, limit: Duration) {
        wait_for(&format!("{n} replicas of {topic} in sync"), limit, || {
            let found = self.topic(topic);
            let behind = found.partitions.iter().find(|it| it.isr_nodes.len() < n);
            behind.map_or(Ok(()), |it| Err(format!("{it:?}")))
        });
    }

    /// A connection to the leader.
    #[track_caller]
    pub(crate) fn leader_wire(&mut self, topic: &str, partition: i32) -> Wire {
        let leader = self.leader_of(topic, partition);
        assert!(leader >= 0, "{topic}-{partition} has no leader");
        self.wire(leader)
    }

    /// Produces one batch with `acks=all` to whoever leads, again until it is acked; gives its offset.
    #[track_caller]
    pub(crate) fn produce<V: AsRef<[u8]>>(
        &mut self,
        topic: &str,
        partition: i32,
        values: impl IntoIterator<Item = V> + Clone,
    ) -> i64 {
        wait_for(
            &format!("an ack from {topic}-{partition}"),
            seconds(30),
            || {
                let leader = self.leader_of(topic, partition);
                if leader < 0 {
                    return Err("nobody leads".to_owned());
                }
                let answer = Wire::connect(self.node(leader).ports.kafka)
                    .and_then(|mut wire| {
                        client::produce(&mut wire, topic, partition, values.clone())
                    })
                    .map_err(|error| format!("node {leader}: {error}"))?;
                match code(answer.error_code) {
                    ErrorCode::None => Ok(answer.base_offset),
                    refusal => Err(format!("node {leader}: {refusal:?}")),
                }
            },
        )
    }

    /// The high watermark, as the leader tells consumers.
    #[track_caller]
    pub(crate) fn high_watermark(&mut self, topic: &str, partition: i32) -> i64 {
        wait_for(
            &format!("the end of {topic}-{partition}"),
            seconds(20),
            || {
                let leader = self.leader_of(topic, partition);
                if leader < 0 {
                    return Err("nobody leads".to_owned());
                }
                self.try_end_of(topic, partition, leader)
            },
        )
    }

    /// All values committed in a partition.
    #[track_caller]
    pub(crate) fn read_all(&mut self, topic: &str, partition: i32) -> Vec<Vec<u8>> {
        let mut wire = self.leader_wire(topic, partition);
        client::read_all(&mut wire, topic, partition)
    }

    /// What the first running node that answers says of the cluster.
    pub(crate) fn describe(&mut self) -> Result<Value, String> {
        let mut errors = Vec::new();
        for id in self.running() {
            match self.node(id).get("/v1/cluster") {
                Ok(answer) if answer.status == 200 => return Ok(answer.json()),
                Ok(answer) => errors.push(format!("node {id}: {} {}", answer.status, answer.text)),
                Err(error) => errors.push(format!("node {id}: {error}")),
            }
        }
        Err(errors.join("; "))
    }

    /// The active controller.
    #[track_caller]
    pub(crate) fn controller(&mut self) -> i32 {
        wait_for("an active controller", seconds(10), || {
            let cluster = self.describe()?;
            let id = controller_in(&cluster).ok_or_else(|| cluster.to_string())?;
            Ok(id)
        })
    }
}

/// The active controller in an answer of `/v1/cluster`.
pub(crate) fn controller_in(cluster: &Value) -> Option<i32> {
    let id = cluster.get("controller")?.as_i64()?;
    i32::try_from(id).ok()
}

fn all_topics() -> drave_protocol::schema::metadata::MetadataRequest {
    drave_protocol::schema::metadata::MetadataRequest {
        topics: None,
        ..Default::default()
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
