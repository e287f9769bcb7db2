//! Gathers settings: defaults < file < environment (`DRAVE_` + the name, dots as underscores, upper
//! case) < `--set name=value`. Every name is looked up in the tables before it counts.

use std::path::Path;

use drave_log::planted;

use crate::config::broker::BrokerConfig;
use crate::config::define::{Key, Settings, Source, Synonym};
use crate::config::error::ConfigError;
use crate::config::kafka_names;
use crate::config::properties;

/// Environment names of drave's that are not keys.
const RESERVED: &[&str] = &[
    "DRAVE_BOOTSTRAP",
    "DRAVE_CONFIG",
    "DRAVE_HTTP",
    "DRAVE_LOG",
    "DRAVE_LOG_FORMAT",
];

/// What plants faults means something only where they can be planted; elsewhere nobody should believe it does.
fn is_reserved(variable: &str) -> bool {
    RESERVED.contains(&variable) || planted::VARIABLE == Some(variable)
}

/// Where settings are looked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sources<'a> {
    pub file: Option<&'a Path>,
    /// The whole environment; names without the prefix are passed over.
    pub environment: &'a [(String, String)],
    /// `name=value`, as given to `--set`.
    pub command_line: &'a [String],
}

/// A configuration, and the names that were accepted although they change nothing.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: BrokerConfig,
    pub without_effect: Vec<String>,
}

/// Reads all sources. `host_name` is what this machine calls itself; it is asked only when needed,
/// because the answer may take a look into DNS.
pub fn load(sources: Sources<'_>, host_name: &dyn Fn() -> String) -> Result<Loaded, ConfigError> {
    let mut gathering = Gathering::default();
    if let Some(path) = sources.file {
        gathering.file(path, &read_file(path)?)?;
    }
    gathering.environment(sources.environment)?;
    gathering.command_line(sources.command_line)?;
    let mut without_effect = gathering.without_effect;
    without_effect.sort_unstable();
    without_effect.dedup();
    Ok(Loaded {
        config: BrokerConfig::new(gathering.settings, host_name)?,
        without_effect,
    })
}

impl BrokerConfig {
    /// A configuration from pairs, as if each had been given to `--set`.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, ConfigError> {
        let mut gathering = Gathering::default();
        for (name, value) in pairs {
            gathering.set(name, value, &format!("--set {name}"), Source::CommandLine)?;
        }
        Self::new(gathering.settings, &|| "localhost".to_owned())
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the configuration says where the doors are, so it is read before any is open"
)]
fn read_file(path: &Path) -> Result<String, ConfigError> {
    let bytes = std::fs::read(path).map_err(|error| ConfigError::File {
        path: path.display().to_string(),
        reason: error.to_string(),
    })?;
    // Java reads properties as Latin-1; what is not UTF-8 is taken for that.
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => error.into_bytes().into_iter().map(char::from).collect(),
    })
}

#[derive(Default)]
struct Gathering {
    settings: Settings,
    /// For each setting, which of its names gave it: 0 the key's own, then its synonyms in order.
    ranks: Vec<(&'static str, Source, usize)>,
    without_effect: Vec<String>,
}

impl Gathering {
    fn file(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let place = |line: usize| format!("{}:{line}", path.display());
        let read = properties::parse(text).map_err(|line| ConfigError::Syntax {
            place: place(line),
            reason: "malformed \\u escape".to_owned(),
        })?;
        for property in read {
            self.set(
                &property.name,
                &property.value,
                &place(property.line),
                Source::File,
            )?;
        }
        Ok(())
    }

    fn environment(&mut self, environment: &[(String, String)]) -> Result<(), ConfigError> {
        for (variable, value) in environment {
            if !variable.starts_with("DRAVE_") || is_reserved(variable) {
                continue;
            }
            let name = known_names().find(|name| environment_name(name) == *variable);
            let Some(name) = name else {
                let names: Vec<String> = known_names().map(environment_name).collect();
                return Err(ConfigError::Unknown {
                    place: "environment".to_owned(),
                    name: variable.clone(),
                    nearest: kafka_names::nearest(variable, names.iter().map(String::as_str)),
                });
            };
            self.set(name, value.trim(), "environment", Source::Environment)?;
        }
        Ok(())
    }

