//! What a quorum node must be told before it can open, and the doors it is given.
//!
//! Invariants checked by `validate`: `heartbeat` < `election_timeout_min` < `election_timeout_max`;
//! every address is `host:port`; the bootstrap list is not empty and names each node once.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drave_protocol::ids::{DirectoryId, NodeId};
use thiserror::Error;
use tokio::net::TcpListener;

#[derive(Clone, Debug)]
pub struct RaftConfig {
    pub node: NodeId,
    /// Identity of `data_dir`, drawn once; the Raft node id.
    pub directory: DirectoryId,
    /// Holds `wal/`, `snapshot/` and `history/`; created when absent.
    pub data_dir: PathBuf,
    /// Whether this node asks to vote; it becomes a voter only if `bootstrap` names it too.
    pub is_controller: bool,
    pub bootstrap: Bootstrap,
    /// What this node's disks say of the cluster it belongs to.
    pub remembered: Remembered,
    /// `host:port` of the peer listener, as others dial it.
    pub advertised_address: String,
    pub heartbeat: Duration,
    pub election_timeout_min: Duration,
    pub election_timeout_max: Duration,
    /// A snapshot is taken each time the log grew by this many entries.
    pub snapshot_every_entries: u64,
    /// Entries kept behind a snapshot, so that a follower slightly behind needs no snapshot.
    pub snapshot_keep_entries: u64,
    /// How long `propose` waits before it says that the outcome is unknown.
    pub propose_timeout: Duration,
    pub wal_segment_bytes: u64,
    /// Newest records the history keeps.
    pub history_records_max: u64,
    /// Connections accepted at once on the peer listener.
    pub peer_connections_max: usize,
}

/// The cluster a node's disks name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// By the directory of the metadata log: then there must be such a log.
    pub with_log: Option<String>,
    /// By another directory of the node: then the metadata's was lost, and nothing new is formed.
    pub elsewhere: Option<String>,
}

/// Who forms the cluster, and whom a newcomer asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bootstrap {
    /// `controller.quorum.voters`: id and address of each.
    Voters(Vec<(NodeId, String)>),
    /// `controller.quorum.bootstrap.servers`: addresses only.
    Servers(Vec<String>),
}

/// The doors to network, time and randomness.
pub struct Deps {
    pub listener: TcpListener,
    pub wall_clock_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
    pub now: Arc<dyn Fn() -> Instant + Send + Sync>,
    pub random_u64: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl fmt::Debug for Deps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deps").finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    #[error(
        "heartbeat {heartbeat:?} must be shorter than election timeout {min:?}, and that shorter than {max:?}"
    )]
    Timing {
        heartbeat: Duration,
        min: Duration,
        max: Duration,
    },
    #[error("the bootstrap list is empty")]
    NoBootstrap,
    #[error("bootstrap names {0} twice")]
    NamedTwice(String),
    #[error("{0:?} is not host:port")]
    Address(String),
}

impl RaftConfig {
    /// The defaults of everything that has one.
    pub fn new(
        node: NodeId,
        directory: DirectoryId,
        data_dir: PathBuf,
        bootstrap: Bootstrap,
        advertised_address: String,
    ) -> Self {
        Self {
            node,
            directory,
            data_dir,
            is_controller: true,
            bootstrap,
            remembered: Remembered::default(),
            advertised_address,
            heartbeat: Duration::from_millis(50),
            election_timeout_min: Duration::from_millis(200),
            election_timeout_max: Duration::from_millis(400),
            snapshot_every_entries: 5000,
            snapshot_keep_entries: 1000,
            propose_timeout: Duration::from_secs(5),
            wal_segment_bytes: 4 << 20,
            history_records_max: 100_000,
            peer_connections_max: 1024,
        }
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if self.heartbeat >= self.election_timeout_min
            || self.election_timeout_min >= self.election_timeout_max
        {
            return Err(ConfigError::Timing {
                heartbeat: self.heartbeat,
                min: self.election_timeout_min,
                max: self.election_timeout_max,
            });
        }
        let addresses = self.bootstrap.addresses();
        if addresses.is_empty() {
            return Err(ConfigError::NoBootstrap);
        }
        let mut seen = BTreeSet::new();
        for address in addresses {
            host_and_port(&address).ok_or_else(|| ConfigError::Address(address.clone()))?;
            if !seen.insert(address.clone()) {
                return Err(ConfigError::NamedTwice(address));
            }
        }
        host_and_port(&self.advertised_address)
            .ok_or_else(|| ConfigError::Address(self.advertised_address.clone()))?;
        if let Bootstrap::Voters(voters) = &self.bootstrap {
            let mut nodes = BTreeSet::new();
            for (node, _) in voters {
                if !nodes.insert(*node) {
                    return Err(ConfigError::NamedTwice(format!("node {node}")));
                }
            }
        }
        Ok(())
    }
}

impl Bootstrap {
    pub fn addresses(&self) -> Vec<String> {
        match self {
            Self::Voters(voters) => voters.iter().map(|(_, address)| address.clone()).collect(),
            Self::Servers(servers) => servers.clone(),
        }
    }

    /// Whether a controller with this id and address may vote.
    pub(crate) fn names(&self, node: NodeId, address: &str) -> bool {
        match self {
            Self::Voters(voters) => voters.iter().any(|(it, _)| *it == node),
            Self::Servers(servers) => servers.iter().any(|it| it == address),
        }
    }

    /// Whether that node is the one that forms the cluster: the lowest id, or the lowest address.
    pub(crate) fn is_former(&self, node: NodeId, address: &str) -> bool {
        match self {
            Self::Voters(voters) => voters.iter().map(|(it, _)| *it).min() == Some(node),
            Self::Servers(servers) => {
                let lowest = servers.iter().filter_map(|it| host_and_port(it)).min();
                lowest.is_some() && lowest == host_and_port(address)
            }
        }
    }
}

/// Orders by host, then by numeric port.
pub(crate) fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    if host.is_empty() {
        return None;
    }
    Some((host, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> RaftConfig {
        let voters = Bootstrap::Voters(vec![(NodeId(1), "a:1".into()), (NodeId(2), "b:1".into())]);
        RaftConfig::new(
            NodeId(1),
            DirectoryId(7),
            PathBuf::new(),
            voters,
            "a:1".into(),
        )
    }

    #[test]
    fn timings_out_of_order_are_refused() {
        let mut late = config();
        late.heartbeat = Duration::from_millis(200);
        assert!(matches!(late.validate(), Err(ConfigError::Timing { .. })));
        assert_eq!(config().validate(), Ok(()));
    }

    #[test]
    fn a_node_named_twice_is_refused() {
        let mut twice = config();
        twice.bootstrap =
            Bootstrap::Voters(vec![(NodeId(1), "a:1".into()), (NodeId(1), "b:1".into())]);
        assert_eq!(
            twice.validate(),
            Err(ConfigError::NamedTwice("node 1".into()))
        );
    }

    #[test]
    fn the_lowest_id_or_the_lowest_numeric_port_forms() {
        let voters = config().bootstrap;
        assert!(voters.is_former(NodeId(1), "anything:1"));
        assert!(!voters.is_former(NodeId(2), "b:1"));
        let servers = Bootstrap::Servers(vec!["h:10000".into(), "h:9093".into()]);
        assert!(servers.is_former(NodeId(9), "h:9093"));
        assert!(!servers.is_former(NodeId(1), "h:10000"));
    }
}
