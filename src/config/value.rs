//! How a value is read from text. One type, one spelling: sizes in bytes, times in milliseconds,
//! lists with commas, and -1 or nothing for "no limit", as Kafka writes them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use drave_protocol::ids::NodeId;

/// The type a key has in answers to `DescribeConfigs`. On the wire: never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    String,
    Int,
    Short,
    Long,
    Double,
    List,
}

impl Kind {
    pub const fn number(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::String => 2,
            Self::Int => 3,
            Self::Short => 4,
            Self::Long => 5,
            Self::Double => 6,
            Self::List => 7,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Int => "int",
            Self::Short => "short",
            Self::Long => "long",
            Self::Double => "double",
            Self::List => "list",
        }
    }
}

/// A type a config field may have.
pub trait ConfigValue: Sized {
    const KIND: Kind;

    /// Reads trimmed text; the error says what was expected.
    fn parse(text: &str) -> Result<Self, String>;
}

macro_rules! integers {
    ($($type:ty => $kind:ident),*) => {$(
        impl ConfigValue for $type {
            const KIND: Kind = Kind::$kind;

            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| {
                    format!("expected a whole number from {} to {}", <$type>::MIN, <$type>::MAX)
                })
            }
        }
    )*};
}

integers!(i16 => Short, i32 => Int, i64 => Long, u64 => Long, usize => Int);

impl ConfigValue for bool {
    const KIND: Kind = Kind::Boolean;

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("expected true or false".to_owned()),
        }
    }
}

impl ConfigValue for f64 {
    const KIND: Kind = Kind::Double;

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "expected a number".to_owned())
    }
}

impl ConfigValue for String {
    const KIND: Kind = Kind::String;

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl ConfigValue for Duration {
    const KIND: Kind = Kind::Long;

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .ok()
            .filter(|ms| *ms <= MS_MAX)
            .map(Self::from_millis)
            .ok_or_else(|| "expected milliseconds, a whole number of 0 or more".to_owned())
    }
}

/// Kafka's times are signed 64-bit milliseconds.
const MS_MAX: u64 = 9_223_372_036_854_775_807;

impl ConfigValue for NodeId {
    const KIND: Kind = Kind::Int;

    fn parse(text: &str) -> Result<Self, String> {
        i32::parse(text).map(Self)
    }
}

impl ConfigValue for PathBuf {
    const KIND: Kind = Kind::String;

    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self::from(text))
    }
}

/// Nothing means none.
impl ConfigValue for Option<String> {
    const KIND: Kind = Kind::String;

    fn parse(text: &str) -> Result<Self, String> {
        Ok(Some(text.to_owned()).filter(|it| !it.is_empty()))
    }
}

/// Nothing means none.
impl ConfigValue for Option<PathBuf> {
    const KIND: Kind = Kind::String;

    fn parse(text: &str) -> Result<Self, String> {
        Ok(Some(PathBuf::from(text)).filter(|it| !it.as_os_str().is_empty()))
    }
}

/// -1 means no limit.
impl<T: ConfigValue + Limit> ConfigValue for Option<T> {
    const KIND: Kind = T::KIND;

    fn parse(text: &str) -> Result<Self, String> {
        if text == "-1" {
            return Ok(None);
        }
        T::parse(text)
            .map(Some)
            .map_err(|reason| format!("{reason}, or -1 for no limit"))
    }
}

/// Types for which -1 means "no limit".
pub trait Limit {}
impl Limit for u64 {}
impl Limit for Duration {}

impl ConfigValue for Vec<String> {
    const KIND: Kind = Kind::List;

    fn parse(text: &str) -> Result<Self, String> {
        Ok(items(text).map(str::to_owned).collect())
    }
}

impl ConfigValue for Vec<PathBuf> {
    const KIND: Kind = Kind::List;

    fn parse(text: &str) -> Result<Self, String> {
        let paths: Self = items(text).map(PathBuf::from).collect();
        let distinct: BTreeSet<&PathBuf> = paths.iter().collect();
        if distinct.len() < paths.len() {
            return Err("names a directory twice".to_owned());
        }
        Ok(paths)
    }
}

/// The items of a comma-separated list, without blanks.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|it| !it.is_empty())
}

