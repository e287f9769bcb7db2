//! The keys of a topic. What a topic does not override comes from the broker key named as its
//! synonym, and the two defaults are the same (a test holds them together).

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::warn;

use crate::config::broker::BrokerConfig;
use crate::config::define::{Key, Setting, Settings, Source, configs};
use crate::config::dynamic::check_length;
use crate::config::error::ConfigError;
use crate::config::kafka_names;
use crate::config::throttled::ThrottledReplicas;
use crate::config::value::{CleanupPolicy, CompressionType, FlushMode, TimestampType};

configs! {
    /// What is in force for one topic.
    pub struct TopicConfig {
        /// Whether old records are deleted, compacted by key, or both.
        "cleanup.policy" => cleanup_policy: CleanupPolicy = "delete", Topic, synonym "log.cleanup.policy";
        /// Level of gzip when the log compresses with it: 1 (quick) to 9 (small), -1 for its own default.
        "compression.gzip.level" => compression_gzip_level: i32 = "-1", Topic,
            check "-1, or from 1 to 9": |it| *it == -1 || (1..=9).contains(it), synonym "compression.gzip.level";
        /// Level of lz4 when the log compresses with it: 1 (quick) to 17 (small).
        "compression.lz4.level" => compression_lz4_level: i32 = "9", Topic,
            check "from 1 to 17": |it| (1..=17).contains(it), synonym "compression.lz4.level";
        /// How batches lie in the log: `producer` keeps them as they came; a codec makes the leader compress
        /// anew what came otherwise.
        "compression.type" => compression_type: CompressionType = "producer", Topic, synonym "compression.type";
        /// Level of zstd when the log compresses with it: -131072 (quick) to 22 (small).
        "compression.zstd.level" => compression_zstd_level: i32 = "3", Topic,
            check "from -131072 to 22": |it| (-131_072..=22).contains(it), synonym "compression.zstd.level";
        /// How long a compacted log keeps the mark of a deleted key, so that readers see that it went.
        "delete.retention.ms" => delete_retention: Duration = "86400000", Topic,
            synonym "log.cleaner.delete.retention.ms";
        /// With `flush.mode=async`: so many records are in the page cache only before they are put on disk. That
        /// goes on in the background; Kafka's append waits for it, as ours does with `flush.mode=commit`.
        "flush.messages" => flush_messages: u64 = "9223372036854775807", Topic,
            check "1 or more": |it| *it >= 1, synonym "log.flush.interval.messages";
        /// When a record counts as stored: `commit` before the ack of `acks=all`, `async` as in Kafka. Ours.
        "flush.mode" => flush_mode: FlushMode = "commit", Topic, synonym "log.flush.mode";
        /// With `flush.mode=async`: so long is a record in the page cache only before it is put on disk.
        "flush.ms" => flush_after: Duration = "5000", Topic, kafka "9223372036854775807",
            synonym "log.flush.interval.ms";
        /// Replicas that are fetched at `follower.replication.throttled.rate`: `partition:broker` with commas, or `*`.
        "follower.replication.throttled.replicas" => follower_replication_throttled_replicas: ThrottledReplicas = "", Topic;
        /// Bytes of records between two entries of the offset index.
        "index.interval.bytes" => index_interval_bytes: u64 = "4096", Topic, synonym "log.index.interval.bytes";
        /// Replicas that are sent at `leader.replication.throttled.rate`: `partition:broker` with commas, or `*`.
        "leader.replication.throttled.replicas" => leader_replication_throttled_replicas: ThrottledReplicas = "", Topic;
        /// Largest batch accepted, with its header, after compression.
        "max.message.bytes" => max_message_bytes: usize = "1048588", Topic, synonym "message.max.bytes";
        /// A record is compacted at the latest when it is this old.
        "max.compaction.lag.ms" => max_compaction_lag: Duration = "9223372036854775807", Topic,
            check "1 or more": |it| !it.is_zero(), synonym "log.cleaner.max.compaction.lag.ms";
        /// How far the time of a record may lie ahead of the broker's.
        "message.timestamp.after.max.ms" => message_timestamp_after_max: Duration = "3600000", Topic,
            synonym "log.message.timestamp.after.max.ms";
        /// How far the time of a record may lie behind the broker's.
        "message.timestamp.before.max.ms" => message_timestamp_before_max: Duration = "9223372036854775807", Topic,
            synonym "log.message.timestamp.before.max.ms";
        /// Whether records keep the time their producer gave, or get the broker's.
        "message.timestamp.type" => message_timestamp_type: TimestampType = "CreateTime", Topic,
            synonym "log.message.timestamp.type";
        /// Share of a compacted log that must be new since the last pass before it is compacted again.
        "min.cleanable.dirty.ratio" => min_cleanable_dirty_ratio: f64 = "0.5", Topic,
            check "from 0 to 1": |it| (0.0..=1.0).contains(it), synonym "log.cleaner.min.cleanable.ratio";
        /// A record younger than this is not compacted.
        "min.compaction.lag.ms" => min_compaction_lag: Duration = "0", Topic,
            synonym "log.cleaner.min.compaction.lag.ms";
        /// In-sync replicas without which `acks=all` is refused; with fewer replicas, all of them.
        "min.insync.replicas" => min_insync_replicas: i32 = "2", Topic, kafka "1",
            check "1 or more": |it| *it >= 1, synonym "min.insync.replicas";
        /// Size of a partition beyond which its oldest records may be deleted. -1: no limit.
        "retention.bytes" => retention_bytes: Option<u64> = "-1", Topic, synonym "log.retention.bytes";
        /// Age beyond which records may be deleted. -1: never.
        "retention.ms" => retention: Option<Duration> = "604800000", Topic, synonym "log.retention.ms";
        /// Size at which the active segment is rolled.
        "segment.bytes" => segment_bytes: u64 = "1073741824", Topic,
            check "from 1048576 to 2147483647": |it| (1_048_576..=2_147_483_647).contains(it),
            synonym "log.segment.bytes";
        /// Largest size of an index file.
        "segment.index.bytes" => segment_index_bytes: u64 = "10485760", Topic,
            check "from 4 to 2147483647": |it| (4..=2_147_483_647).contains(it),
            synonym "log.index.size.max.bytes";
        /// The age at which a segment is rolled is shortened by up to this much, drawn for each, so that not
        /// all partitions roll at once.
        "segment.jitter.ms" => segment_jitter: Duration = "0", Topic, synonym "log.roll.jitter.ms";
        /// Age at which the active segment is rolled.
        "segment.ms" => segment_age_max: Duration = "604800000", Topic,
            check "1 or more": |it| !it.is_zero(), synonym "log.roll.ms";
        /// Whether a replica outside the ISR may lead when no other is left. Acked records may be lost.
        "unclean.leader.election.enable" => unclean_leader_election_enable: bool = "false", Topic,
            synonym "unclean.leader.election.enable";
    }
    derived {}
}

