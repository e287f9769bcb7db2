//! Three real processes and real clients: what survives the death of a node.
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

mod cluster {
    mod bit_rot;
    mod catch_up;
    mod codecs_and_clients;
    mod compaction;
    mod consumer_groups;
    mod controller_dies;
    mod deleted_records;
    mod deleted_topic;
    mod failover;
    mod file_through_kcat;
    mod file_through_librdkafka;
    mod full_disk;
    mod group_churn;
    mod group_commit;
    mod groups;
    mod hostile_input;
    mod idempotence;
    mod idempotent_producers;
    mod identity;
    mod kafka_tools;
    mod log_dirs;
    mod lone_node;
    mod lost_log;
    mod many_groups;
    mod nearest_replica;
    mod node_operations;
    mod paused_leader;
    mod preferred_leaders;
    mod producer_ids;
    mod quorum_dies;
    mod reassignment;
    mod restart;
    mod retention;
    mod rolling_restart;
    mod storm;
    mod topic_churn;
    mod unclean_election;
    mod verify;
}
