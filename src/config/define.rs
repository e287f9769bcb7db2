//! The macro behind the config tables, and the rows it makes.
//!
//! A row gives a key's name, field, type, default, scope, documentation, check and synonyms; the
//! struct, the loader, `DescribeConfigs` and the manual all come from it.

use std::collections::BTreeMap;

use crate::config::error::ConfigError;
use crate::config::value::{ConfigValue, Kind};

/// One row of a config table.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub default: &'static str,
    /// Kafka's default, where ours differs.
    pub kafka_default: Option<&'static str>,
    pub scope: Scope,
    pub doc: &'static [&'static str],
    /// The values accepted, in words, where the type alone does not say it.
    pub allowed: Option<&'static str>,
    /// Other names of the same setting, strongest first.
    pub synonyms: &'static [Synonym],
    /// Whether the setting is accepted and described but changes nothing yet.
    pub dormant: bool,
}

/// Another name of a key; a number given under it is multiplied by `scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synonym {
    pub name: &'static str,
    pub scale: i64,
}

/// Who may change a key, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Read once, when the node starts.
    ReadOnly,
    /// At any time, for one broker or for all.
    Broker,
    /// At any time, for all brokers alike.
    Cluster,
    /// Per topic, at any time; a broker key gives the default.
    Topic,
    /// Per group, at any time; a broker key gives the default.
    Group,
}

/// Where a value came from, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    Default,
    File,
    Environment,
    CommandLine,
    /// Agreed for every broker.
    Cluster,
    /// Agreed for this broker.
    Broker,
    Topic,
    Group,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub text: String,
    pub source: Source,
}

/// What was set explicitly, by canonical name. A stronger source replaces a weaker one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    by_name: BTreeMap<&'static str, Setting>,
}

impl Settings {
    pub fn set(&mut self, name: &'static str, text: String, source: Source) {
        self.by_name.insert(name, Setting { text, source });
    }

    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.by_name.get(name)
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Setting> {
        self.by_name.remove(name)
    }

    /// The text in force for `key`.
    pub fn text<'a>(&'a self, key: &Key) -> &'a str {
        self.get(key.name)
            .map_or(key.default, |it| it.text.as_str())
    }

    /// Reads and checks one value; the macro's constructors call it once per row.
    pub(super) fn read<T: ConfigValue>(
        &self,
        key: &Key,
        check: Option<fn(&T) -> bool>,
    ) -> Result<T, ConfigError> {
        let text = self.text(key);
        let refuse = |reason: String| ConfigError::invalid(key.name, text, reason);
        let value = T::parse(text).map_err(refuse)?;
        if check.is_some_and(|is_allowed| !is_allowed(&value)) {
            let allowed = key.allowed.unwrap_or("another value");
            return Err(refuse(format!("must be {allowed}")));
        }
        Ok(value)
    }
}

/// Turns a table of keys into a struct, its `KEYS` and its `read`.
///
/// A row: `"name" => field: Type = "default", Scope;`, with `dormant` after the scope where it has no
/// effect yet, then any of `kafka "default"`, `check "what is accepted": |value| …` and
/// `synonym "other.name"` (`* factor`), in this order.
/// Fields after `derived` have no key: `resolve` fills them.
macro_rules! configs {
    (
        $(#[$struct_doc:meta])*
        pub struct $struct:ident {
            $(
                $(#[doc = $doc:literal])+
                $name:literal => $field:ident: $type:ty = $default:literal, $scope:ident $($dormant:ident)?
                $(, kafka $kafka:literal)?
                $(, check $allowed:literal: $check:expr)?
                $(, synonym $synonym:literal $(* $scale:literal)?)*
                ;
            )+
        }
        derived {
            $($(#[$derived_doc:meta])* $derived:ident: $derived_type:ty,)*
        }
    ) => {
        $(#[$struct_doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $struct {
            $($(#[doc = $doc])+ pub $field: $type,)+
            $($(#[$derived_doc])* pub $derived: $derived_type,)*
            settings: $crate::config::define::Settings,
        }

        impl $struct {
            /// The table, in the order of the manual.
            pub const KEYS: &'static [$crate::config::define::Key] = &[$(
                $crate::config::define::Key {
                    name: $name,
                    kind: <$type as $crate::config::value::ConfigValue>::KIND,
                    default: $default,
                    kafka_default: $crate::config::define::configs!(@option $($kafka)?),
                    scope: $crate::config::define::Scope::$scope,
                    doc: &[$($doc),+],
                    allowed: $crate::config::define::configs!(@option $($allowed)?),
                    synonyms: &[$($crate::config::define::Synonym {
                        name: $synonym,
                        scale: $crate::config::define::configs!(@scale $($scale)?),
                    }),*],
                    dormant: $crate::config::define::configs!(@dormant $($dormant)?),
                },
            )+];

            /// Reads every key; fields that depend on several keys are left at their defaults.
            fn read(settings: $crate::config::define::Settings) -> Result<Self, $crate::config::error::ConfigError> {
                let mut keys = Self::KEYS.iter();
                $(
                    // The table and this list come from the same rows, so they end together.
                    let key = keys.next().expect("a row for every field");
                    let $field = settings.read::<$type>(key, $crate::config::define::configs!(@option $($check)?))?;
                )+
                Ok(Self {
                    $($field,)+
                    $($derived: <$derived_type>::default(),)*
                    settings,
                })
            }

            /// Takes over the keys that may change at any time; all others stay as they were read first.
            pub fn read_again(
                &mut self,
                settings: $crate::config::define::Settings,
            ) -> Result<(), $crate::config::error::ConfigError> {
                let mut keys = Self::KEYS.iter();
                let mut again = self.clone();
                $(
                    // The table and this list come from the same rows, so they end together.
                    let key = keys.next().expect("a row for every field");
                    if key.scope != $crate::config::define::Scope::ReadOnly {
                        again.$field = settings.read::<$type>(key, $crate::config::define::configs!(@option $($check)?))?;
                    }
                )+
                again.settings = settings;
                *self = again;
                Ok(())
            }

            /// What was set, and by whom.
            pub fn settings(&self) -> &$crate::config::define::Settings {
                &self.settings
            }

            /// The names of the fields whose keys claim an effect, for the house rules.
            pub const EFFECTIVE_FIELDS: &'static [(&'static str, bool)] = &[$(
                (stringify!($field), !$crate::config::define::configs!(@dormant $($dormant)?)),
            )+];
        }
    };
    (@option) => { None };
    (@option $it:expr) => { Some($it) };
    (@scale) => { 1 };
    (@scale $it:literal) => { $it };
    (@dormant) => { false };
    (@dormant dormant) => { true };
}

pub(crate) use configs;
