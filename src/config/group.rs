//! The keys of a group of the consumer protocol. What a group does not override comes from the broker key named
//! as its synonym; whatever it says stays within the bounds of the broker.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use tracing::warn;

use crate::config::broker::BrokerConfig;
use crate::config::define::{Key, Setting, Settings, Source, configs};
use crate::config::dynamic::{DynamicError, check_length};
use crate::config::error::ConfigError;
use crate::config::kafka_names;
use crate::config::value::ConfigValue;

/// Kinds of groups that Kafka has and drave has not; their keys begin so.
const OF_OTHER_GROUPS: [&str; 2] = ["share.", "streams."];

configs! {
    /// What is in force for one group.
    pub struct GroupConfig {
        /// How often members of the group are told to make themselves heard. From
        /// `group.consumer.min.heartbeat.interval.ms` to `group.consumer.max.heartbeat.interval.ms`.
        "consumer.heartbeat.interval.ms" => heartbeat_interval: Duration = "5000", Group,
            check "1 or more": |it| !it.is_zero(), synonym "group.consumer.heartbeat.interval.ms";
        /// After this long without a heartbeat a member of the group is gone. From
        /// `group.consumer.min.session.timeout.ms` to `group.consumer.max.session.timeout.ms`, and longer than
        /// the heartbeat interval.
        "consumer.session.timeout.ms" => session_timeout: Duration = "45000", Group,
            check "1 or more": |it| !it.is_zero(), synonym "group.consumer.session.timeout.ms";
    }
    derived {}
}

impl GroupConfig {
    /// What is in force for a group with these overrides on this broker. An override that does not read falls
    /// back to the broker's value; for one outside of bounds that moved since, the nearest within holds.
    ///
    /// # Panics
    /// When the broker's own values do not read, which its start rules out.
    pub fn effective(broker: &BrokerConfig, overrides: &BTreeMap<String, String>) -> Self {
        let mut settings = Settings::default();
        for (key, bounds) in Self::KEYS.iter().zip(bounds(broker)) {
            let own = overrides
                .get(key.name)
                .and_then(|it| within(key, it, &bounds));
            if let Some(value) = own {
                settings.set(key.name, shown(value), Source::Group);
            } else if let Some(inherited) = inherited(broker, key) {
                settings.set(key.name, inherited.text.clone(), inherited.source);
            }
        }
        Self::read(settings).expect("a broker's values are checked when it starts")
    }

    /// Checks all that is to be agreed on for a group, with what the broker gives where it says nothing.
    pub fn validate(
        broker: &BrokerConfig,
        overrides: &BTreeMap<String, String>,
    ) -> Result<(), DynamicError> {
        let mut settings = Settings::default();
        for key in Self::KEYS {
            if let Some(inherited) = inherited(broker, key) {
                settings.set(key.name, inherited.text.clone(), inherited.source);
            }
        }
        for (name, text) in overrides {
            let key = find(name)?;
            check_length(key.name, text)?;
            settings.set(key.name, text.trim().to_owned(), Source::Group);
        }
        let config = Self::read(settings)?;
        let names = [
            "consumer.heartbeat.interval.ms",
            "consumer.session.timeout.ms",
        ];
        check(
            broker,
            names,
            [config.heartbeat_interval, config.session_timeout],
        )?;
        Ok(())
    }
}

impl BrokerConfig {
    /// Whether what groups are given lies within the bounds for it.
    pub(super) fn check_group_bounds(&self) -> Result<(), ConfigError> {
        let names = [
            "group.consumer.heartbeat.interval.ms",
            "group.consumer.session.timeout.ms",
        ];
        let heartbeat = self.group_consumer_heartbeat_interval;
        check(
            self,
            names,
            [heartbeat, self.group_consumer_session_timeout],
        )
    }
}

/// Of heartbeat interval and session timeout, the order of the keys.
fn bounds(broker: &BrokerConfig) -> [RangeInclusive<Duration>; 2] {
    [
        broker.group_consumer_min_heartbeat_interval..=broker.group_consumer_max_heartbeat_interval,
        broker.group_consumer_min_session_timeout..=broker.group_consumer_max_session_timeout,
    ]
}

