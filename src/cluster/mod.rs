//! This node's relations with the cluster: what it knows, what it asks, and how it proves it lives.
//!
//! - `rpc` — the requests nodes send each other over the peer port, and their bytes.
//! - `view` — questions about the agreed image, asked alike by every door.
//! - `metadata` — a handle on the newest image, with a notification when it changes.
//! - `controller_link` — typed calls to the active controller.
//! - `registration` — this broker's half of liveness: register, heartbeat, lease.
//!
//! Nothing here decides anything for the cluster: decisions are `controller/`'s alone.

pub mod metadata;
pub mod rpc;
pub mod view;
