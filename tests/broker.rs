//! Each API against one node, bytes to bytes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::missing_panics_doc,
    clippy::wildcard_enum_match_arm,
    clippy::needless_pass_by_value,
    clippy::doc_markdown,
    clippy::too_many_lines,
    reason = "a test stops at what it did not expect, and is no part of a node"
)]

mod support;

mod broker {
    mod administration;
    mod api_versions;
    mod compression;
    mod consumer_groups;
    mod delete_records;
    mod description;
    mod fetch;
    mod fetch_sessions;
    mod group_configs;
    mod group_offsets;
    mod groups;
    mod metadata;
    mod offsets;
    mod offsets_topic;
    mod order;
    mod produce;
    mod producer_ids;
    mod quotas;
    mod silence;
    mod topics;
    mod transactions;
    mod what_tools_ask;

    use drave_protocol::api::ApiKey;

    use crate::support::cluster::Cluster;
    use crate::support::wire::Wire;

    /// One node with these topics of one partition, and a connection to it.
    #[track_caller]
    fn node_with(topics: &[&str]) -> (Cluster, Wire) {
        let mut cluster = Cluster::start(1);
        for topic in topics {
            cluster.create_topic(topic, 1, 1, &[]);
        }
        let wire = cluster.wire(1);
        (cluster, wire)
    }

    /// Every version of an API that can be asked in.
    fn versions(key: ApiKey) -> std::ops::RangeInclusive<i16> {
        let (first, last) = key.api().decode_versions;
        first..=last
    }
}
