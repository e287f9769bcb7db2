//! The Kafka wire protocol: bytes in, values out, no I/O.

pub mod error_code;
pub mod ids;
pub mod record;

pub use error_code::ErrorCode;