/// Makes an enum whose values have fixed spellings.
macro_rules! choices {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl ConfigValue for $name {
            const KIND: Kind = Kind::String;

            fn parse(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(format!("expected one of {}", [$($text),+].join(", "))),
                }
            }
        }
    };
}

choices!(
    /// When a record counts as stored.
    FlushMode {
        /// Once it is on the disk: group commit with fsync before the answer.
        Commit = "commit",
        /// Once it is in the page cache, as in Kafka.
        Async = "async"
    }
);
choices!(
    /// Who stamps a record.
    TimestampType {
        CreateTime = "CreateTime",
        LogAppendTime = "LogAppendTime"
    }
);
choices!(
    /// How batches lie in the log.
    CompressionType {
        /// As they came.
        Producer = "producer",
        Uncompressed = "uncompressed",
        Gzip = "gzip",
        Snappy = "snappy",
        Lz4 = "lz4",
        Zstd = "zstd"
    }
);

/// Which replica a consumer is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaSelector {
    Leader,
    /// The leader, or a follower in the consumer's rack when the leader is in another.
    RackAware,
}

impl ConfigValue for ReplicaSelector {
    const KIND: Kind = Kind::String;

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" | "leader" | "org.apache.kafka.common.replica.LeaderSelector" => Ok(Self::Leader),
            "rack-aware" | "org.apache.kafka.common.replica.RackAwareReplicaSelector" => {
                Ok(Self::RackAware)
            }
            _ => Err(
                "expected leader or rack-aware, or the name of Kafka's LeaderSelector or \
                 RackAwareReplicaSelector; other classes cannot be loaded"
                    .to_owned(),
            ),
        }
    }
}

/// Which way a group may change its protocol while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationPolicy {
    Bidirectional,
    /// From the classic to the consumer protocol.
    Upgrade,
    /// From the consumer to the classic protocol.
    Downgrade,
    Disabled,
}

impl ConfigValue for MigrationPolicy {
    const KIND: Kind = Kind::String;

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "bidirectional" => Ok(Self::Bidirectional),
            "upgrade" => Ok(Self::Upgrade),
            "downgrade" => Ok(Self::Downgrade),
            "disabled" => Ok(Self::Disabled),
            _ => Err("expected bidirectional, upgrade, downgrade or disabled".to_owned()),
        }
    }
}

/// What happens to records that grow old: `delete`, `compact`, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    pub delete: bool,
    pub compact: bool,
}

impl ConfigValue for CleanupPolicy {
    const KIND: Kind = Kind::List;

    fn parse(text: &str) -> Result<Self, String> {
        let mut policy = Self {
            delete: false,
            compact: false,
        };
        for item in items(text) {
            match item {
                "delete" => policy.delete = true,
                "compact" => policy.compact = true,
                _ => return Err("expected delete, compact, or both with a comma".to_owned()),
            }
        }
        Ok(policy)
    }
}

/// What a node does: `broker`, `controller`, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    pub broker: bool,
    pub controller: bool,
}

impl ConfigValue for Roles {
    const KIND: Kind = Kind::List;

    fn parse(text: &str) -> Result<Self, String> {
        let expected = || "expected broker, controller, or both with a comma".to_owned();
        let mut roles = Self {
            broker: false,
            controller: false,
        };
        for item in items(text) {
            match item {
                "broker" => roles.broker = true,
                "controller" => roles.controller = true,
                _ => return Err(expected()),
            }
        }
        if roles.broker || roles.controller {
            Ok(roles)
        } else {
            Err(expected())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minus_one_means_no_limit_and_other_negatives_are_refused() {
        assert_eq!(Option::<u64>::parse("-1"), Ok(None));
        assert_eq!(
            Option::<Duration>::parse("5"),
            Ok(Some(Duration::from_millis(5)))
        );
        let refusal = Option::<u64>::parse("-2").unwrap_err();
        assert!(refusal.contains("or -1 for no limit"), "{refusal}");
    }

    #[test]
    fn a_node_has_at_least_one_role() {
        assert!(Roles::parse("").is_err());
        assert!(Roles::parse("broker,zookeeper").is_err());
        let both = Roles::parse("broker, controller").unwrap();
        assert!(both.broker && both.controller);
    }

    #[test]
    fn a_directory_named_twice_is_refused() {
        assert!(Vec::<PathBuf>::parse("/a,/b,/a").is_err());
    }
}
