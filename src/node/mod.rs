//! A node: the only place where the parts are put together.
//!
//! Start: identity and locks, then ports, then the metadata quorum, then registration, and last the
//! doors. Stop: the reverse, politely first. Nothing here is a process global: several nodes may
//! live in one process.

mod addresses;
mod broker;
mod data_dir;
mod log_dirs;
mod open_files;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use drave_log::LogError;
use drave_log::fs::{FileSystem, RealFs};
use drave_log::planted::{self, Fault};
use drave_raft::{
    Bootstrap, Deps as RaftDeps, MetadataRaft, OpenError, PeerHandler, RaftConfig, Remembered,
};
use thiserror::Error;
use tokio::net::TcpListener;
use tracing::{error, info};

use crate::clock::Clock;
use crate::cluster::metadata::Metadata;
use crate::config::BrokerConfig;
use crate::controller::{self, Controller, Doors, Inbox, PeerDoor};
use crate::http::sources::Live;
use crate::http::{self, HttpState};
use crate::random::Random;
use crate::server::{self, BindError, Server};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

use self::addresses::Bound;
use self::broker::Broker;
use self::log_dirs::LogDirs;
use self::watch::Failure;

pub use self::addresses::Addresses;
pub use self::data_dir::{DataDir, DataDirError};

/// How long tasks may take to end on their own.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);
/// Folder of the metadata log; no partition's folder can have this name.
const METADATA_FOLDER: &str = "metadata";

