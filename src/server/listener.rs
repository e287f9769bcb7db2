//! Accepts connections on one listener, no more at once than `max.connections` over all of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, warn};

use crate::server::connection::{Connection, Left, Past, Terms};
use crate::server::context::Origin;
use crate::server::dispatch;
use crate::server::quotas::Mute;
use crate::server::services::Services;
use crate::server::transport::{Accepted, Acceptor, Silent};
use crate::server::waiting_room::{Waiting, WaitingRoom};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

/// Out of file descriptors or the like: the backlog holds who comes meanwhile.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);
const WRITE_STALL_MAX: Duration = Duration::from_secs(30);

/// What serves every connection of a node, whichever listener it came by.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) services: Services,
    pub(crate) waiting_room: WaitingRoom,
    /// One for each connection that may be open.
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) tasks: Tasks,
}

#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) name: Arc<str>,
    pub(crate) acceptor: Acceptor,
    pub(crate) host: Arc<Host>,
}

impl Listener {
    /// Accepts until the node stops.
    pub(crate) async fn run(self) {
        let tasks = self.host.tasks.clone();
        tokio::select! {
            () = tasks.stopping() => {}
            () = self.accept_all() => {}
        }
    }

    async fn accept_all(&self) {
        // As Kafka: who comes beyond the limit waits in the backlog until another connection ends.
        while let Some(permit) = self.permit().await {
            match self.acceptor.accept().await {
                Ok(accepted) => {
                    let services = &self.host.services;
                    let past = Past::begun(services.clock.now());
                    let open = Open::new(Arc::clone(&services.metrics), permit);
                    self.host.serve(&self.name, accepted, past, open);
                }
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                }
            }
        }
    }

    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        let Host {
            permits, services, ..
        } = &*self.host;
        if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
            return Some(permit);
        }
        let max_connections = services.config.max_connections;
        warn!(max_connections, "connection limit reached, new ones wait");
        Arc::clone(permits).acquire_owned().await.ok()
    }
}

impl Host {
    /// Serves those that were heard again, until the node stops.
    pub(crate) async fn run(self: Arc<Self>) {
        let serve = |it| self.serve_again(it);
        self.waiting_room.run(&self.tasks, serve).await;
    }

    fn serve_again(self: &Arc<Self>, it: Waiting) {
        match it.socket.into_accepted() {
            Ok(accepted) => self.serve(&it.listener, accepted, it.past, it.open),
            Err(error) => debug!(%error, "connection closed"),
        }
    }

    fn serve(self: &Arc<Self>, listener: &Arc<str>, accepted: Accepted, past: Past, open: Open) {
        let mute = Mute::default();
        let origin = Origin {
            listener: Arc::clone(listener),
            peer: accepted.peer,
            mute: mute.clone(),
        };
        let services = &self.services;
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
        let (host, listener) = (Arc::clone(self), Arc::clone(listener));
        let first_stage = {
            let host = Arc::clone(self);
            move |frame, received_at| {
                dispatch::first_stage(&host.services, &origin, frame, received_at)
            }
        };
        let Accepted { reader, writer, .. } = accepted;
        let mut connection = Connection::new(reader, writer, past, terms, first_stage);
        self.tasks.spawn("connection", async move {
            if let Left::Silence(past) = connection.run().await {
                let (reader, writer) = connection.into_halves();
                match Silent::new(reader, writer) {
                    Ok(socket) => host.leave_waiting(Waiting {
                        socket,
                        listener,
                        past,
                        open,
                    }),
                    Err(error) => warn!(%error, "cannot keep a silent connection"),
                }
            }
        });
    }

    fn leave_waiting(self: &Arc<Self>, it: Waiting) {
        if let Err(it) = self.waiting_room.take_in(it) {
            self.serve_again(it);
        }
    }
}

/// A connection counted as open, and its permit, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Open {
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
