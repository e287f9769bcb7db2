//! A native Kafka client: connections, metadata, administration. Usable without the broker.
//!
//! `network/` knows frames, versions and correlation ids and nothing of topics; brokers use it to
//! fetch from each other. `admin` is what the command line speaks through. `leaders` knows who leads the
//! partitions of a topic, and `raw` speaks to a leader: batches as they are, answers as they are.

pub mod admin;
pub mod alteration;
pub mod error;
pub mod groups;
pub mod leaders;
pub mod metadata;
pub mod network;
pub mod quorum;
pub mod raw;
pub mod reassignment;

pub use admin::Admin;
pub use error::ClientError;
pub use leaders::{Leader, Leaders};
pub use network::connection::{Connection, Posted};
pub use network::pool::Pool;
