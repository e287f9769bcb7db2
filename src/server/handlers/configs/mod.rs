//! APIs about configuration.

pub(crate) mod describe_configs;
