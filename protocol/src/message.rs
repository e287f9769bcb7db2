//! What every message can do.

use std::fmt::Debug;

use crate::api::ApiKey;
use crate::wire::{DecodeError, EncodeError, Reader, Writer};

/// A request or response body, in any of its versions.
pub trait Message: Sized + Default + Clone + PartialEq + Debug + Send + 'static {
    const NAME: &'static str;
    /// First and last version this can be read from and written to.
    const VERSIONS: (i16, i16);
    /// First version with compact lengths and tagged fields.
    const FLEXIBLE_FROM: i16;

    /// Reads one message; bytes after it stay in the reader. Fields the version lacks have their defaults.
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError>;

    /// Says in `throttle_time_ms`, if it has one, that the client must wait so long; a longer wait stays.
    fn throttle(&mut self, wait_ms: i32);

    /// Writes the message; on an error what was written so far is of no use.
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError>;
}

/// A message a client sends, and what answers it.
pub trait Request: Message {
    const KEY: ApiKey;
    type Response: Message;
}
