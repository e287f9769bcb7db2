//! The Kafka door: sockets, frames, and a handler for each API.
//!
//! `listener` accepts, `connection` reads and answers in order, `waiting_room` holds those that are silent,
//! `dispatch` finds the handler,
//! `fetch_session` and `session_cache` are what is remembered between fetches,
//! `handlers/` hold one file per API. Kafka's types end in the handlers.

mod connection;
#[cfg(test)]
mod connection_test;
mod context;
mod dispatch;
mod fetch_session;
mod frame;
mod frame_reader;
mod handlers;
mod listener;
mod quotas;
mod reply;
mod sending;
#[cfg(test)]
mod sending_test;
mod services;
mod session_cache;
mod transport;
mod waiting_room;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tracing::info;

pub use quotas::ClientQuotas;
pub use services::{FetchSessions, Services};

use self::listener::{Host, Listener};
use self::transport::{Acceptor, Buffers, Ear};
use self::waiting_room::WaitingRoom;
use crate::config::{self, BrokerConfig};
use crate::tasks::Tasks;

/// What a node cannot serve clients without.
#[derive(Debug, Error)]
pub enum BindError {
    #[error("cannot listen on {host}:{port} (listener {listener})")]
    Port {
        listener: String,
        host: String,
        port: u16,
        source: io::Error,
    },
    #[error(
        "cannot listen to silent connections (epoll); see whether file descriptors have run out"
    )]
    Silent(#[source] io::Error),
}

/// The client listeners of this node: bound, and served once the node is ready for it.
#[derive(Debug)]
pub struct Server {
    bound: Vec<(Arc<str>, Acceptor)>,
    ear: Ear,
}

impl Server {
    /// Binds every listener of clients; port 0 takes one from the operating system.
    pub async fn bind(config: &BrokerConfig) -> Result<Self, BindError> {
        let buffers = Buffers {
            send_bytes: u32::try_from(config.socket_send_buffer_bytes).ok(),
            receive_bytes: u32::try_from(config.socket_receive_buffer_bytes).ok(),
        };
        let mut bound = Vec::with_capacity(config.client_listeners.len());
        for listener in &config.client_listeners {
            bound.push((
                Arc::from(listener.name.as_str()),
                accept_on(listener, buffers).await?,
            ));
        }
        let ear = Ear::new().map_err(BindError::Silent)?;
        Ok(Self { bound, ear })
    }

    /// Name and real address of each listener, in the order they were given.
    pub fn local_addresses(&self) -> Vec<(String, SocketAddr)> {
        let bound = self.bound.iter();
        bound
            .map(|(name, acceptor)| (name.to_string(), acceptor.address()))
            .collect()
    }

    /// Starts accepting; ends with `tasks`.
    pub fn serve(self, services: &Services, tasks: &Tasks) {
        let config = &services.config;
        let max_connections = config.max_connections.min(Semaphore::MAX_PERMITS);
        let (clock, metrics) = (services.clock.clone(), Arc::clone(&services.metrics));
        let idle_max = config.connections_max_idle;
        let host = Arc::new(Host {
            waiting_room: WaitingRoom::new(self.ear, idle_max, clock, metrics),
            services: services.clone(),
            permits: Arc::new(Semaphore::new(max_connections)),
            tasks: tasks.clone(),
        });
        tasks.spawn("waiting room", Arc::clone(&host).run());
        for (name, acceptor) in self.bound {
            info!(name = &*name, address = %acceptor.address(), "serving");
            let host = Arc::clone(&host);
            let listener = Listener {
                name,
                acceptor,
                host,
            };
            tasks.spawn("listener", listener.run());
        }
    }
}

/// Binds a listener that another door serves; refusals read alike for every port of a node.
pub async fn bind_one(listener: &config::Listener) -> Result<(TcpListener, SocketAddr), BindError> {
    let acceptor = accept_on(listener, Buffers::default()).await?;
    let address = acceptor.address();
    Ok((acceptor.into_socket(), address))
}

async fn accept_on(listener: &config::Listener, buffers: Buffers) -> Result<Acceptor, BindError> {
    let acceptor = Acceptor::bind(&listener.host, listener.port, buffers).await;
    acceptor.map_err(|source| BindError::Port {
        listener: listener.name.clone(),
        host: listener.host.clone(),
        port: listener.port,
        source,
    })
}
