//! Who was heard when: the controller's soft state, never a record.
//!
//! Invariants: a broker is found expired only after a whole session of silence *as this controller
//! could hear it*: a controller that was itself stopped for a while forgives everybody; a new
//! controller gives every unfenced broker a fresh session, but for the one that was the controller before:
//! its silence is why there is a new one, so it gets what its lease may still last. A closed connection proves nothing alone:
//! only a host that refuses to be dialled twice in a row is a dead process.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use drave_log::planted::{Fault, is_planted};
use drave_protocol::ids::{BrokerEpoch, MetadataOffset, NodeId};
use drave_raft::image::MetadataImage;
use drave_raft::peer::{ConnectionId, Probe};

use crate::cluster::lease::lease_of;
use crate::controller::brokers::Predecessor;

#[derive(Debug)]
pub struct Sessions {
    timeout: Duration,
    by_broker: BTreeMap<NodeId, Session>,
    last_tick: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Session {
    broker_epoch: BrokerEpoch,
    last_seen: Instant,
    /// The connection it spoke over last; none before it spoke to this controller.
    connection: Option<ConnectionId>,
    /// Whether that stands.
    is_connected: bool,
    applied: MetadataOffset,
    /// Its controlled shutdown is agreed at this offset.
    shut_down_at: Option<MetadataOffset>,
}

/// What the former controller is given beyond its lease, as a part of the session: clocks do not run alike.
const CLOCKS_DIFFER_BY: u32 = 16;

impl Sessions {
    /// Fresh sessions for all that are not fenced. `former` was the controller before.
    pub fn new(
        image: &MetadataImage,
        timeout: Duration,
        former: Option<NodeId>,
        now: Instant,
    ) -> Self {
        let unfenced = image.brokers.values().filter(|it| !it.fenced);
        // No controller grants a lease unless a quorum followed it lately, and that quorum elects no other
        // meanwhile: whatever lease the former one gave, to itself too, began before now.
        let left = lease_of(timeout) + timeout / CLOCKS_DIFFER_BY;
        let seen_before = now.checked_sub(timeout.saturating_sub(left)).unwrap_or(now);
        let session = |broker, broker_epoch| Session {
            broker_epoch,
            last_seen: if former == Some(broker) {
                seen_before
            } else {
                now
            },
            connection: None,
            is_connected: false,
            applied: MetadataOffset(0),
            shut_down_at: None,
        };
        Self {
            timeout,
            by_broker: unfenced
                .map(|it| (it.broker, session(it.broker, it.broker_epoch)))
                .collect(),
            last_tick: now,
        }
    }

    /// A broker spoke.
    pub fn heard(
        &mut self,
        broker: NodeId,
        broker_epoch: BrokerEpoch,
        connection: ConnectionId,
        applied: MetadataOffset,
        now: Instant,
    ) {
        let before = self.by_broker.get(&broker);
        let shut_down_at = before
            .filter(|it| it.broker_epoch == broker_epoch)
            .and_then(|it| it.shut_down_at);
        let session = Session {
            broker_epoch,
            last_seen: now,
            connection: Some(connection),
            is_connected: true,
            applied,
            shut_down_at,
        };
        self.by_broker.insert(broker, session);
    }

    /// Whether the same process spoke over a newer connection already, be that closed by now: what comes over this one
    /// is from before it.
    pub fn is_overtaken(
        &self,
        broker: NodeId,
        broker_epoch: BrokerEpoch,
        connection: ConnectionId,
    ) -> bool {
        let session = self.by_broker.get(&broker);
        let session = session.filter(|_| !is_planted(Fault::LateHeartbeatCounts));
        session.is_some_and(|it| {
            it.broker_epoch == broker_epoch && it.connection.is_some_and(|last| last > connection)
        })
    }

    /// Brokers that have not spoken to this controller.
    pub fn unheard(&self) -> Vec<(NodeId, BrokerEpoch)> {
        self.by_broker
            .iter()
            .filter(|(_, it)| !it.is_connected)
            .map(|(broker, it)| (*broker, it.broker_epoch))
            .collect()
    }

