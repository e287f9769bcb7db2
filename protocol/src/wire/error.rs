//! Why bytes are not a message, and why a value has no bytes.

use thiserror::Error;

/// Why bytes could not be read as a message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    #[error("{needed} bytes needed, {remaining} remain")]
    Truncated { needed: usize, remaining: usize },
    #[error("length {length} is negative")]
    NegativeLength { length: i64 },
    #[error("array of {length} elements in {remaining} bytes")]
    ArrayTooLong { length: usize, remaining: usize },
    #[error("string of {length} bytes, {max} allowed")]
    StringTooLong { length: usize, max: usize },
    #[error("elements need {needed} bytes of memory, {left} left")]
    TooManyElements { needed: usize, left: usize },
    #[error("null where a value is required")]
    UnexpectedNull,
    #[error("{field} must not be null in version {version}")]
    NullField { field: &'static str, version: i16 },
    #[error("a varint runs past its last byte")]
    VarintTooLong,
    #[error("string is not UTF-8")]
    InvalidUtf8,
    #[error("{message} has no version {version}")]
    UnsupportedVersion { message: &'static str, version: i16 },
}

impl From<bytes::TryGetError> for DecodeError {
    fn from(error: bytes::TryGetError) -> Self {
        Self::Truncated {
            needed: error.requested,
            remaining: error.available,
        }
    }
}

/// Why a value could not be written in the version asked for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    #[error("string of {length} bytes, {max} allowed")]
    StringTooLong { length: usize, max: usize },
    #[error("{length} does not fit a length on the wire")]
    TooLong { length: usize },
    #[error("{field} must not be null in version {version}")]
    NullField { field: &'static str, version: i16 },
    /// The field carries a value its reader would need, and this version has no place for it.
    #[error("{message}.{field} is set, and version {version} cannot carry it")]
    FieldNotInVersion {
        message: &'static str,
        field: &'static str,
        version: i16,
    },
    #[error("{message} has no version {version}")]
    UnsupportedVersion { message: &'static str, version: i16 },
}
