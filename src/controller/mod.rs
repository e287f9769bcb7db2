//! The cluster's one decider, active on the node that leads the metadata quorum.
//!
//! *Decide, record, apply, answer*: a request is judged against the image, what it changes is proposed
//! to the quorum, and the answer leaves when the quorum agreed and this node's image shows it.
//!
//! - `active` — the loop: wait for leadership, activate, run a reign, start over.
//! - `mailbox` — how requests reach the loop. `door` — how the peer port reaches the mailbox.
//! - `reign` — one term, as a pure state machine. `batch` — what it proposes.
//! - `decision` — what deciding yields: records to agree on, and an answer for when they are.
//! - `election` — who leads, who is in sync, who may lead later. `isr` — a leader's proposals judged.
//! - `brokers` — registration, heartbeats, shutdown. `fencing` — who was heard when, who is dead.
//! - `offline` — replicas their broker cannot use.
//! - `topics`, `placement` — creation and deletion. `balance` — leaderships brought home.
//! - `administration` — what administrators ask: `partitions` added to topics, `elections` on demand.
//! - `configs` — entries of topics, brokers and the cluster changed, and what follows for leaders.
//! - `reassignment` — replicas on their way to other brokers.
//! - `operations` — brokers forgotten and drained on an operator's word. `quorum` — who votes.
//! - `producer_ids` — blocks of them, for brokers to hand out.
//!
//! All but `active`, `mailbox` and `door` are pure: no clock, no randomness of their own, no I/O.

mod active;
pub mod administration;
pub mod balance;
mod batch;
pub mod brokers;
pub mod configs;
pub mod decision;
pub mod door;
pub mod election;
pub mod elections;
pub mod fencing;
pub mod isr;
pub mod mailbox;
pub mod offline;
pub mod operations;
pub mod partitions;
pub mod placement;
pub mod producer_ids;
mod quorum;
mod quotas;
pub mod reassignment;
pub mod reign;
pub mod topics;

#[cfg(test)]
mod test_cluster;

pub use self::active::{Controller, Doors};
pub use self::door::PeerDoor;
pub use self::mailbox::{Inbox, Mailbox, mailbox};
