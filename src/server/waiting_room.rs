//! Where silent connections wait until their peer is heard: no task, no buffer and no timer for each, only its
//! socket and what is remembered of it.
//!
//! Invariant: a socket that is here is not with the runtime, and one that left is not listened to here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::{debug, warn};

use crate::clock::Clock;
use crate::server::connection::Past;
use crate::server::listener::Open;
use crate::server::transport::{Ear, Silent, SocketId};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

/// All are looked at for those that were silent for too long, so not more often. They are closed that much late, or as
/// late as they came here after their last word.
const LOOK_EVERY_MIN: Duration = Duration::from_secs(1);
/// The kernel cannot tell who was heard: it is asked again.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// A connection that nobody serves.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) socket: Silent,
    pub(crate) listener: Arc<str>,
    pub(crate) past: Past,
    pub(crate) open: Open,
}

#[derive(Debug)]
pub(crate) struct WaitingRoom {
    ear: Ear,
    waiting: Mutex<BTreeMap<SocketId, Waiting>>,
    /// `connections.max.idle.ms`
    idle_max: Duration,
    clock: Clock,
    metrics: Metrics,
}

impl WaitingRoom {
    pub(crate) fn new(ear: Ear, idle_max: Duration, clock: Clock, metrics: Metrics) -> Self {
        Self {
            ear,
            waiting: Mutex::default(),
            idle_max,
            clock,
            metrics,
        }
    }

    /// Takes a connection in; gives it back where the kernel does not listen to it.
    pub(crate) fn take_in(&self, it: Waiting) -> Result<(), Waiting> {
        let id = it.socket.id();
        // Held until it is in both: who is heard at once must be found.
        let mut waiting = self.waiting.lock();
        if let Err(error) = self.ear.listen_to(&it.socket) {
            debug!(%error, "a silent connection is served on");
            return Err(it);
        }
        waiting.insert(id, it);
        self.count(&waiting);
        Ok(())
    }

    /// Has those that are heard served, and closes those that were silent for too long, until the node stops.
    pub(crate) async fn run(&self, tasks: &Tasks, serve: impl Fn(Waiting)) {
        let mut stopping = std::pin::pin!(tasks.stopping());
        let mut next_look = self.clock.now() + self.idle_max;
        loop {
            tokio::select! {
                () = &mut stopping => break,
                heard = self.ear.heard() => match heard {
                    Ok(ids) => ids.into_iter().filter_map(|id| self.leave(id)).for_each(&serve),
                    Err(error) => {
                        warn!(%error, "cannot tell which silent connections were heard");
                        tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                    }
                },
                () = self.clock.sleep_until(next_look) => next_look = self.close_idle(),
            }
        }
        let mut waiting = self.waiting.lock();
        waiting.clear();
        self.count(&waiting);
    }

    fn leave(&self, id: SocketId) -> Option<Waiting> {
        let mut waiting = self.waiting.lock();
        let mut it = waiting.remove(&id)?;
        self.count(&waiting);
        drop(waiting);
        self.ear.forget(&it.socket);
        it.past = it.past.heard_again(self.clock.now());
        Some(it)
    }

    /// Returns when to look again.
    fn close_idle(&self) -> Instant {
        let now = self.clock.now();
        let ends_at = |it: &Waiting| it.past.last_active + self.idle_max;
        let mut waiting = self.waiting.lock();
        waiting.retain(|_, it| {
            let is_idle = ends_at(it) <= now;
            if is_idle {
                debug!(peer = ?it.socket.peer(), "idle connection closed");
            }
            !is_idle
        });
        self.count(&waiting);
        let next = waiting.values().map(ends_at).min();
        let next = next.unwrap_or(now + self.idle_max);
        next.max(now + LOOK_EVERY_MIN)
    }

    fn count(&self, waiting: &BTreeMap<SocketId, Waiting>) {
        self.metrics.connections_silent.set_count(waiting.len());
    }
}
