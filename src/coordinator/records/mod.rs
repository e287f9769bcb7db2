//! What `__consumer_offsets` holds: each record's key and value, byte for byte as Kafka writes them.

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRecord {}
