//! A node: the only place where the parts are put together.
//!
//! Start: identity and locks, then ports, then the metadata quorum, then registration, and last the
//! doors. Stop: the reverse, politely first. Nothing here is a process global: several nodes may
//! live in one process.

mod addresses;
mod broker;
mod data_dir;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use drave_log::LogError;
use drave_log::fs::{FileSystem, RealFs};
use drave_raft::{Bootstrap, Deps as RaftDeps, MetadataRaft, OpenError, RaftConfig};
use thiserror::Error;
use tokio::net::TcpListener;
use tracing::info;

use crate::clock::Clock;
use crate::cluster::metadata::Metadata;
use crate::config::BrokerConfig;
use crate::controller::{self, Controller, Doors, PeerDoor};
use crate::http::sources::Live;
use crate::http::{self, HttpState};
use crate::random::Random;
use crate::server::{self, BindError, Server};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

use self::addresses::Bound;
use self::broker::Broker;
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
        Self::start_in(config, Outside::system()).await
    }

    /// Returns once every door is open; that the node is registered and has a quorum comes later.
    pub async fn start_in(config: BrokerConfig, outside: Outside) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let node = config.node_id;
        let metadata_dir = config.metadata_log_dir.clone();
        let identity = DataDir::open(
            Arc::clone(&outside.fs),
            &metadata_dir,
            node,
            &outside.random,
        )?;
        let log_dirs = broker::open_log_dirs(&config, &outside)?;
        let (ports, bound) = bind(&config).await?;
        let addresses = Addresses::new(&config, &bound);

        let (mailbox, inbox) = controller::mailbox();
        let door = Arc::new(PeerDoor::new(mailbox));
        let raft_config = raft_config(&config, &identity, &addresses);
        let deps = raft_deps(&outside, ports.controller);
        let raft = MetadataRaft::open(raft_config, deps, Arc::clone(&door) as _).await?;
        let doors = Doors {
            clock: outside.clock.clone(),
            random: outside.random.clone(),
            tasks: outside.tasks.clone(),
        };
        let controller = Controller::new(raft.clone(), inbox, Arc::clone(&config), doors);
        outside.tasks.spawn("controller", controller.run());

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
        let failure = Failure::default();
        let directory = identity.directory();
        let cluster_id = identity.cluster_id().map(str::to_owned);
        let watched = watch::Watched {
            raft: raft.clone(),
            metadata: metadata.clone(),
            identity,
        };
        outside
            .tasks
            .spawn("node health", watched.run(failure.clone(), outside.clone()));

        let metrics = Metrics::default();
        let broker = config.process_roles.broker.then(|| {
            let parts = broker::Parts {
                config: Arc::clone(&config),
                outside: outside.clone(),
                raft: raft.clone(),
                metadata: metadata.clone(),
                metrics: metrics.clone(),
                directory,
                cluster_id,
                addresses: addresses.clone(),
            };
            Broker::start(parts, log_dirs, ports.clients, &door)
        });
        if let Some(listener) = ports.http {
            let live = Live {
                raft: raft.clone(),
                broker: broker.as_ref().map(Broker::live),
            };
            let state = HttpState::new(http::Deps {
                config: Arc::clone(&config),
                metadata,
                sources: Arc::new(live),
                metrics,
                clock: outside.clock.clone(),
                tasks: outside.tasks.clone(),
            });
            outside.tasks.spawn("http", http::serve(listener, state));
        }
        info!(
            %node,
            listeners = ?addresses.clients,
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
        if let Some(broker) = &self.broker {
            broker.leave(&self.raft, &self.outside.clock).await;
        }
        self.outside.tasks.drain(DRAIN_WITHIN).await;
        if let Some(broker) = self.broker {
            let closing = self.outside.tasks.run_blocking(move || broker.close());
            closing.await;
        }
        self.raft.shutdown().await;
        info!("node stopped");
    }
}

async fn bind(config: &BrokerConfig) -> Result<(Ports, Bound), StartError> {
    let clients = Server::bind(&config.client_listeners).await?;
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
    let (wall, mono, random) = (
        outside.clock.clone(),
        outside.clock.clone(),
        outside.random.clone(),
    );
    RaftDeps {
        listener,
        wall_clock_ms: Arc::new(move || wall.wall_ms()),
        now: Arc::new(move || mono.now()),
        random_u64: Arc::new(move || random.u64()),
    }
}
