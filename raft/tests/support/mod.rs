//! Quorum members in one process, each on its own folder and a port the system picked.
#![allow(dead_code, reason = "each test file uses its part")]

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use drave_protocol::ids::{DirectoryId, NodeId};
use drave_raft::record::{ConfigChangedV1, ConfigResource, MetadataRecord};
use drave_raft::{
    Bootstrap, ConnectionId, Deps, MetadataRaft, PeerAnswer, PeerCall, PeerHandler, RaftConfig,
};
use tempfile::TempDir;
use tokio::net::TcpListener;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Answers with its own node id and the request.
pub(crate) struct Echo {
    pub(crate) node: i32,
    pub(crate) closed: AtomicUsize,
}

impl PeerHandler for Echo {
    fn call(&self, call: PeerCall) -> PeerAnswer {
        let answer = format!("{}:{}", self.node, String::from_utf8_lossy(&call.request));
        Box::pin(async move { Bytes::from(answer) })
    }

    fn closed(&self, _connection: ConnectionId) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) struct Member {
    pub(crate) config: RaftConfig,
    pub(crate) raft: MetadataRaft,
    pub(crate) handler: Arc<Echo>,
}

pub(crate) struct Cluster {
    pub(crate) folder: TempDir,
    pub(crate) addresses: Vec<String>,
    pub(crate) adjust: fn(&mut RaftConfig),
}

/// Ports picked now are bound again when a node starts; held listeners keep them ours until then.
pub(crate) async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

impl Cluster {
    pub(crate) async fn new(voters: usize) -> (Self, Vec<TcpListener>) {
        Self::adjusted(voters, |_| {}).await
    }

    pub(crate) async fn adjusted(
        voters: usize,
        adjust: fn(&mut RaftConfig),
    ) -> (Self, Vec<TcpListener>) {
        let mut listeners = Vec::new();
        for _ in 0..voters {
            listeners.push(listen().await);
        }
        let addresses = listeners
            .iter()
            .map(|it| it.local_addr().unwrap().to_string())
            .collect();
        let folder = TempDir::new().unwrap();
        let cluster = Self {
            folder,
            addresses,
            adjust,
        };
        (cluster, listeners)
    }

    pub(crate) fn config(&self, node: i32, directory: u64, address: &str) -> RaftConfig {
        let voters = (1..).zip(self.addresses.iter().cloned());
        let voters = voters.map(|(id, address)| (NodeId(id), address)).collect();
        let mut config = RaftConfig::new(
            NodeId(node),
            DirectoryId(directory),
            self.folder.path().join(format!("{node}-{directory}")),
            Bootstrap::Voters(voters),
            address.to_owned(),
        );
        // Builds share this machine's two cores: twice the usual patience, so that what is tested
        // is the story and not the scheduler.
        config.heartbeat = Duration::from_millis(100);
        config.election_timeout_min = Duration::from_millis(400);
        config.election_timeout_max = Duration::from_millis(800);
        (self.adjust)(&mut config);
        config
    }

    /// Voter `node`, with directory `node`.
    pub(crate) async fn start(&self, node: i32, listener: TcpListener) -> Member {
        let address = listener.local_addr().unwrap().to_string();
        let directory = u64::try_from(node).unwrap();
        start(self.config(node, directory, &address), listener).await
    }

    /// All voters, once one of them leads.
    pub(crate) async fn formed(voters: usize) -> (Self, Vec<Member>) {
        Self::formed_with(voters, |_| {}).await
    }

    pub(crate) async fn formed_with(
        voters: usize,
        adjust: fn(&mut RaftConfig),
    ) -> (Self, Vec<Member>) {
        let (cluster, listeners) = Self::adjusted(voters, adjust).await;
        let mut members = Vec::new();
        for (node, listener) in (1..).zip(listeners) {
            members.push(cluster.start(node, listener).await);
        }
        leader(&members).await;
        (cluster, members)
    }
}

pub(crate) async fn start(config: RaftConfig, listener: TcpListener) -> Member {
    let handler = Arc::new(Echo {
        node: config.node.0,
        closed: AtomicUsize::new(0),
    });
    let raft = MetadataRaft::open(config.clone(), deps(listener), handler.clone());
    let raft = raft.await.unwrap();
    Member {
        config,
        raft,
        handler,
    }
}

pub(crate) fn deps(listener: TcpListener) -> Deps {
    Deps {
        listener,
        wall_clock_ms: Arc::new(|| 1_700_000_000_000),
        now: Arc::new(Instant::now),
        random_u64: Arc::new(rand::random),
    }
}

/// Stops in order and starts again on the same folder and port.
pub(crate) async fn restart(member: Member) -> Member {
    let config = member.config.clone();
    member.raft.shutdown().await;
    drop(member);
    let listener = bind_again(&config.advertised_address).await;
    start(config, listener).await
}

pub(crate) async fn bind_again(address: &str) -> TcpListener {
    until("the port is free again", || async {
        TcpListener::bind(address).await.ok()
    })
    .await
}

/// Polls a condition that has nothing to wait on; fails with its name after `PATIENCE`.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(met) = condition().await {
            return met;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Place of the member all others take for the leader.
pub(crate) async fn leader(members: &[Member]) -> usize {
    until("one leader, known to all", || async {
        let place = members
            .iter()
            .position(|it| it.raft.leadership().borrow().is_self)?;
        let leader = members[place].raft.leadership().borrow().clone();
        let known = members.iter().all(|it| {
            let seen = it.raft.leadership().borrow().clone();
            seen.term == leader.term && seen.leader == leader.leader
        });
        (known && members[place].raft.image().cluster_id.is_some()).then_some(place)
    })
    .await
}

pub(crate) fn setting(key: &str, value: &str) -> MetadataRecord {
    MetadataRecord::ConfigChanged(ConfigChangedV1 {
        resource: ConfigResource::Cluster,
        key: key.to_owned(),
        value: Some(value.to_owned()),
    })
}

pub(crate) fn value(raft: &MetadataRaft, key: &str) -> Option<String> {
    let image = raft.image();
    image
        .configs
        .get(&ConfigResource::Cluster)?
        .get(key)
        .cloned()
}

/// Proposes on whoever leads, as a controller would, until it is agreed.
pub(crate) async fn agree(members: &[Member], records: Vec<MetadataRecord>) {
    until("agreed", || async {
        for member in members {
            let leadership = member.raft.leadership().borrow().clone();
            if leadership.is_self
                && member
                    .raft
                    .propose(leadership.term, records.clone())
                    .await
                    .is_ok()
            {
                return Some(());
            }
        }
        None
    })
    .await;
}

/// Every member's image reached what the leader's holds.
pub(crate) async fn same_image(members: &[Member]) {
    until("all images are the same", || async {
        let first = members.first()?.raft.image();
        let same = members.iter().all(|it| *it.raft.image() == *first);
        (same && first.cluster_id.is_some()).then_some(())
    })
    .await;
}

pub(crate) fn wipe(folder: &Path) {
    std::fs::remove_dir_all(folder).unwrap();
}
