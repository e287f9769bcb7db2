//! The Kafka wire protocol: bytes in, values out, no I/O.
//!
//! Everything read here may come from a stranger: decoding refuses, it never panics, and it takes no
//! memory on the strength of a length alone.

pub mod api;
pub mod error_code;
pub mod frame;
pub mod header;
pub mod ids;
pub mod limits;
pub mod message;
pub mod pieces;
pub mod record;
pub mod schema;
pub mod wire;

pub use api::ApiKey;
pub use error_code::ErrorCode;
pub use message::{Message, Request};
pub use wire::{DecodeError, EncodeError, Reader, Writer};