#[derive(Debug, Error)]
pub enum StartError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error("cannot open a log directory: {0}")]
    Log(#[from] LogError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("cannot open the metadata quorum: {0}")]
    Raft(#[from] OpenError),
}

impl StartError {
    /// Whether a directory is another's, which no node goes on without.
    fn is_foreign(&self) -> bool {
        match self {
            Self::DataDir(error) => error.is_foreign(),
            Self::Log(_) | Self::Bind(_) | Self::Raft(_) => false,
        }
    }
}

/// The doors to everything outside, one each.
#[derive(Clone, Debug)]
pub struct Outside {
    pub clock: Clock,
    pub random: Random,
    pub tasks: Tasks,
    pub fs: Arc<dyn FileSystem>,
}

impl Outside {
    pub fn system() -> Self {
        Self {
            clock: Clock::system(),
            random: Random::system(),
            tasks: Tasks::new(),
            fs: Arc::new(RealFs),
        }
    }
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    outside: Outside,
    raft: MetadataRaft,
    broker: Option<Broker>,
    addresses: Addresses,
    failure: Failure,
}

/// Ports that are bound and not yet served.
struct Ports {
    clients: Server,
    controller: TcpListener,
    http: Option<TcpListener>,
}

impl Node {
    pub async fn start(config: BrokerConfig) -> Result<Self, StartError> {
        for fault in planted::all_planted() {
            error!(
                fault = fault.name(),
                "a fault is planted in this node: it may lose what it stores"
            );
        }
        Self::start_in(config, Outside::system()).await
    }

    /// Returns once every door is open; that the node is registered and has a quorum comes later.
    pub async fn start_in(config: BrokerConfig, outside: Outside) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let mut log_dirs = LogDirs::open(&config, &outside)?;
        let data_dir = log_dirs.identity.clone();
        let (ports, bound) = bind(&config).await?;
        log_dirs.take_clean_shutdown()?;
        let addresses = Addresses::new(&config, &bound);

        let (mailbox, inbox) = controller::mailbox();
        let door = Arc::new(PeerDoor::new(mailbox));
        let peers: Arc<dyn PeerHandler> = Arc::<PeerDoor>::clone(&door);
        let quorum = RaftConfig {
            remembered: remembered(&data_dir, &log_dirs.others),
            ..raft_config(&config, &data_dir, &addresses)
        };
        let deps = raft_deps(&outside, ports.controller);
        let raft = MetadataRaft::open(quorum, deps, peers).await?;
        run_controller(&config, &outside, &raft, inbox);
        let metadata = follow_metadata(&outside, &raft);
        let shared = broker::Parts {
            config: Arc::clone(&config),
            outside: outside.clone(),
            raft: raft.clone(),
            metadata: metadata.clone(),
            metrics: Metrics::default(),
            directory: data_dir.directory(),
            cluster_id: data_dir.cluster_id().map(str::to_owned),
            addresses: addresses.clone(),
        };
        let failure = Failure::default();
        let watched = watch::Watched {
            raft: raft.clone(),
            metadata,
            identity: data_dir,
            others: log_dirs.others.clone(),
        };
        let watching = watched.run(failure.clone(), outside.clone());
        outside.tasks.spawn("node health", watching);
        let is_broker = config.process_roles.broker;
        let broker = is_broker.then(|| Broker::start(&shared, log_dirs, ports.clients, &door));
        if let Some(listener) = ports.http {
            serve_http(listener, shared, broker.as_ref());
        }
        info!(
            node = %config.node_id,
            listeners = %addresses.listeners(),
            controller = %addresses.controller,
            http = addresses.http.as_deref().unwrap_or("none"),
            "node started"
        );
        Ok(Self {
            outside,
            raft,
            broker,
            addresses,
            failure,
        })
    }

    /// What others dial.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Resolves with the reason once this node must not go on: a failed disk, a metadata log it
    /// cannot follow.
    pub async fn failed(&self) -> String {
        let disk = async {
            match &self.broker {
                Some(broker) => broker.disk_failure().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            reason = self.failure.told() => reason,
            reason = disk => format!("a log directory failed: {reason}"),
        }
    }

    /// Hands leaderships over, syncs, and leaves the clean-shutdown marker.
    pub async fn stop(self) {
        planted::die_if(Fault::StopDiesBeforeHandingOver);
        if let Some(broker) = &self.broker {
            broker.leave(&self.raft, &self.outside.clock).await;
        }
        planted::die_if(Fault::StopDiesBeforeDraining);
        self.outside.tasks.drain(DRAIN_WITHIN).await;
        planted::die_if(Fault::StopDiesBeforeSyncing);
        if let Some(broker) = self.broker {
            let closing = self.outside.tasks.run_blocking(move || broker.close());
            closing.await;
        }
        planted::die_if(Fault::StopDiesBeforeTheQuorumCloses);
        self.raft.shutdown().await;
        info!("node stopped");
    }
}

/// On every node; it is idle where the quorum's leader is not.
fn run_controller(
    config: &Arc<BrokerConfig>,
    outside: &Outside,
    raft: &MetadataRaft,
    inbox: Inbox,
) {
    let doors = Doors {
        clock: outside.clock.clone(),
        random: outside.random.clone(),
        tasks: outside.tasks.clone(),
    };
    let controller = Controller::new(raft.clone(), inbox, Arc::clone(config), doors);
    outside.tasks.spawn("controller", controller.run());
}

fn follow_metadata(outside: &Outside, raft: &MetadataRaft) -> Metadata {
    let (feed, metadata) = Metadata::starting_at(raft.image());
    let feeding = feed.follow(raft.subscribe());
    let tasks = outside.tasks.clone();
    outside.tasks.spawn("metadata feed", async move {
        // Raft goes last, so the feed would outlive everyone who reads it.
        tokio::select! {
            () = feeding => {}
            () = tasks.stopping() => {}
        }
    });
    metadata
}

fn serve_http(listener: TcpListener, shared: broker::Parts, broker: Option<&Broker>) {
    let live = Live {
        raft: shared.raft,
        broker: broker.map(Broker::live),
    };
    let tasks = shared.outside.tasks.clone();
    let state = HttpState::new(http::Deps {
        config: shared.config,
        metadata: shared.metadata,
        sources: Arc::new(live),
        metrics: shared.metrics,
        clock: shared.outside.clock,
        tasks: shared.outside.tasks,
    });
    tasks.spawn("http", http::serve(listener, state));
}

async fn bind(config: &BrokerConfig) -> Result<(Ports, Bound), StartError> {
    let clients = Server::bind(config).await?;
    let (controller, controller_address) = server::bind_one(&config.controller_listener).await?;
    let (http, http_address) = match &config.http_listener {
        Some(listener) => {
            let (socket, address) = server::bind_one(listener).await?;
            (Some(socket), Some(address))
        }
        None => (None, None),
    };
    let bound = Bound {
        clients: clients.local_addresses(),
        controller: controller_address,
        http: http_address,
    };
    Ok((
        Ports {
            clients,
            controller,
            http,
        },
        bound,
    ))
}

fn raft_config(config: &BrokerConfig, identity: &DataDir, addresses: &Addresses) -> RaftConfig {
    let election_timeout = config.controller_quorum_election_timeout;
    let address = addresses.controller.clone();
    RaftConfig {
        is_controller: config.process_roles.controller,
        heartbeat: config.controller_quorum_heartbeat_interval,
        election_timeout_min: election_timeout,
        election_timeout_max: election_timeout * 2,
        ..RaftConfig::new(
            config.node_id,
            identity.directory(),
            config.metadata_log_dir.join(METADATA_FOLDER),
            bootstrap(config, &address),
            address,
        )
    }
}

/// The cluster this node's directories say they belong to.
fn remembered(identity: &DataDir, others: &[DataDir]) -> Remembered {
    let mut named = others.iter().filter_map(DataDir::cluster_id);
    Remembered {
        with_log: identity.cluster_id().map(str::to_owned),
        elsewhere: named.next().map(str::to_owned),
    }
}

/// A controller told of nobody forms a cluster of itself.
fn bootstrap(config: &BrokerConfig, address: &str) -> Bootstrap {
    if !config.controller_quorum_voters.is_empty() {
        Bootstrap::Voters(config.controller_quorum_voters.clone())
    } else if !config.controller_quorum_bootstrap_servers.is_empty() {
        Bootstrap::Servers(config.controller_quorum_bootstrap_servers.clone())
    } else {
        Bootstrap::Voters(vec![(config.node_id, address.to_owned())])
    }
}

fn raft_deps(outside: &Outside, listener: TcpListener) -> RaftDeps {
    let (wall_clock, clock) = (outside.clock.clone(), outside.clock.clone());
    let random = outside.random.clone();
    RaftDeps {
        listener,
        wall_clock_ms: Arc::new(move || wall_clock.wall_ms()),
        now: Arc::new(move || clock.now()),
        random_u64: Arc::new(move || random.u64()),
    }
}
