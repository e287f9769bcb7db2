//! Keys that change while nodes run: what the cluster agreed on, laid over what a node was started with.
//!
//! Weakest first: default, file, environment, command line, agreed for all brokers, agreed for this one.

use std::collections::BTreeMap;

use thiserror::Error;
use tracing::warn;

use crate::config::broker::BrokerConfig;
use crate::config::define::{Key, Scope, Settings, Source};
use crate::config::error::ConfigError;
use crate::config::kafka_names;

/// Agreed entries of one resource.
pub type Entries = BTreeMap<String, String>;

/// Far above what any key needs; a list of throttled replicas is the longest.
pub const VALUE_BYTES_MAX: usize = 256 * 1024;

/// For whom an entry would hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    OneBroker,
    EveryBroker,
}

/// Why an entry cannot be agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DynamicError {
    #[error(transparent)]
    Invalid(#[from] ConfigError),
    #[error("{0} is read when a node starts: set it in its file and restart it")]
    ReadOnly(String),
    #[error("{0} holds for every broker alike: set it for the cluster")]
    ClusterWide(String),
    #[error("drave has no use for {0}, so it cannot be changed")]
    NoUse(String),
}

impl BrokerConfig {
    /// What is in force on this node, which was started with `self`. An entry that does not read (written
    /// by a later version, or by hand) is passed over.
    #[must_use]
    pub fn under(&self, cluster: &Entries, own: &Entries) -> Self {
        let mut settings = self.settings().clone();
        for key in Self::KEYS {
            let of_broker = match key.scope {
                Scope::Broker => own.get(key.name),
                Scope::ReadOnly | Scope::Cluster | Scope::Topic | Scope::Group => None,
            };
            let of_cluster = cluster.get(key.name).filter(|_| is_dynamic(key));
            let agreed = of_broker
                .map(|it| (it, Source::Broker))
                .or(of_cluster.map(|it| (it, Source::Cluster)));
            if let Some((text, source)) = agreed {
                settings.set(key.name, text.trim().to_owned(), source);
            }
        }
        self.with(settings)
    }

    fn with(&self, mut settings: Settings) -> Self {
        let mut config = self.clone();
        while let Err(error) = config.read_again(settings.clone()) {
            warn!(%error, "agreed config ignored");
            let key = Self::KEYS.iter().find(|it| error.key() == Some(it.name));
            let Some(key) = key else { return self.clone() };
            // What the node was started with did read, so each round mends one key.
            match self.settings().get(key.name) {
                Some(it) => settings.set(key.name, it.text.clone(), it.source),
                None => drop(settings.remove(key.name)),
            }
        }
        config
    }

    /// Checks what is to be agreed on for one broker or for all.
    pub fn validate_dynamic(entries: &Entries, reach: Reach) -> Result<(), DynamicError> {
        let mut settings = Settings::default();
        for (name, text) in entries {
            let key = find(name)?;
            match (key.scope, reach) {
                (Scope::ReadOnly | Scope::Topic | Scope::Group, _) => {
                    return Err(DynamicError::ReadOnly(name.clone()));
                }
                (Scope::Cluster, Reach::OneBroker) => {
                    return Err(DynamicError::ClusterWide(name.clone()));
                }
                (Scope::Cluster | Scope::Broker, _) => {}
            }
            check_length(key.name, text)?;
            settings.set(key.name, text.trim().to_owned(), Source::Cluster);
        }
        Self::read_alone(settings)?;
        Ok(())
    }
}

fn is_dynamic(key: &Key) -> bool {
    match key.scope {
        Scope::Broker | Scope::Cluster => true,
        Scope::ReadOnly | Scope::Topic | Scope::Group => false,
    }
}

fn find(name: &str) -> Result<&'static Key, DynamicError> {
    if let Some(key) = BrokerConfig::KEYS.iter().find(|it| it.name == name) {
        return Ok(key);
    }
    let mut synonyms = BrokerConfig::KEYS.iter().flat_map(|it| it.synonyms);
    if synonyms.any(|it| it.name == name) {
        return Err(DynamicError::ReadOnly(name.to_owned()));
    }
    if kafka_names::is_broker_name(name) {
        return Err(DynamicError::NoUse(name.to_owned()));
    }
    let dynamic = BrokerConfig::KEYS.iter().filter(|it| is_dynamic(it));
    Err(DynamicError::Invalid(ConfigError::Unknown {
        place: "broker config".to_owned(),
        name: name.to_owned(),
        nearest: kafka_names::nearest(name, dynamic.map(|it| it.name)),
    }))
}