    fn command_line(&mut self, pairs: &[String]) -> Result<(), ConfigError> {
        for pair in pairs {
            let Some((name, value)) = pair.split_once('=') else {
                return Err(ConfigError::Syntax {
                    place: "--set".to_owned(),
                    reason: format!("expected name=value, got {pair:?}"),
                });
            };
            self.set(name.trim(), value.trim(), "--set", Source::CommandLine)?;
        }
        Ok(())
    }

    /// Files a value under its key, or among the names without effect, or refuses it.
    fn set(
        &mut self,
        name: &str,
        value: &str,
        place: &str,
        source: Source,
    ) -> Result<(), ConfigError> {
        if let Some((key, rank, scale)) = find(name) {
            if key.dormant {
                self.without_effect.push(name.to_owned());
            }
            self.set_key(key, rank, scaled(key, value, scale)?, source);
            return Ok(());
        }
        if kafka_names::protects(name, value) {
            return Err(ConfigError::Unprotected {
                name: name.to_owned(),
                value: value.to_owned(),
            });
        }
        if kafka_names::is_broker_name(name) {
            self.without_effect.push(name.to_owned());
            return Ok(());
        }
        Err(ConfigError::Unknown {
            place: place.to_owned(),
            name: name.to_owned(),
            nearest: kafka_names::nearest(name, known_names()),
        })
    }

    /// Within one source the finer unit wins, as in Kafka; a later line of the same name replaces.
    fn set_key(&mut self, key: &'static Key, rank: usize, text: String, source: Source) {
        let is_outranked = |(name, from, other): &(&'static str, Source, usize)| {
            *name == key.name && *from == source && *other < rank
        };
        if !self.ranks.iter().any(is_outranked) {
            self.ranks.push((key.name, source, rank));
            self.settings.set(key.name, text, source);
        }
    }
}

/// The key a name belongs to, which of its names it is, and the factor of that name.
fn find(name: &str) -> Option<(&'static Key, usize, i64)> {
    BrokerConfig::KEYS.iter().find_map(|key| {
        if key.name == name {
            return Some((key, 0, 1));
        }
        let matches = |it: &(usize, &Synonym)| it.1.name == name;
        let found = key.synonyms.iter().enumerate().find(matches);
        found.map(|(at, synonym)| (key, at + 1, synonym.scale))
    })
}

/// A number in the key's own unit; negative numbers ("no limit") keep their meaning.
fn scaled(key: &'static Key, text: &str, scale: i64) -> Result<String, ConfigError> {
    if scale == 1 {
        return Ok(text.to_owned());
    }
    let number: Option<i64> = text.parse().ok();
    let product = number.and_then(|it| {
        if it < 0 {
            Some(it)
        } else {
            it.checked_mul(scale)
        }
    });
    product.map(|it| it.to_string()).ok_or_else(|| {
        ConfigError::invalid(
            key.name,
            text,
            format!("expected a whole number (of {scale} ms)"),
        )
    })
}

/// Keys, their synonyms, and what Kafka knows.
fn known_names() -> impl Iterator<Item = &'static str> {
    let synonyms = |key: &'static Key| key.synonyms.iter().map(|it| it.name);
    let own = BrokerConfig::KEYS
        .iter()
        .flat_map(move |key| std::iter::once(key.name).chain(synonyms(key)));
    own.chain(kafka_names::broker_names())
}

fn environment_name(name: &str) -> String {
    format!("DRAVE_{}", name.replace('.', "_").to_ascii_uppercase())
}

#[cfg(test)]
#[path = "load_test.rs"]
mod tests;
