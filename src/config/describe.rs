//! The tables as others see them: answers to `DescribeConfigs`, and the manual in `docs/configs.md`.

use std::fmt::Write;

use crate::config::broker::BrokerConfig;
use crate::config::define::{Key, Scope, Settings, Source};
use crate::config::group::GroupConfig;
use crate::config::topic::TopicConfig;
use crate::config::value::Kind;

/// One key as `DescribeConfigs` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    pub name: &'static str,
    pub value: String,
    pub default: &'static str,
    pub source: Source,
    pub kind: Kind,
    pub read_only: bool,
    pub doc: String,
    /// The broker key a topic's or a group's key inherits from.
    pub inherits: Option<&'static str>,
}

impl Source {
    /// The source on the wire; never renumber: 1 is an override of the topic, 8 one of the group, 2 and 3 what was agreed for this broker and for all, 4 what the broker was started with, 5 the default.
    pub const fn number(self) -> i8 {
        match self {
            Self::Topic => 1,
            Self::Group => 8,
            Self::Broker => 2,
            Self::Cluster => 3,
            Self::File | Self::Environment | Self::CommandLine => 4,
            Self::Default => 5,
        }
    }
}

impl BrokerConfig {
    /// Every key of this node, in the order of the manual.
    pub fn describe(&self) -> Vec<ConfigEntry> {
        describe(Self::KEYS, self.settings(), |_| None)
    }
}

impl TopicConfig {
    /// Every key of this topic, in the order of the manual.
    pub fn describe(&self) -> Vec<ConfigEntry> {
        describe(Self::KEYS, self.settings(), inherited)
    }
}

impl GroupConfig {
    /// Every key of this group, in the order of the manual.
    pub fn describe(&self) -> Vec<ConfigEntry> {
        describe(Self::KEYS, self.settings(), inherited)
    }
}

fn inherited(key: &Key) -> Option<&'static str> {
    key.synonyms.first().map(|it| it.name)
}

fn describe(
    keys: &'static [Key],
    settings: &Settings,
    inherits: fn(&Key) -> Option<&'static str>,
) -> Vec<ConfigEntry> {
    let entry = |key: &'static Key| ConfigEntry {
        name: key.name,
        value: settings.text(key).to_owned(),
        default: key.default,
        source: settings
            .get(key.name)
            .map_or(Source::Default, |it| it.source),
        kind: key.kind,
        read_only: key.scope == Scope::ReadOnly,
        doc: doc(key),
        inherits: inherits(key),
    };
    keys.iter().map(entry).collect()
}

fn doc(key: &Key) -> String {
    let lines: Vec<&str> = key.doc.iter().map(|line| line.trim()).collect();
    lines.join(" ")
}

/// `docs/configs.md`.
pub fn manual() -> String {
    let mut page = String::from(HEAD);
    page.push_str("\n## Of a node\n\nRead once, at the start, unless the key says otherwise.\n");
    section(&mut page, BrokerConfig::KEYS);
    page.push_str("\n## Of a topic\n\nGiven when a topic is created, changed at any time (`drave config`); what is not given comes from the node's key.\n");
    section(&mut page, TopicConfig::KEYS);
    page.push_str("\n## Of a group\n\nOf the consumer protocol (KIP-848). Changed at any time (`drave config`), for groups that are there or not yet; what is not given comes from the node's key.\n");
    section(&mut page, GroupConfig::KEYS);
    page
}

const HEAD: &str = "\
# Configuration

<!-- Generated from src/config by `make docs`; do not edit. -->

Defaults, then the file (`drave start --config server.properties`), then the environment (`DRAVE_` and
the name in upper case with underscores: `DRAVE_LOG_DIRS`), then `--set name=value`, then what the cluster agreed
on for all brokers, then for this one (`drave config`, or Kafka's tools); the later wins.
Times are in milliseconds, sizes in bytes.

The names are Kafka's, and a Kafka `server.properties` works unedited: names that Kafka knows and drave
has no use for are accepted and listed in one line of the log. A name nobody knows is refused with the
nearest one that exists. Keys marked *no effect yet* are accepted, described, and listed in the same line.
";

fn section(page: &mut String, keys: &[Key]) {
    for key in keys {
        page.push_str(&row(key));
    }
}

fn row(key: &Key) -> String {
    let mut text = format!("\n### `{}`\n\n", key.name);
    if key.dormant {
        text.push_str("*No effect yet.* ");
    }
    text.push_str(&doc(key));
    text.push_str("\n\n");
    let mut facts = vec![
        key.kind.name().to_owned(),
        format!("default {}", shown(key.default)),
    ];
    if let Some(kafka) = key.kafka_default {
        facts.push(format!("Kafka's default {}", shown(kafka)));
    }
    if let Some(allowed) = key.allowed {
        facts.push(allowed.to_owned());
    }
    match key.scope {
        Scope::Broker => facts.push("changed at any time, for a broker or for all".to_owned()),
        Scope::Cluster => facts.push("changed at any time, for all brokers alike".to_owned()),
        Scope::ReadOnly | Scope::Topic | Scope::Group => {}
    }
    for synonym in key.synonyms {
        let inherits = matches!(key.scope, Scope::Topic | Scope::Group);
        facts.push(match (inherits, synonym.scale) {
            (true, _) => format!("from the node's `{}`", synonym.name),
            (false, 1) => format!("also `{}`", synonym.name),
            (false, scale) => format!("also `{}` (× {scale})", synonym.name),
        });
    }
    let _ = writeln!(text, "{}", facts.join(" · "));
    text
}

fn shown(default: &str) -> String {
    if default.is_empty() {
        "empty".to_owned()
    } else {
        format!("`{default}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_tells_its_value_and_who_set_it() {
        let config = BrokerConfig::from_pairs([("node.id", "7")]).unwrap();
        let entries = config.describe();
        let find = |name: &str| entries.iter().find(|it| it.name == name).unwrap();
        assert_eq!(find("node.id").value, "7");
        assert_eq!(find("node.id").source.number(), 4);
        assert_eq!(find("num.partitions").source.number(), 5);
        assert_eq!(find("num.partitions").kind.number(), 3);
    }

    #[test]
    fn names_are_declared_once() {
        for keys in [BrokerConfig::KEYS, TopicConfig::KEYS, GroupConfig::KEYS] {
            let mut names: Vec<&str> = keys.iter().map(|it| it.name).collect();
            names.sort_unstable();
            assert!(names.windows(2).all(|it| it[0] != it[1]));
        }
    }
}
