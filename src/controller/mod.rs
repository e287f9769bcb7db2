//! The cluster's one decider, active on the node that leads the metadata quorum.
//!
//! - `decision` — what deciding yields: records to agree on, and an answer for when they are.
//! - `election` — who leads, who is in sync, who may lead later. `isr` — a leader's proposals judged.
//! - `brokers` — registration, heartbeats, fencing. `fencing` — who was heard when.
//! - `topics`, `placement` — creation and deletion. `balance` — leaderships brought home.

pub mod balance;
mod batch;
pub mod brokers;
pub mod decision;
pub mod election;
pub mod fencing;
pub mod isr;
pub mod placement;
pub mod reign;
pub mod topics;

#[cfg(test)]
mod test_cluster;
