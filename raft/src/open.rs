//! Putting a quorum member together: disk, log, image, raft, network, tasks; in that order.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use drave_protocol::ids::NodeId;
use openraft::{Config, SnapshotPolicy};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::backend::LogBackend;
use crate::config::{ConfigError, Deps, RaftConfig};
use crate::disk::{Disk, RealDisk};
use crate::forming;
use crate::history::History;
use crate::history::feed::Feed;
use crate::image::MetadataImage;
use crate::leading;
use crate::log_store::{CacheLimits, LogStore};
use crate::metadata_raft::Inner;
use crate::network::connection::Dialer;
use crate::network::links::Links;
use crate::network::openraft_network::Network;
use crate::network::server::Server;
use crate::node::Node;
use crate::peer::{PeerHandler, PeerId};
use crate::snapshot::{SnapshotError, SnapshotStore};
use crate::state_machine::StateMachine;
use crate::status::Leadership;
use crate::stored::AppliedV1;
use crate::succession;
use crate::tasks::{self, Tasks};
use crate::types::Raft;
use crate::wal::{Wal, WalError};

/// A history that opens slower is done without.
const CHECKPOINT_PATIENCE: Duration = Duration::from_secs(2);
const INSTALL_PATIENCE: Duration = Duration::from_mins(1);
const LOST_PEERS_MAX: usize = 256;

#[derive(Debug, Error)]
pub enum OpenError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Log(#[from] WalError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("metadata directory {path}: {cause}")]
    Io {
        path: PathBuf,
        cause: std::io::Error,
    },
    /// Coming back under the same identity it might vote against what it agreed to.
    #[error(
        "directory {directory:016x} belongs to cluster {cluster_id}, but its metadata log in {path} is \
         gone. Bring the log back; or, if it is gone for good, empty this node's directories, start it, \
         and let it in as new with: drave node readmit {node} --directory {directory:016x}"
    )]
    LogLost {
        node: NodeId,
        directory: u64,
        cluster_id: String,
        path: PathBuf,
    },
    #[error("metadata quorum did not start: {0}")]
    Start(String),
}

/// What the disk gave back.
struct Recovered {
    backend: Arc<dyn LogBackend>,
    store: LogStore,
    snapshots: SnapshotStore,
    start: Option<(AppliedV1, MetadataImage)>,
}

pub(crate) async fn open(
    config: RaftConfig,
    deps: Deps,
    handler: Arc<dyn PeerHandler>,
) -> Result<Inner, OpenError> {
    config.validate()?;
    let io = |cause| OpenError::Io {
        path: config.data_dir.clone(),
        cause,
    };
    let history = config.data_dir.join("history");
    let feed = Feed::start(history, config.history_records_max).map_err(io)?;
    let recover = {
        let config = config.clone();
        let salt = deps.random_u64.clone();
        move || recover(&config, salt)
    };
    let mut recovered = tasks::blocking(recover).await.map_err(io)??;
    if let Some(checkpoint) = feed.last_checkpoint(CHECKPOINT_PATIENCE).await
        && recovered.agrees_with(&checkpoint.0)
    {
        recovered.start = Some(checkpoint);
    }
    let backend = recovered.backend.clone();
    let (node, listener) = assemble(config, deps, handler, recovered, &feed).await?;
    run(&node, listener).await?;
    Ok(Inner {
        node,
        backend,
        history: History::new(feed.clone()),
        feed,
    })
}

async fn assemble(
    config: RaftConfig,
    deps: Deps,
    handler: Arc<dyn PeerHandler>,
    recovered: Recovered,
    feed: &Feed,
) -> Result<(Arc<Node>, TcpListener), OpenError> {
    let Recovered {
        store,
        snapshots,
        start,
        ..
    } = recovered;
    let start = start
        .as_ref()
        .map(|(applied, image)| (applied, image.clone()));
    let machine = StateMachine::new(snapshots, feed.clone(), start);
    let machine = machine.map_err(|error| OpenError::Start(error.to_string()))?;
    let tasks = Tasks::new();
    let links = links(&config, &deps, &machine, &tasks);
    let network = Network {
        links: links.clone(),
        entries_patience: config.election_timeout_max * 2,
        install_patience: INSTALL_PATIENCE,
    };
    let settings = Arc::new(openraft_config(&config)?);
    let raft = Raft::build(
        config.directory.0,
        settings,
        network,
        store,
        machine.clone(),
    );
    let raft = raft
        .await
        .map_err(|error| OpenError::Start(error.to_string()))?;
    let Deps {
        listener,
        wall_clock_ms,
        now,
        random_u64,
    } = deps;
    let (leadership, _) = watch::channel(Leadership::default());
    let node = Node {
        config,
        now,
        wall_clock_ms,
        random_u64,
        raft,
        machine,
        links,
        tasks,
        handler,
        leadership,
        heard: parking_lot::Mutex::default(),
        knocked: parking_lot::Mutex::default(),
        join_refused: parking_lot::Mutex::default(),
        turned_away: parking_lot::Mutex::default(),
        changing: tokio::sync::Mutex::default(),
    };
    Ok((Arc::new(node), listener))
}

