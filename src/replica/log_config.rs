//! What a topic's configuration means to the logs of its partitions.

use std::time::Duration;

use drave_log::LogConfig;
use drave_log::config::{CleanupPolicy, TargetCompression};
use drave_protocol::record::attributes;
use drave_protocol::record::attributes::Compression;

use crate::config::{BrokerConfig, CompressionType, TimestampType, TopicConfig};

pub(super) fn log_config(config: &TopicConfig, broker: &BrokerConfig) -> LogConfig {
    LogConfig {
        segment_bytes: config.segment_bytes,
        segment_ms: millis(config.segment_age_max),
        segment_jitter_ms: millis(config.segment_jitter),
        index_interval_bytes: config.index_interval_bytes,
        segment_index_bytes: config.segment_index_bytes,
        message_bytes_max: config.max_message_bytes,
        timestamp_type: match config.message_timestamp_type {
            TimestampType::CreateTime => attributes::TimestampType::CreateTime,
            TimestampType::LogAppendTime => attributes::TimestampType::LogAppendTime,
        },
        timestamp_before_max_ms: millis(config.message_timestamp_before_max),
        timestamp_after_max_ms: millis(config.message_timestamp_after_max),
        compression: compression(config),
        cleanup: CleanupPolicy {
            delete: config.cleanup_policy.delete,
            compact: config.cleanup_policy.compact,
        },
        retention_ms: config.retention.map(millis),
        retention_bytes: config.retention_bytes,
        delete_retention_ms: millis(config.delete_retention),
        min_compaction_lag_ms: millis(config.min_compaction_lag),
        max_compaction_lag_ms: millis(config.max_compaction_lag),
        min_cleanable_dirty_ratio: config.min_cleanable_dirty_ratio,
        producer_id_expiration_ms: millis(broker.producer_id_expiration),
    }
}

/// Milliseconds as the log counts them; a config value fits, see its parser.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn compression(config: &TopicConfig) -> TargetCompression {
    let (compression, level) = match config.compression_type {
        CompressionType::Producer => return TargetCompression::Producer,
        CompressionType::Uncompressed => (Compression::None, 0),
        CompressionType::Gzip => (Compression::Gzip, config.compression_gzip_level),
        CompressionType::Snappy => (Compression::Snappy, 0),
        CompressionType::Lz4 => (Compression::Lz4, config.compression_lz4_level),
        CompressionType::Zstd => (Compression::Zstd, config.compression_zstd_level),
    };
    TargetCompression::Codec { compression, level }
}
