//! What the tests of whole nodes stand on: real processes on ports of this machine, and the clients
//! that talk to them.
//!
//! Promises: nothing a test started outlives it; what a failed test left on disk stays there and its
//! last words are printed; nobody sleeps where a condition can be waited for.
#![allow(
    dead_code,
    reason = "shared by several test programs, and each uses a part of it"
)]

pub(crate) mod administration;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod command;
pub(crate) mod disk;
pub(crate) mod drave;
pub(crate) mod groups;
pub(crate) mod hostile;
pub(crate) mod http;
pub(crate) mod java;
pub(crate) mod kcat;
pub(crate) mod librdkafka;
pub(crate) mod lines;
pub(crate) mod node;
pub(crate) mod ports;
pub(crate) mod python;
pub(crate) mod questions;
pub(crate) mod segments;
pub(crate) mod shared_topic;
pub(crate) mod steady;
pub(crate) mod wait;
pub(crate) mod wire;
