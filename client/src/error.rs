//! What can go wrong between a client and a broker.

use std::time::Duration;

use drave_protocol::error_code::ErrorCode;
use thiserror::Error;

/// Why a request has no answer, or none that can be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ClientError {
    #[error("cannot connect to {address}: {reason}")]
    Connect { address: String, reason: String },
    #[error("{address} did not answer {what} within {after:?}")]
    Timeout {
        address: String,
        what: String,
        after: Duration,
    },
    /// The request may or may not have been carried out.
    #[error("connection to {address} closed: {reason}")]
    Closed { address: String, reason: String },
    #[error("{address} serves {api} in versions {theirs}, we speak {ours}")]
    NoCommonVersion {
        address: String,
        api: &'static str,
        ours: String,
        theirs: String,
    },
    #[error("cannot encode {api} version {version}: {reason}")]
    Encode {
        api: &'static str,
        version: i16,
        reason: String,
    },
    #[error("{address} sent a malformed {api} version {version}: {reason}")]
    Malformed {
        address: String,
        api: &'static str,
        version: i16,
        reason: String,
    },
    #[error("{code}{}", detail(.message.as_deref()))]
    Refused {
        code: ErrorCode,
        message: Option<String>,
    },
    #[error("none of the brokers {tried:?} answered within {after:?}; the last error: {last}")]
    NoBroker {
        tried: Vec<String>,
        after: Duration,
        last: String,
    },
}

impl ClientError {
    /// Whether asking again, perhaps somebody else, may succeed.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Timeout { .. } | Self::Closed { .. } => true,
            Self::Refused { code, .. } => code.is_retriable(),
            Self::NoCommonVersion { .. }
            | Self::Encode { .. }
            | Self::Malformed { .. }
            | Self::NoBroker { .. } => false,
        }
    }
}

fn detail(message: Option<&str>) -> String {
    message.map(|it| format!(": {it}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_reads_as_code_and_message() {
        let refused = ClientError::Refused {
            code: ErrorCode::TopicAlreadyExists,
            message: Some("topic 'a' already exists".to_owned()),
        };
        assert_eq!(
            refused.to_string(),
            "TOPIC_ALREADY_EXISTS: topic 'a' already exists"
        );
        assert!(!refused.is_retriable());
    }
}
