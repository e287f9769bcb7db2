//! Configuration: every key declared once, as data.
//!
//! - [`define`] the macro, and what it makes of a row: key, settings, source
//! - [`value`] how a value is read from and shown as text
//! - [`broker`] the keys of a node; [`topic`] the keys of a topic; [`group`] the keys of a group
//! - `throttled` which replicas copy at a bounded pace
//! - [`listener`] addresses to bind and to advertise; [`resolve`] keys that depend on others
//! - [`properties`] Java's properties files; [`load`] defaults < file < environment < `--set`
//! - [`quotas`] what quotas count, and what their limits may be
//! - [`kafka_names`] what Kafka knows and drave has no use for
//! - [`dynamic`] what the cluster agreed on, over what a node was started with
//! - [`describe`] the tables as answers to `DescribeConfigs` and as `docs/configs.md`

pub mod broker;
pub mod define;
pub mod describe;
pub mod dynamic;
pub mod error;
pub mod group;
mod kafka_names;
pub mod listener;
pub mod load;
mod properties;
pub mod quotas;
mod resolve;
mod throttled;
pub mod topic;
pub mod value;

pub use self::broker::BrokerConfig;
pub use self::error::ConfigError;
pub use self::group::GroupConfig;
pub use self::listener::Listener;
pub use self::throttled::ThrottledReplicas;
pub use self::topic::TopicConfig;
pub use self::value::{
    CleanupPolicy, CompressionType, FlushMode, MigrationPolicy, ReplicaSelector, Roles,
    TimestampType,
};
