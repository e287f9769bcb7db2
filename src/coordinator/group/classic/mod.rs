//! Classic groups: members meet in a join, one of them assigns, all are told in a sync.
//!
//! | file | what it is |
//! |---|---|
//! | `members` | the group as it stands, and as it is recorded |
//! | `join`, `sync`, `leave` | what members ask; heartbeats are in `sync` |
//! | `migrating` | on the way to the consumer protocol |
//! | `rebalance` | from one generation to the next, and the deadlines on the way |
//!
//! A state machine without waiting: requests and deadlines come in, records, answers and deadlines go out.
//! What is recorded is the group as it stands after a sync, or when it is left empty; what happens between is
//! this broker's alone and gone when another leads.
//!
//! Invariants: a member's answer to a join or sync is given once; a generation is never smaller than one
//! before; the members of a generation share its protocol.

#[cfg(test)]
mod classic_test;
mod join;
mod leave;
mod members;
mod migrating;
mod rebalance;
mod subscription;
mod sync;

use std::time::Duration;

use bytes::Bytes;

pub use self::join::{Join, JoinAbilities, Joined, JoinedMember};
pub use self::leave::Leaver;
pub use self::members::{ClassicGroup, DescribedMember, State};
pub use self::sync::{Presence, Sync, Synced};

/// What a member can be assigned by, with what it says to its assignor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    pub name: String,
    pub metadata: Bytes,
}

/// The type of groups of consumers; others are connectors or what a client calls them.
pub const CONSUMER: &str = "consumer";

pub(super) fn duration_ms(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

fn from_ms(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}
