//! APIs about configuration.

pub(crate) mod alter;
pub(crate) mod describe_configs;
mod resource;
