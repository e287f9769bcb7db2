//! Why the bytes of a record are none.

use drave_protocol::wire::DecodeError;
use thiserror::Error;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    #[error("key of a group's record")]
    Key(#[source] DecodeError),
    #[error("value of a group's record of kind {kind}")]
    Value {
        kind: i16,
        #[source]
        error: DecodeError,
    },
    #[error("group's record of kind {kind} has {n_bytes} bytes too many")]
    Leftover { kind: i16, n_bytes: usize },
}
