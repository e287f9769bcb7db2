//! APIs by which a client finds its way: what is served, by whom, where.

pub(crate) mod api_versions;
pub(crate) mod auto_creation;
pub(crate) mod describe_cluster;
pub(crate) mod describe_topic_partitions;
pub(crate) mod find_coordinator;
pub(crate) mod metadata;
#[cfg(test)]
mod metadata_test;
pub(crate) mod operations;
pub(crate) mod update_features;
