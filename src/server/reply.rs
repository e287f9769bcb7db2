//! What a handler hands back: an answer, the promise of one, or none.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use drave_protocol::wire::{DecodeError, EncodeError};
use thiserror::Error;

use crate::server::sending::Part;

/// The second stage of a request. What had to happen in arrival order has happened when it exists;
/// dropping it gives up the answer only.
pub(crate) type Waiting = Pin<Box<dyn Future<Output = Result<Answer, Close>> + Send>>;

/// The result of a request's first stage.
pub(crate) enum Reply {
    Now(Answer),
    Later(Waiting),
}

/// A frame to write, length included, in the pieces it leaves in; nothing for a request that wants no
/// answer.
#[derive(Debug)]
pub(crate) enum Answer {
    Frame(Vec<Part>),
    Silence,
}

/// Why a connection ends at our side because of a request.
#[derive(Debug, Error)]
pub(crate) enum Close {
    #[error("api key {key} is not served")]
    UnknownApi { key: i16 },
    #[error("{api} version {version} is not served")]
    UnknownVersion { api: &'static str, version: i16 },
    #[error("malformed request header: {0}")]
    MalformedHeader(DecodeError),
    #[error("malformed {api} version {version}: {error}")]
    Malformed {
        api: &'static str,
        version: i16,
        error: DecodeError,
    },
    /// A producer that wants no answers learns of an error by losing its connection.
    #[error("produce with acks=0 failed: {0}")]
    UnansweredProduce(String),
    /// A bug: handlers build answers their version can carry.
    #[error("cannot encode the answer to {api} version {version}: {error}")]
    Unencodable {
        api: &'static str,
        version: i16,
        error: EncodeError,
    },
}

impl Close {
    /// One word for the metrics.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::UnknownApi { .. } | Self::UnknownVersion { .. } => "version",
            Self::MalformedHeader(_) | Self::Malformed { .. } => "malformed",
            Self::UnansweredProduce(_) => "produce",
            Self::Unencodable { .. } => "bug",
        }
    }
}

impl Reply {
    pub(crate) fn later(
        answer: impl Future<Output = Result<Answer, Close>> + Send + 'static,
    ) -> Self {
        Self::Later(Box::pin(answer))
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(answer) => f.debug_tuple("Now").field(answer).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}
