//! What nodes say to each other on the controller listener: raft, joining, and the application's
//! own requests.
//!
//! A connection carries length-prefixed frames: first a `Hello` and its `Welcome`, then requests,
//! answered in any order. Heartbeats, entries and snapshots to one peer travel on connections of
//! their own, so that a large transfer never delays a heartbeat.

pub(crate) mod connection;
pub(crate) mod frame;
pub(crate) mod links;
pub(crate) mod openraft_network;
pub(crate) mod receiving;
pub(crate) mod rpc;
pub(crate) mod server;
