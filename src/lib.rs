//! drave: a streaming broker that speaks the Kafka wire protocol.
//!
//! Modules in reading order, ground floor last; each may use only those below it.

pub mod cli;
pub mod node;

pub mod http;
pub mod server;

pub mod coordinator;

pub mod controller;
pub mod replica;

pub mod cluster;

pub mod clock;
pub mod config;
pub mod oracle;
pub mod random;
pub mod tasks;
pub mod telemetry;
