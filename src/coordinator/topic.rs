//! `__consumer_offsets`: how it comes into being, and which of its partitions a group is in.

use drave_raft::image::TopicImage;

use crate::cluster::ClusterView;
use crate::cluster::rpc::CreateTopic;
use crate::config::BrokerConfig;

/// Where groups and their offsets are kept.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// Below this many replicas it would be lost with a node.
const MIN_ISR: i16 = 2;

/// The topic as it is to be created while `view` is what there is.
pub fn offsets_topic(config: &BrokerConfig, view: &ClusterView) -> CreateTopic {
    let n_live = i16::try_from(view.live_brokers().count()).unwrap_or(i16::MAX);
    let factor = config.offsets_topic_replication_factor.min(n_live).max(1);
    let set = |name: &str, value: String| (name.to_owned(), value);
    CreateTopic {
        name: OFFSETS_TOPIC.to_owned(),
        n_partitions: Some(config.offsets_topic_num_partitions),
        replication_factor: Some(factor),
        assignments: Vec::new(),
        configs: vec![
            set("cleanup.policy", "compact".to_owned()),
            set("compression.type", compression(config).to_owned()),
            set(
                "segment.bytes",
                config.offsets_topic_segment_bytes.to_string(),
            ),
            set("min.insync.replicas", MIN_ISR.min(factor).to_string()),
        ],
    }
}

/// Kafka's numbers of codecs. Where there is none batches stay as they are appended, and so does what Kafka's
/// administrators wrote there.
fn compression(config: &BrokerConfig) -> &'static str {
    match config.offsets_topic_compression_codec {
        1 => "gzip",
        2 => "snappy",
        3 => "lz4",
        4 => "zstd",
        _ => "producer",
    }
}

/// The partition `group_id` is in, as Kafka finds it: clients of both find the same.
pub fn partition_of(group_id: &str, topic: &TopicImage) -> i32 {
    let n_partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    (java_hash(group_id) & i32::MAX) % n_partitions.max(1)
}

/// Java's `String.hashCode`, over UTF-16.
fn java_hash(text: &str) -> i32 {
    let step = |hash: i32, unit: u16| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
    text.encode_utf16().fold(0, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_javas() {
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("hello"), 99_162_322);
        assert_eq!(java_hash("console-consumer-12345"), 158_455_506);
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        assert_eq!(java_hash("grüße"), 98_768_023);
        assert_eq!(java_hash("g😀"), 1_871_882, "over UTF-16, not over bytes");
    }
}