fn recover(config: &RaftConfig, salt: crate::wal::Salt) -> Result<Recovered, OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let io = |cause| OpenError::Io {
        path: config.data_dir.clone(),
        cause,
    };
    disk.create_dir_all(&config.data_dir).map_err(io)?;
    let folder = config.data_dir.join("snapshot");
    let (snapshots, snapshot) = SnapshotStore::open(disk.clone(), &folder)?;
    let folder = config.data_dir.join("wal");
    let (wal, recovered) = Wal::open(disk, &folder, config.wal_segment_bytes, salt)?;
    if let Some(cluster_id) = &config.remembered.with_log
        && recovered.vote.is_none()
    {
        return Err(OpenError::LogLost {
            node: config.node,
            directory: config.directory.0,
            cluster_id: cluster_id.clone(),
            path: folder,
        });
    }
    let backend: Arc<dyn LogBackend> = Arc::new(wal);
    let store = LogStore::new(backend.clone(), recovered, CacheLimits::default()).map_err(io)?;
    let start = match snapshot {
        None => None,
        Some((applied, bytes)) => {
            let image = bytes.to_image().map_err(|error| SnapshotError::Corrupt {
                path: folder,
                what: error.to_string(),
            })?;
            Some((applied, image))
        }
    };
    Ok(Recovered {
        backend,
        store,
        snapshots,
        start,
    })
}

impl Recovered {
    /// A checkpoint is used only if it is newer than the snapshot and the log holds the very entry
    /// it ends with: sled may have kept what the log lost, or lost what the log kept.
    fn agrees_with(&self, checkpoint: &AppliedV1) -> bool {
        let Some(last) = checkpoint.last else {
            return false;
        };
        let snapshot = self.start.as_ref().and_then(|(applied, _)| applied.last);
        let newer = snapshot.is_none_or(|it| it < last);
        newer && self.store.reader().term_at(last.index) == Some(last.term)
    }
}

fn links(config: &RaftConfig, deps: &Deps, machine: &StateMachine, tasks: &Tasks) -> Links {
    let named = machine.clone();
    let registered = machine.clone();
    let dialer = Dialer {
        from: PeerId {
            node: config.node,
            directory: config.directory,
        },
        cluster_id: Arc::new(move || named.image().cluster_id.clone()),
        now: deps.now.clone(),
        tasks: tasks.clone(),
    };
    let resolver = Arc::new(move |node, directory| {
        let image = registered.image();
        let broker = image.brokers.get(&node)?;
        let same = broker.directory == directory && !broker.controller_address.is_empty();
        same.then(|| broker.controller_address.clone())
    });
    Links::new(dialer, resolver)
}

fn openraft_config(config: &RaftConfig) -> Result<Config, OpenError> {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let config = Config {
        cluster_name: "drave".to_owned(),
        heartbeat_interval: ms(config.heartbeat),
        election_timeout_min: ms(config.election_timeout_min),
        election_timeout_max: ms(config.election_timeout_max),
        install_snapshot_timeout: ms(INSTALL_PATIENCE),
        max_payload_entries: 1024,
        // Entries are counted here; `LogReader` also counts their bytes.
        max_append_entries: Some(4096),
        replication_lag_threshold: config.snapshot_every_entries * 2,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(config.snapshot_every_entries),
        max_in_snapshot_log_to_keep: config.snapshot_keep_entries,
        purge_batch_size: config.snapshot_every_entries.min(256),
        enable_pre_vote: Some(true),
        // A restarted leader may hold fewer applied entries than it answered for, so it must win
        // an election before it leads again.
        enable_leader_restore: Some(false),
        quorum_loss_probe_interval: Some(ms(config.election_timeout_max) * 5),
        backoff: "20ms 50ms 100ms ...250ms".to_owned(),
        ..Config::default()
    };
    config
        .validate()
        .map_err(|error| OpenError::Start(error.to_string()))
}

async fn run(node: &Arc<Node>, listener: TcpListener) -> Result<(), OpenError> {
    node.raft.run();
    let (lost, gone) = mpsc::channel(LOST_PEERS_MAX);
    let server = Server::new(node.clone(), lost);
    node.tasks.spawn(server.run(listener));
    node.tasks.spawn(leading::watch(node.clone()));
    node.tasks
        .spawn(succession::replace_dead_leader(node.clone(), gone));
    node.tasks.spawn(forming::run(node.clone()));
    // Alone in the quorum there is nobody to wait for.
    let voters: Vec<u64> = node.metrics().membership_config.voter_ids().collect();
    if voters == [node.raft_id()] {
        let elected = node.raft.trigger().elect(false).await;
        elected.map_err(|error| OpenError::Start(error.to_string()))?;
    }
    Ok(())
}
