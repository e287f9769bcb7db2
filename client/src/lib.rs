//! A native Kafka client: connections, metadata, administration. Usable without the broker.
//!
//! `network/` knows frames, versions and correlation ids and nothing of topics; brokers use it to
//! fetch from each other. `admin` is what the command line speaks through.

pub mod admin;
pub mod alteration;
pub mod error;
pub mod metadata;
pub mod network;

pub use admin::Admin;
pub use error::ClientError;
pub use network::connection::Connection;
pub use network::pool::Pool;
