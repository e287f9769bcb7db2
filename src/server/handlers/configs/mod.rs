//! APIs about configuration.

pub(crate) mod alter;
pub(crate) mod client_quotas;
pub(crate) mod describe_configs;
pub(crate) mod list_resources;
mod resource;