    /// A connection closed: the broker that spoke over it is suspect, if it has not come back on another.
    pub fn closed(&mut self, connection: ConnectionId) -> Option<(NodeId, BrokerEpoch)> {
        let (broker, session) = self
            .by_broker
            .iter_mut()
            .find(|(_, it)| it.is_connected && it.connection == Some(connection))?;
        session.is_connected = false;
        Some((*broker, session.broker_epoch))
    }

    /// Whether the process of this epoch is still without a connection.
    pub fn is_suspect(&self, broker: NodeId, broker_epoch: BrokerEpoch) -> bool {
        self.by_broker
            .get(&broker)
            .is_some_and(|it| it.broker_epoch == broker_epoch && !it.is_connected)
    }

    pub fn predecessor(&self, broker: NodeId, now: Instant) -> Predecessor {
        match self.by_broker.get(&broker) {
            Some(it) if it.is_connected && now < it.last_seen + self.timeout => Predecessor::Alive,
            Some(_) | None => Predecessor::Gone,
        }
    }

    pub fn forget(&mut self, broker: NodeId) {
        self.by_broker.remove(&broker);
    }

    /// Brokers whose sessions ended.
    pub fn expired(&mut self, now: Instant) -> Vec<(NodeId, BrokerEpoch)> {
        let silence = now.saturating_duration_since(self.last_tick);
        self.last_tick = now;
        if silence > self.timeout / 2 {
            // It was us who did not listen: what they said may still lie in our queues.
            self.by_broker
                .values_mut()
                .for_each(|it| it.last_seen = now);
            return Vec::new();
        }
        self.by_broker
            .iter()
            .filter(|(_, it)| now >= it.last_seen + self.timeout)
            .map(|(broker, it)| (*broker, it.broker_epoch))
            .collect()
    }

    pub fn began_shutdown(&mut self, broker: NodeId, at: MetadataOffset) {
        if let Some(session) = self.by_broker.get_mut(&broker) {
            session.shut_down_at.get_or_insert(at);
        }
    }

    /// Whether every other live broker has seen that this one is leaving.
    pub fn all_saw_shutdown(&self, broker: NodeId) -> bool {
        let at = self.by_broker.get(&broker).and_then(|it| it.shut_down_at);
        at.is_some_and(|at| {
            self.by_broker
                .iter()
                .all(|(other, it)| *other == broker || it.applied >= at)
        })
    }
}

/// Refusals in a row that make a process dead.
const REFUSALS_OF_THE_DEAD: u32 = 2;

/// Pauses between dials: short at first, because a killed process is gone within milliseconds.
const DIALS_PAUSE_MIN: Duration = Duration::from_millis(5);
const DIALS_PAUSE_MAX: Duration = Duration::from_millis(200);

/// What dialling a suspect met so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspicion {
    refusals: u32,
    pause: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Dead,
    DialAgain,
    /// A fault of the network: the session decides.
    Unproven,
}

impl Default for Suspicion {
    fn default() -> Self {
        Self {
            refusals: 0,
            pause: DIALS_PAUSE_MIN,
        }
    }
}

impl Suspicion {
    pub fn met(&mut self, probe: Probe) -> Verdict {
        match probe {
            Probe::Refused => {
                self.refusals += 1;
                if self.refusals >= REFUSALS_OF_THE_DEAD {
                    return Verdict::Dead;
                }
            }
            // The kernel of a dying process accepts until its last socket is closed.
            Probe::Alive => {
                self.refusals = 0;
                self.pause = (self.pause * 2).min(DIALS_PAUSE_MAX);
            }
            Probe::Silent => return Verdict::Unproven,
        }
        Verdict::DialAgain
    }

    /// How long to wait before the next dial.
    pub fn pause(&self) -> Duration {
        self.pause
    }
}

#[cfg(test)]
#[path = "fencing_test.rs"]
mod tests;