/// Refuses what would not fit a record of the metadata log.
pub(super) fn check_length(name: &'static str, text: &str) -> Result<(), ConfigError> {
    if text.len() <= VALUE_BYTES_MAX {
        return Ok(());
    }
    let shown: String = text.chars().take(20).collect();
    let reason = format!(
        "{} bytes are more than the {VALUE_BYTES_MAX} allowed",
        text.len()
    );
    Err(ConfigError::invalid(name, &format!("{shown}…"), reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(pairs: &[(&str, &str)]) -> Entries {
        let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        pairs.iter().map(own).collect()
    }

    fn started_with(pairs: &[(&'static str, &'static str)]) -> BrokerConfig {
        BrokerConfig::from_pairs(pairs.iter().copied()).unwrap()
    }

    #[test]
    fn what_is_agreed_for_a_broker_comes_before_what_is_agreed_for_all() {
        let started = started_with(&[("log.retention.ms", "1"), ("message.max.bytes", "2000")]);
        let cluster = entries(&[("log.retention.ms", "2"), ("log.segment.bytes", "2000000")]);
        let own = entries(&[("log.retention.ms", "3"), ("min.insync.replicas", "9")]);
        let config = started.under(&cluster, &own);
        assert_eq!(config.log_retention.unwrap().as_millis(), 3);
        assert_eq!(config.log_segment_bytes, 2_000_000);
        assert_eq!(config.message_max_bytes, 2000);
        assert_eq!(config.min_insync_replicas, 2, "no broker has its own");
        let source = |name| config.settings().get(name).unwrap().source.number();
        assert_eq!(source("log.retention.ms"), 2);
        assert_eq!(source("log.segment.bytes"), 3);
        assert_eq!(source("message.max.bytes"), 4);
        assert_eq!(started.under(&Entries::new(), &Entries::new()), started);
    }

    #[test]
    fn what_cannot_change_stays_and_what_does_not_read_is_passed_over() {
        let started = started_with(&[("log.segment.bytes", "2097152")]);
        let cluster = entries(&[
            ("node.id", "7"),
            ("log.segment.bytes", "huge"),
            ("log.retention.bytes", "many"),
            ("message.max.bytes", "99"),
        ]);
        let config = started.under(&cluster, &Entries::new());
        assert_eq!(config.node_id, started.node_id);
        assert_eq!(config.log_segment_bytes, 2_097_152);
        assert_eq!(config.log_retention_bytes, None);
        assert_eq!(config.message_max_bytes, 99);
    }

    /// What operators may rely on: a key that leaves this list breaks their scripts.
    #[test]
    fn these_keys_change_while_a_node_runs() {
        let of = |scope: Scope| {
            let keys = BrokerConfig::KEYS.iter().filter(|it| it.scope == scope);
            let mut names: Vec<&str> = keys.map(|it| it.name).collect();
            names.sort_unstable();
            names
        };
        let of_a_broker_or_of_all = [
            "compression.gzip.level",
            "compression.lz4.level",
            "compression.type",
            "compression.zstd.level",
            "follower.replication.throttled.rate",
            "leader.replication.throttled.rate",
            "log.cleaner.delete.retention.ms",
            "log.cleaner.max.compaction.lag.ms",
            "log.cleaner.min.cleanable.ratio",
            "log.cleaner.min.compaction.lag.ms",
            "log.cleanup.policy",
            "log.index.interval.bytes",
            "log.index.size.max.bytes",
            "log.message.timestamp.after.max.ms",
            "log.message.timestamp.before.max.ms",
            "log.message.timestamp.type",
            "log.retention.bytes",
            "log.retention.ms",
            "log.roll.jitter.ms",
            "log.roll.ms",
            "log.segment.bytes",
            "message.max.bytes",
        ];
        assert_eq!(of(Scope::Broker), of_a_broker_or_of_all);
        let of_all = ["min.insync.replicas", "unclean.leader.election.enable"];
        assert_eq!(of(Scope::Cluster), of_all);
    }

    #[test]
    fn a_refusal_says_what_to_do_instead() {
        let check = |name: &str, text: &str, reach| {
            BrokerConfig::validate_dynamic(&entries(&[(name, text)]), reach)
        };
        let all = Reach::EveryBroker;
        assert_eq!(check("log.retention.ms", "5", Reach::OneBroker), Ok(()));
        assert_eq!(check("min.insync.replicas", "3", all), Ok(()));
        let refused = |name, text, reach| check(name, text, reach).unwrap_err().to_string();
        assert!(refused("log.retention.mss", "1", all).contains("\"log.retention.ms\""));
        assert!(refused("log.retention.ms", "x", all).contains("expected"));
        assert!(refused("node.id", "1", all).contains("restart"));
        assert!(refused("log.retention.hours", "1", all).contains("restart"));
        assert!(refused("num.io.threads", "1", all).contains("no use"));
        assert!(refused("min.insync.replicas", "1", Reach::OneBroker).contains("cluster"));
        let long = "1".repeat(VALUE_BYTES_MAX + 1);
        assert!(refused("log.retention.ms", &long, all).contains("bytes"));
    }
}
