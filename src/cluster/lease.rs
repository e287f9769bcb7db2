//! The right to act as a leader, as this broker may believe in it on its own.
//!
//! A broker that hears nothing from the controller may long be fenced and its partitions led
//! elsewhere. So it trusts itself only for three quarters of the session after the *sending* of the
//! last heartbeat that was answered: the controller's session began no earlier than that, and ends a
//! quarter later.

use std::sync::Arc;
use std::time::{Duration, Instant};

use drave_protocol::ids::BrokerEpoch;
use parking_lot::RwLock;

/// How long a broker trusts itself after it sent a heartbeat, where the controller's session is so long.
pub fn lease_of(session: Duration) -> Duration {
    session * 3 / 4
}

/// Read at every append; a cheap handle.
#[derive(Clone, Debug, Default)]
pub struct BrokerLease {
    state: Arc<RwLock<LeaseState>>,
}

/// What registration knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseState {
    pub broker_epoch: Option<BrokerEpoch>,
    /// Held before this instant.
    pub until: Option<Instant>,
}

impl BrokerLease {
    /// A lease in the given state, for those who do not register.
    pub fn new(state: LeaseState) -> Self {
        let lease = Self::default();
        lease.set(state);
        lease
    }

    pub fn is_held(&self, now: Instant) -> bool {
        self.state.read().until.is_some_and(|until| now < until)
    }

    /// Of this process's registration; none before the controller admitted it.
    pub fn broker_epoch(&self) -> Option<BrokerEpoch> {
        self.state.read().broker_epoch
    }

    pub fn set(&self, state: LeaseState) {
        *self.state.write() = state;
    }
}