fn check(
    broker: &BrokerConfig,
    names: [&'static str; 2],
    values: [Duration; 2],
) -> Result<(), ConfigError> {
    for ((name, value), bounds) in names.iter().zip(values).zip(bounds(broker)) {
        if !bounds.contains(&value) {
            let (least, most) = (bounds.start().as_millis(), bounds.end().as_millis());
            let reason = format!(
                "must be from {least} to {most}, the bounds in group.consumer.min… and group.consumer.max…"
            );
            return Err(ConfigError::invalid(name, &shown(value), reason));
        }
    }
    let ([_, name], [heartbeat, session]) = (names, values);
    if session <= heartbeat {
        let heartbeat = heartbeat.as_millis();
        let reason = format!("must be longer than the heartbeat interval, {heartbeat}");
        return Err(ConfigError::invalid(name, &shown(session), reason));
    }
    Ok(())
}

fn within(key: &Key, text: &str, bounds: &RangeInclusive<Duration>) -> Option<Duration> {
    match Duration::parse(text.trim()) {
        Ok(value) => Some(value.max(*bounds.start()).min(*bounds.end())),
        Err(error) => {
            warn!(name = key.name, %error, "group config ignored");
            None
        }
    }
}

fn inherited<'a>(broker: &'a BrokerConfig, key: &Key) -> Option<&'a Setting> {
    let synonym = key.synonyms.first()?;
    broker.settings().get(synonym.name)
}

fn find(name: &str) -> Result<&'static Key, DynamicError> {
    if let Some(key) = GroupConfig::KEYS.iter().find(|it| it.name == name) {
        return Ok(key);
    }
    if OF_OTHER_GROUPS.iter().any(|it| name.starts_with(it)) {
        return Err(DynamicError::NoUse(name.to_owned()));
    }
    Err(DynamicError::Invalid(ConfigError::Unknown {
        place: "group config".to_owned(),
        name: name.to_owned(),
        nearest: kafka_names::nearest(name, GroupConfig::KEYS.iter().map(|it| it.name)),
    }))
}

fn shown(value: Duration) -> String {
    value.as_millis().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        pairs.iter().map(own).collect()
    }

    fn broker(pairs: &[(&'static str, &'static str)]) -> BrokerConfig {
        BrokerConfig::from_pairs(pairs.iter().copied()).unwrap()
    }

    #[test]
    fn a_group_inherits_the_default_of_the_broker_key_it_names() {
        for key in GroupConfig::KEYS {
            let synonym = key.synonyms.first().unwrap();
            let broker = BrokerConfig::KEYS.iter().find(|it| it.name == synonym.name);
            assert_eq!(broker.unwrap().default, key.default, "{}", key.name);
        }
        let started = broker(&[("group.consumer.session.timeout.ms", "50000")]);
        let group = GroupConfig::effective(&started, &BTreeMap::new());
        assert_eq!(group.session_timeout, Duration::from_secs(50));
        assert_eq!(group.heartbeat_interval, Duration::from_secs(5));
    }

    #[test]
    fn what_a_group_says_stays_within_the_bounds_of_the_broker() {
        let started = broker(&[("group.consumer.max.session.timeout.ms", "50000")]);
        let session = |text: &str| {
            let set = entries(&[("consumer.session.timeout.ms", text)]);
            let effective = GroupConfig::effective(&started, &set);
            effective.session_timeout.as_millis()
        };
        assert_eq!(session("47000"), 47_000);
        assert_eq!(session("1"), 45_000, "the least");
        assert_eq!(session("60000"), 50_000, "the most");
        assert_eq!(session("long"), 45_000, "the broker's");
    }

    #[test]
    fn a_refusal_says_the_bounds_the_order_or_the_nearest_name() {
        let started = broker(&[
            ("group.consumer.min.session.timeout.ms", "3000"),
            ("group.consumer.min.heartbeat.interval.ms", "100"),
        ]);
        let check =
            |name: &str, text: &str| GroupConfig::validate(&started, &entries(&[(name, text)]));
        assert_eq!(check("consumer.session.timeout.ms", "50000"), Ok(()));
        let refused = |name, text| check(name, text).unwrap_err().to_string();
        let (session, bounds) = ("consumer.session.timeout.ms", "from 3000 to 60000");
        assert!(refused(session, "2999").contains(bounds));
        assert!(refused(session, "60001").contains(bounds));
        assert!(refused(session, "4000").contains("interval, 5000"));
        assert!(refused("consumer.heartbeat.interval.ms", "x").contains("expected"));
        let quoted = format!("\"{session}\"");
        assert!(refused("consumer.sesion.timeout.ms", "1").contains(&quoted));
        assert!(refused("share.session.timeout.ms", "1").contains("no use"));
    }

    #[test]
    fn a_broker_does_not_start_with_what_it_would_refuse_a_group() {
        for (name, value) in [
            ("group.consumer.session.timeout.ms", "44999"),
            ("group.consumer.session.timeout.ms", "60001"),
            ("group.consumer.heartbeat.interval.ms", "4999"),
            ("group.consumer.max.heartbeat.interval.ms", "4999"),
        ] {
            let started = BrokerConfig::from_pairs([(name, value)]);
            assert!(started.is_err(), "{name}={value}");
        }
    }
}
