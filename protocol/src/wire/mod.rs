//! Primitive types of the wire, in both encodings: fixed lengths, and the compact ("flexible") one.
//!
//! Invariants: a length is believed only up to the bytes that remain; bytes left over after a message
//! are ignored (librdkafka leaves some); strings and arrays that may be null are `Option`.

mod error;
mod field;
mod reader;
mod records;
mod writer;

pub use error::{DecodeError, EncodeError};
pub(crate) use field::{Field, Format, Structure};
pub use reader::Reader;
pub use records::Records;
pub(crate) use writer::TaggedFields;
pub use writer::Writer;
