//! Accepts connections on one listener, no more at once than `max.connections` over all of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::warn;

use crate::server::connection::{Connection, Terms};
use crate::server::context::Origin;
use crate::server::dispatch;
use crate::server::quotas::Mute;
use crate::server::services::Services;
use crate::server::transport::{Accepted, Acceptor};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

/// Out of file descriptors or the like: the backlog holds who comes meanwhile.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);
const WRITE_STALL_MAX: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) name: Arc<str>,
    pub(crate) acceptor: Acceptor,
    /// One for each connection that may be open.
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) services: Arc<Services>,
    pub(crate) tasks: Tasks,
}

impl Listener {
    /// Accepts until the node stops.
    pub(crate) async fn run(self) {
        let tasks = self.tasks.clone();
        tokio::select! {
            () = tasks.stopping() => {}
            () = self.accept_all() => {}
        }
    }

    async fn accept_all(&self) {
        // As Kafka: who comes beyond the limit waits in the backlog until another connection ends.
        while let Some(permit) = self.permit().await {
            match self.acceptor.accept().await {
                Ok(accepted) => self.serve(accepted, permit),
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                }
            }
        }
    }

    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Some(permit);
        }
        let max_connections = self.services.config.max_connections;
        warn!(max_connections, "connection limit reached, new ones wait");
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    fn serve(&self, accepted: Accepted, permit: OwnedSemaphorePermit) {
        let mute = Mute::default();
        let origin = Origin {
            listener: Arc::clone(&self.name),
            peer: accepted.peer,
            mute: mute.clone(),
        };
        let services = Arc::clone(&self.services);
        let terms = Terms {
            peer: accepted.peer,
            mute,
            request_bytes_max: services.config.socket_request_max_bytes,
            idle_max: services.config.connections_max_idle,
            write_stall_max: WRITE_STALL_MAX,
            clock: services.clock.clone(),
            tasks: self.tasks.clone(),
            metrics: Arc::clone(&services.metrics),
        };
        let open = Open::new(Arc::clone(&services.metrics), permit);
        let first_stage =
            move |frame, received_at| dispatch::first_stage(&services, &origin, frame, received_at);
        let mut connection = Connection::new(accepted.reader, accepted.writer, terms, first_stage);
        self.tasks.spawn("connection", async move {
            connection.run().await;
            drop(open);
        });
    }
}

/// A connection counted as open, and its permit, for as long as it lives.
#[derive(Debug)]
struct Open {
    metrics: Metrics,
    _permit: OwnedSemaphorePermit,
}

impl Open {
    fn new(metrics: Metrics, permit: OwnedSemaphorePermit) -> Self {
        metrics.connections.add(1);
        Self {
            metrics,
            _permit: permit,
        }
    }
}

/// Runs also when the task is aborted.
impl Drop for Open {
    fn drop(&mut self) {
        self.metrics.connections.add(-1);
    }
}
