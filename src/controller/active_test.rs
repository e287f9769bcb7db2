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

/// Less than a session: what happens in time did not wait for one to end.
const PATIENCE: Duration = Duration::from_secs(20);
const SESSION_TIMEOUT_MS: &str = "60000";

/// What outlives a process.
struct Home {
    id: NodeId,
    address: String,
    voters: Vec<(NodeId, String)>,
    data: TempDir,
}

struct Node {
    id: NodeId,
    raft: MetadataRaft,
    metadata: Metadata,
    link: ControllerLink,
    liveness: LivenessHandle,
    tasks: Tasks,
    clock: Clock,
    home: Home,
}

impl Node {
    async fn start(home: Home, listener: TcpListener) -> Self {
        let id = home.id;
        let directory = DirectoryId(u64::try_from(id.0).unwrap() * 100);
        let address = home.address.clone();
        let doors = Doors {
            clock: Clock::system(),
            random: Random::system(),
            tasks: Tasks::new(),
        };
        let path = home.data.path().to_owned();
        let bootstrap = Bootstrap::Voters(home.voters.clone());
        let raft_config = RaftConfig::new(id, directory, path, bootstrap, address.clone());
        let (mailbox, inbox) = mailbox();
        let handler = Arc::new(PeerDoor::new(mailbox));
        let deps = deps(listener, &doors);
        let raft = MetadataRaft::open(raft_config, deps, handler)
            .await
            .unwrap();

        let node_id = id.to_string();
        let pairs = [
            ("node.id", node_id.as_str()),
            ("broker.session.timeout.ms", SESSION_TIMEOUT_MS),
        ];
        let config = Arc::new(BrokerConfig::from_pairs(pairs).unwrap());
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
        let link = ControllerLink::new(raft.clone(), metadata.clone(), clock.clone());
        Self {
            id,
            raft,
            metadata,
            link,
            liveness: handle,
            tasks,
            clock,
            home,
        }
    }

    async fn kill(self) -> Home {
        self.raft.shutdown().await;
        self.tasks.drain(Duration::from_secs(1)).await;
        self.home
    }

    async fn restart(home: Home) -> Self {
        let listener = TcpListener::bind(&home.address).await.unwrap();
        Self::start(home, listener).await
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
        assert!(self.metadata.view().topic(name).is_some(), "it sees it");
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
    for (listener, (id, address)) in listeners.into_iter().zip(voters.clone()) {
        let home = Home {
            id,
            address,
            voters: voters.clone(),
            data: tempfile::tempdir().unwrap(),
        };
        nodes.push(Node::start(home, listener).await);
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

/// Nodes 1 to 3 with six partitions on all of them; the first returned is to be killed.
async fn with_partitions(leads_the_quorum: bool) -> (Node, Vec<Node>) {
    let mut nodes = start(&[1, 2, 3]).await;
    nodes[0].create("t", 6, 3).await;
    let leader = nodes[0].raft.leadership().borrow().leader.clone().unwrap();
    let place = nodes
        .iter()
        .position(|it| (it.id == leader.id.node) == leads_the_quorum)
        .unwrap();
    (nodes.remove(place), nodes)
}

async fn until_led_without(gone: NodeId, nodes: &[Node]) {
    for node in nodes {
        let moved = |image: &MetadataImage| {
            let led = leaders(image);
            led.len() == 6 && led.iter().all(|it| it.is_some_and(|it| it != gone))
        };
        node.until("all partitions are led by survivors", moved)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaderships_move_when_the_active_controller_dies() {
    let (controller, survivors) = with_partitions(true).await;
    let gone = controller.kill().await.id;
    until_led_without(gone, &survivors).await;
    survivors[0].create("after", 1, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_is_replaced_and_admitted_again_without_waiting_for_its_session() {
    let (broker, survivors) = with_partitions(false).await;
    let home = broker.kill().await;
    until_led_without(home.id, &survivors).await;
    let back = Node::restart(home).await;
    back.until("it is live again", |image| live(image) == 3)
        .await;
    survivors[0]
        .until("it is live again", |image| live(image) == 3)
        .await;
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
