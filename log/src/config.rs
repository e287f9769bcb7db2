//! What one log is told about sizes and time; the broker's and topic's settings are read above.

use drave_protocol::record::attributes::TimestampType;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Positions in an offset index are 31 bits, so no segment is larger.
pub const SEGMENT_BYTES_LIMIT: u64 = 0x7fff_ffff;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Size at which the active segment is rolled; one batch may exceed it.
    pub segment_bytes: u64,
    /// Bytes of batches between two entries of the offset index.
    pub index_interval_bytes: u64,
    /// Size at which a full offset index rolls its segment.
    pub segment_index_bytes: u64,
    /// Largest batch a client may append.
    pub message_bytes_max: usize,
    pub timestamp_type: TimestampType,
    /// How far a record's time may lie before the broker's.
    pub timestamp_before_max_ms: i64,
    /// How far a record's time may lie after the broker's.
    pub timestamp_after_max_ms: i64,
    pub keys: Keys,
}

/// Whether records must carry a key: on compacted topics one without can never be replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keys {
    #[default]
    Optional,
    Required,
}

impl Default for LogConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            segment_bytes: 1024 * MIB,
            index_interval_bytes: 4 * KIB,
            segment_index_bytes: 10 * MIB,
            message_bytes_max: 1_048_588,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            keys: Keys::Optional,
        }
    }
}
