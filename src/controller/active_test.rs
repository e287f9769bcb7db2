//! Real nodes in one process: quorum, controller, link and liveness over real sockets.

use std::time::Instant;

use drave_protocol::ids::{DirectoryId, Uuid};
use drave_raft::record::ListenerV1;
use drave_raft::{Bootstrap, Deps, RaftConfig};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::*;
use crate::cluster::rpc::{CreateMode, CreateTopic, CreateTopics, RegisterBroker};
use crate::cluster::{ControllerLink, Liveness, LivenessHandle, Metadata};
use crate::controller::door::PeerDoor;
use crate::controller::mailbox::mailbox;

const PATIENCE: Duration = Duration::from_secs(20);

struct Node {
    id: NodeId,
    raft: MetadataRaft,
    metadata: Metadata,
    link: ControllerLink,
    liveness: LivenessHandle,
    tasks: Tasks,
    clock: Clock,
    _data: TempDir,
}

impl Node {
    async fn start(id: i32, listener: TcpListener, voters: Vec<(NodeId, String)>) -> Self {
        let id = NodeId(id);
        let directory = DirectoryId(u64::try_from(id.0).unwrap() * 100);
        let data = tempfile::tempdir().unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let doors = Doors {
            clock: Clock::system(),
            random: Random::system(),
            tasks: Tasks::new(),
        };
        let path = data.path().to_owned();
        let bootstrap = Bootstrap::Voters(voters);
        let raft_config = RaftConfig::new(id, directory, path, bootstrap, address.clone());
        let (mailbox, inbox) = mailbox();
        let handler = Arc::new(PeerDoor::new(mailbox));
        let deps = deps(listener, &doors);
        let raft = MetadataRaft::open(raft_config, deps, handler)
            .await
            .unwrap();

        let node_id = id.to_string();
        let config = Arc::new(BrokerConfig::from_pairs([("node.id", node_id.as_str())]).unwrap());
        let (feed, metadata) = Metadata::starting_at(raft.image());
        let (clock, tasks) = (doors.clock.clone(), doors.tasks.clone());
        let (liveness, handle) = Liveness::new(
            registration(id, directory, address, doors.random.uuid()),
            &config,
            raft.clone(),
            metadata.clone(),
            clock.clone(),
            tasks.clone(),
        );
        tasks.spawn("metadata", feed.follow(raft.subscribe()));
        tasks.spawn("liveness", liveness.run());
        tasks.spawn(
            "controller",
            Controller::new(raft.clone(), inbox, config, doors).run(),
        );
        handle.serve();
        let link = ControllerLink::new(raft.clone(), clock.clone());
        Self {
            id,
            raft,
            metadata,
            link,
            liveness: handle,
            tasks,
            clock,
            _data: data,
        }
    }

    async fn kill(self) {
        self.raft.shutdown().await;
        self.tasks.drain(Duration::from_secs(1)).await;
    }

    fn deadline(&self) -> Instant {
        self.clock.now() + PATIENCE
    }

    async fn until(&self, what: &str, holds: impl Fn(&MetadataImage) -> bool) {
        let mut metadata = self.metadata.clone();
        let wait = async {
            while !holds(&metadata.image()) {
                assert!(metadata.changed().await, "{what}: the node stopped");
            }
        };
        let image = self.metadata.image();
        tokio::time::timeout(PATIENCE, wait)
            .await
            .unwrap_or_else(|_| panic!("{what}: not in time; began with {image:?}"));
    }

    async fn create(&self, name: &str, n_partitions: i32, replication_factor: i16) {
        let topic = CreateTopic {
            name: name.to_owned(),
            n_partitions: Some(n_partitions),
            replication_factor: Some(replication_factor),
            ..CreateTopic::default()
        };
        let request = CreateTopics {
            topics: vec![topic],
            mode: CreateMode::Create,
        };
        let created = self
            .link
            .create_topics(request, self.deadline())
            .await
            .unwrap();
        created[0].result.as_ref().unwrap();
        assert!(
            self.metadata.view().topic(name).is_some()
                || self.raft.image().topic_by_name(name).is_some()
        );
    }
}

fn deps(listener: TcpListener, doors: &Doors) -> Deps {
    let (wall, now, random) = (
        doors.clock.clone(),
        doors.clock.clone(),
        doors.random.clone(),
    );
    Deps {
        listener,
        wall_clock_ms: Arc::new(move || wall.wall_ms()),
        now: Arc::new(move || now.now()),
        random_u64: Arc::new(move || random.u64()),
    }
}

fn registration(
    id: NodeId,
    directory: DirectoryId,
    controller_address: String,
    incarnation: Uuid,
) -> RegisterBroker {
    RegisterBroker {
        broker: id,
        incarnation,
        directory,
        cluster_id: None,
        listeners: vec![ListenerV1 {
            name: "PLAINTEXT".to_owned(),
            host: "localhost".to_owned(),
            port: 9092,
        }],
        controller_address,
        http_address: None,
        rack: None,
        previous_broker_epoch: None,
        flushes_on_commit: true,
    }
}

async fn start(ids: &[i32]) -> Vec<Node> {
    let mut listeners = Vec::new();
    let mut voters = Vec::new();
    for id in ids {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        voters.push((NodeId(*id), listener.local_addr().unwrap().to_string()));
        listeners.push(listener);
    }
    let mut nodes = Vec::new();
    for (id, listener) in ids.iter().zip(listeners) {
        nodes.push(Node::start(*id, listener, voters.clone()).await);
    }
    let n = ids.len();
    for node in &nodes {
        node.until("all are live", |image| live(image) == n).await;
    }
    nodes
}

fn live(image: &MetadataImage) -> usize {
    image.brokers.values().filter(|it| !it.fenced).count()
}

fn leaders(image: &MetadataImage) -> Vec<Option<NodeId>> {
    let partitions = image.topics.values().flat_map(|it| &it.partitions);
    partitions.map(|it| it.leader).collect()
}

#[tokio::test]
async fn one_node_alone_names_its_cluster_and_serves() {
    let nodes = start(&[1]).await;
    nodes[0]
        .until("named", |image| image.cluster_id.is_some())
        .await;
    nodes[0].create("t", 3, 1).await;
    nodes[0]
        .until("led", |image| leaders(image) == [Some(NodeId(1)); 3])
        .await;
    let lease = nodes[0].liveness.lease();
    assert!(lease.is_held(nodes[0].clock.now()) && lease.broker_epoch().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaderships_move_when_the_active_controller_dies() {
    let mut nodes = start(&[1, 2, 3]).await;
    nodes[0].create("t", 6, 3).await;
    let controller = nodes[0]
        .raft
        .leadership()
        .borrow()
        .leader
        .clone()
        .unwrap()
        .id
        .node;
    let place = nodes.iter().position(|it| it.id == controller).unwrap();
    nodes.remove(place).kill().await;
    for node in &nodes {
        let moved = |image: &MetadataImage| {
            let led = leaders(image);
            led.len() == 6 && led.iter().all(|it| it.is_some_and(|it| it != controller))
        };
        node.until("all partitions are led by survivors", moved)
            .await;
    }
    nodes[0].create("after", 1, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaving_broker_hands_over_and_is_told_that_it_may_stop() {
    let nodes = start(&[1, 2, 3]).await;
    nodes[0].create("t", 6, 3).await;
    let leaving = &nodes[2];
    assert!(leaving.liveness.leave(leaving.deadline()).await);
    let image = leaving.raft.image();
    assert!(
        leaders(&image)
            .iter()
            .all(|it| it.is_some_and(|it| it != leaving.id))
    );
}
