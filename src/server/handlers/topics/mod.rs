//! APIs that change which topics and partitions there are, where they lie, and who leads them; the active
//! controller decides, wherever it is.

pub(crate) mod alter_reassignments;
pub(crate) mod create_partitions;
pub(crate) mod create_topics;
pub(crate) mod delete_topics;
pub(crate) mod describe_log_dirs;
pub(crate) mod elect_leaders;
pub(crate) mod list_reassignments;