impl TopicConfig {
    /// What is in force for a topic with these overrides on this broker.
    ///
    /// An override that does not read (written by a later version, or by hand) falls back to the
    /// broker's value: one bad override must not take a partition offline.
    ///
    /// # Panics
    /// When the defaults of the table do not read, which a test rules out.
    pub fn effective(broker: &BrokerConfig, overrides: &BTreeMap<String, String>) -> Self {
        let mut settings = Settings::default();
        for key in Self::KEYS {
            if let Some(text) = overrides.get(key.name) {
                settings.set(key.name, text.trim().to_owned(), Source::Topic);
            } else if let Some(inherited) = inherited(broker, key) {
                settings.set(key.name, inherited.text.clone(), inherited.source);
            }
        }
        loop {
            match Self::read(settings.clone()) {
                Ok(config) => return config,
                Err(error) => {
                    warn!(%error, "topic config ignored");
                    let key = Self::KEYS.iter().find(|it| error.key() == Some(it.name));
                    let Some((key, removed)) =
                        key.and_then(|it| Some((it, settings.remove(it.name)?)))
                    else {
                        panic!("the defaults of a topic do not read: {error}");
                    };
                    if let (Source::Topic, Some(inherited)) =
                        (removed.source, inherited(broker, key))
                    {
                        settings.set(key.name, inherited.text.clone(), inherited.source);
                    }
                }
            }
        }
    }

