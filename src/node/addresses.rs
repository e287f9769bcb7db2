//! What this node tells others to dial, once its ports are known.

use std::net::SocketAddr;

use drave_raft::record::ListenerV1;

use crate::config::{BrokerConfig, Listener};

/// Advertised addresses with the ports that were really bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The inter-broker listener first: it is the one other brokers fetch from.
    pub clients: Vec<ListenerV1>,
    pub controller: String,
    pub http: Option<String>,
}

/// What the operating system gave: an address for each listener that was bound.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) clients: Vec<(String, SocketAddr)>,
    pub(super) controller: SocketAddr,
    pub(super) http: Option<SocketAddr>,
}

impl Addresses {
    pub(super) fn new(config: &BrokerConfig, bound: &Bound) -> Self {
        let mut clients: Vec<ListenerV1> = Vec::new();
        for advertised in &config.advertised_listeners {
            let bound_port = bound
                .clients
                .iter()
                .find(|(name, _)| *name == advertised.name);
            clients.push(ListenerV1 {
                name: advertised.name.clone(),
                host: advertised.host.clone(),
                port: port_of(advertised, bound_port.map(|(_, address)| *address)),
            });
        }
        // Stable: the rest keep the order they were configured in.
        clients.sort_by_key(|it| it.name != config.inter_broker_listener_name);
        let advertised = &config.advertised_controller_listener;
        let controller = advertised.address_with_port(port_of(advertised, Some(bound.controller)));
        let http = config
            .http_listener
            .as_ref()
            .zip(bound.http)
            .map(|(listener, address)| {
                let mut listener = listener.clone();
                if listener.is_unspecified() {
                    listener.host.clone_from(&advertised.host);
                }
                listener.address_with_port(address.port())
            });
        Self {
            clients,
            controller,
            http,
        }
    }

    /// As `listeners` writes them: `PLAINTEXT://host:port`, with commas.
    pub fn listeners(&self) -> String {
        let text = |it: &ListenerV1| format!("{}://{}:{}", it.name, it.host, it.port);
        self.clients.iter().map(text).collect::<Vec<_>>().join(",")
    }
}

fn port_of(advertised: &Listener, bound: Option<SocketAddr>) -> u16 {
    match (advertised.port, bound) {
        (0, Some(bound)) => bound.port(),
        (port, _) => port,
    }
}
