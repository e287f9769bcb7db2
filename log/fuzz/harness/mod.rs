//! What is tried with any bytes at all: one function per target.
//!
//! `cargo fuzz` calls them with bytes it invents, and `tests/fuzz.rs` with the corpus and changes to
//! it, so that the stable toolchain runs them too. A function returns when all is well and panics
//! when a promise was broken; refusing the bytes is well.

mod batches;
mod edits;
mod files;
mod sample;

pub(crate) use batches::{records, unpack_gzip, unpack_lz4, unpack_snappy, unpack_zstd, validate};
pub(crate) use files::{offset_index, producer_snapshot, recovery, time_index, transaction_index};
pub(crate) use sample::seeds;

/// A name, and what is tried.
type Target = (&'static str, fn(&[u8]));

pub(crate) const TARGETS: [Target; 11] = [
    ("validate", validate),
    ("records", records),
    ("unpack_gzip", unpack_gzip),
    ("unpack_snappy", unpack_snappy),
    ("unpack_lz4", unpack_lz4),
    ("unpack_zstd", unpack_zstd),
    ("offset_index", offset_index),
    ("time_index", time_index),
    ("transaction_index", transaction_index),
    ("producer_snapshot", producer_snapshot),
    ("recovery", recovery),
];
