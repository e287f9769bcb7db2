//! What one log is told about sizes and time; the broker's and topic's settings are read above.

use drave_protocol::record::attributes::{Compression, TimestampType};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Positions in an offset index are 31 bits, so no segment is larger.
pub const SEGMENT_BYTES_LIMIT: u64 = 0x7fff_ffff;

/// Times are milliseconds, and of the wall clock: the caller says what time it is.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// Size at which the active segment is rolled; one batch may exceed it.
    pub segment_bytes: u64,
    /// Age at which the active segment is rolled.
    pub segment_ms: i64,
    /// By at most this much earlier, so that not all logs roll at once.
    pub segment_jitter_ms: i64,
    /// Bytes of batches between two entries of the offset index.
    pub index_interval_bytes: u64,
    /// Size at which a full index rolls its segment.
    pub segment_index_bytes: u64,
    /// Largest batch a client may append.
    pub message_bytes_max: usize,
    pub timestamp_type: TimestampType,
    /// How far a record's time may lie before the broker's.
    pub timestamp_before_max_ms: i64,
    /// How far a record's time may lie after the broker's.
    pub timestamp_after_max_ms: i64,
    pub compression: TargetCompression,
    pub cleanup: CleanupPolicy,
    /// Age beyond which records may be deleted; `None` is never.
    pub retention_ms: Option<i64>,
    /// Size beyond which the oldest records may be deleted; `None` is no limit.
    pub retention_bytes: Option<u64>,
    /// How long the mark of a deleted key outlives the compaction that found it.
    pub delete_retention_ms: i64,
    /// A record younger than this is not compacted.
    pub min_compaction_lag_ms: i64,
    /// A record is compacted at the latest when it is this old.
    pub max_compaction_lag_ms: i64,
    /// Share of the log that must be new since the last compaction before the next one.
    pub min_cleanable_dirty_ratio: f64,
    /// A producer silent for this long is forgotten.
    pub producer_id_expiration_ms: i64,
}

impl LogConfig {
    /// Age at which the active segment is rolled: in time to be compacted, for only what is sealed is.
    pub fn segment_age_max_ms(&self) -> i64 {
        if self.cleanup.compact {
            self.segment_ms.min(self.max_compaction_lag_ms)
        } else {
            self.segment_ms
        }
    }
}

/// How batches lie in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetCompression {
    /// As the producer sent them.
    #[default]
    Producer,
    /// With this codec, whatever the producer chose.
    Codec {
        compression: Compression,
        /// In the codec's own scale; of no meaning for those that have none.
        level: i32,
    },
}

/// What happens to records that grow old. Neither: they stay for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    pub delete: bool,
    /// The last record of each key is kept; records need a key.
    pub compact: bool,
}

impl Default for LogConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            segment_bytes: 1024 * MIB,
            segment_ms: 7 * DAY_MS,
            segment_jitter_ms: 0,
            index_interval_bytes: 4 * KIB,
            segment_index_bytes: 10 * MIB,
            message_bytes_max: 1_048_588,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: HOUR_MS,
            compression: TargetCompression::Producer,
            cleanup: CleanupPolicy {
                delete: true,
                compact: false,
            },
            retention_ms: Some(7 * DAY_MS),
            retention_bytes: None,
            delete_retention_ms: DAY_MS,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            min_cleanable_dirty_ratio: 0.5,
            producer_id_expiration_ms: DAY_MS,
        }
    }
}
