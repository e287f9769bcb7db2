//! Record sections packed and unpacked: gzip, snappy, lz4 and zstd as Kafka's clients write them.
//!
//! [`pack`] makes what Kafka's Java client makes; [`Unpacker`] reads that and what librdkafka and
//! others write. Invariants: unpacking streams; what it holds grows with what was really unpacked,
//! never with what a length promises; it stops with an error at its [`UnpackedLimit`], at a byte
//! that does not belong, and at bytes after the end.

mod pack;
mod snappy;
mod unpack;

use std::io;

use thiserror::Error;

use crate::limits::UNPACKED_BATCH_BYTES_MAX;
use crate::record::attributes::Compression;

pub use pack::pack;
pub use unpack::Unpacker;

/// A codec, and how hard it works, in its own scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    pub codec: Compression,
    /// gzip: 1 to 9, or -1; lz4: 1 to 17; zstd: -131072 to 22; of no meaning for the others.
    pub level: i32,
}

impl Packing {
    /// The codec at the level Kafka gives it.
    #[must_use]
    pub const fn of(codec: Compression) -> Self {
        let level = match codec {
            Compression::None | Compression::Snappy => 0,
            Compression::Gzip => -1,
            Compression::Lz4 => pack::LZ4_LEVEL_DEFAULT,
            Compression::Zstd => 3,
        };
        Self { codec, level }
    }

    /// Whether it works harder than by default, which with some codecs is a hundred times slower.
    #[must_use]
    pub const fn is_slow(self) -> bool {
        match self.codec {
            Compression::None | Compression::Snappy => false,
            Compression::Gzip => self.level > 6,
            Compression::Lz4 => self.level != pack::LZ4_LEVEL_DEFAULT,
            Compression::Zstd => self.level > 3,
        }
    }
}

/// Bytes the records of one batch may unpack to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnpackedLimit(pub usize);

impl Default for UnpackedLimit {
    fn default() -> Self {
        Self(UNPACKED_BATCH_BYTES_MAX)
    }
}

/// Why packed records cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UnpackError {
    #[error("these are no {codec} data: {kind}")]
    Corrupt {
        codec: Compression,
        kind: io::ErrorKind,
    },
    #[error("a snappy block of {packed} bytes cannot hold {declared}")]
    LyingBlock { packed: usize, declared: usize },
    #[error("the records unpack to more than {0} bytes")]
    TooLarge(usize),
    #[error("{0} bytes follow the packed records")]
    TrailingBytes(usize),
}

#[cfg(test)]
#[path = "compression_test.rs"]
mod tests;