    /// Checks what a client wants to set on a topic. Names of Kafka's without use here are accepted.
    pub fn validate(overrides: &BTreeMap<String, String>) -> Result<(), ConfigError> {
        let mut settings = Settings::default();
        for (name, text) in overrides {
            check_length("topic config", text)?;
            if let Some(key) = Self::KEYS.iter().find(|key| key.name == name) {
                settings.set(key.name, text.trim().to_owned(), Source::Topic);
            } else if !kafka_names::is_topic_name(name) {
                let known = Self::KEYS.iter().map(|key| key.name);
                return Err(ConfigError::Unknown {
                    place: "topic config".to_owned(),
                    name: name.clone(),
                    nearest: kafka_names::nearest(name, known.chain(kafka_names::topic_names())),
                });
            }
        }
        Self::read(settings).map(|_| ())
    }

    /// The smallest ISR with which `acks=all` is served, for a partition of this many replicas.
    pub fn min_isr(&self, n_replicas: usize) -> usize {
        usize::try_from(self.min_insync_replicas)
            .unwrap_or(1)
            .min(n_replicas)
            .max(1)
    }
}

fn inherited<'a>(broker: &'a BrokerConfig, key: &Key) -> Option<&'a Setting> {
    let synonym = key.synonyms.first()?;
    broker.settings().get(synonym.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        pairs.iter().map(own).collect()
    }

    #[test]
    fn a_topic_inherits_the_default_of_the_broker_key_it_names() {
        for key in TopicConfig::KEYS {
            // Which replicas are throttled is said of a topic only.
            let Some(synonym) = key.synonyms.first() else {
                assert!(key.name.ends_with(".throttled.replicas"), "{}", key.name);
                continue;
            };
            let broker = BrokerConfig::KEYS.iter().find(|it| it.name == synonym.name);
            let broker = broker.unwrap_or_else(|| panic!("{} is no broker key", synonym.name));
            assert_eq!(key.default, broker.default, "{}", key.name);
            assert_eq!(key.kind, broker.kind, "{}", key.name);
            assert_eq!(key.dormant, broker.dormant, "{}", key.name);
        }
    }

    #[test]
    fn an_override_beats_the_broker_and_the_broker_beats_the_default() {
        let broker = BrokerConfig::from_pairs([
            ("log.segment.bytes", "2097152"),
            ("min.insync.replicas", "1"),
        ])
        .unwrap();
        let topic = TopicConfig::effective(&broker, &overrides(&[("min.insync.replicas", "3")]));
        assert_eq!(topic.segment_bytes, 2_097_152);
        assert_eq!(topic.min_insync_replicas, 3);
        assert_eq!(topic.flush_mode, FlushMode::Commit);
    }

    #[test]
    fn an_override_that_does_not_read_falls_back() {
        let broker = BrokerConfig::from_pairs([("log.segment.bytes", "2097152")]).unwrap();
        let bad = overrides(&[("segment.bytes", "big"), ("max.message.bytes", "99")]);
        let topic = TopicConfig::effective(&broker, &bad);
        assert_eq!(topic.max_message_bytes, 99);
        assert_eq!(topic.segment_bytes, 2_097_152);
    }

    #[test]
    fn min_isr_never_asks_for_more_than_there_are() {
        let broker = BrokerConfig::from_pairs([]).unwrap();
        let topic = TopicConfig::effective(&broker, &BTreeMap::new());
        assert_eq!([1, 2, 3].map(|n| topic.min_isr(n)), [1, 2, 2]);
    }

    #[test]
    fn a_misspelled_topic_config_is_refused_with_the_nearest() {
        let refusal = TopicConfig::validate(&overrides(&[("retention.mss", "1")])).unwrap_err();
        assert!(
            refusal.to_string().contains("\"retention.ms\""),
            "{refusal}"
        );
        let unused = overrides(&[("preallocate", "true"), ("retention.ms", "5")]);
        assert_eq!(TopicConfig::validate(&unused), Ok(()));
    }
}
