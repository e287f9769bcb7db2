//! Why a configuration was refused: which key, which value, what would be accepted.

use thiserror::Error;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    #[error("{name} = {value:?}: {reason}")]
    Invalid {
        name: &'static str,
        value: String,
        reason: String,
    },
    #[error("{place}: unknown name {name:?}{}", hint(.nearest.as_ref()))]
    Unknown {
        place: String,
        name: String,
        nearest: Option<String>,
    },
    #[error("{place}: {reason}")]
    Syntax { place: String, reason: String },
    #[error("config file {path}: {reason}")]
    File { path: String, reason: String },
    #[error(
        "{name} = {value:?}: drave cannot do this yet, and to ignore it would leave open what it protects; remove the line to accept that"
    )]
    Unprotected { name: String, value: String },
}

impl ConfigError {
    pub(super) fn invalid(name: &'static str, value: &str, reason: impl Into<String>) -> Self {
        Self::Invalid {
            name,
            value: value.to_owned(),
            reason: reason.into(),
        }
    }

    /// The key at fault, where the fault is one key's.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Invalid { name, .. } => Some(name),
            Self::Unknown { name, .. } | Self::Unprotected { name, .. } => Some(name),
            Self::Syntax { .. } | Self::File { .. } => None,
        }
    }
}

fn hint(nearest: Option<&String>) -> String {
    nearest.map_or_else(String::new, |it| format!("; did you mean {it:?}?"))
}
