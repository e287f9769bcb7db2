//! Packing, into the bytes Kafka's Java client would write for the same codec and level.

use std::io::{self, Write};

use bytes::{BufMut, BytesMut};
use flate2::write::GzEncoder;
use lz4::{BlockMode, BlockSize, ContentChecksum, EncoderBuilder, liblz4::BlockChecksum};

use super::{Packing, snappy};
use crate::record::attributes::Compression;

/// Kafka's name for lz4's one fast compressor; every other level is the strong one's.
pub(super) const LZ4_LEVEL_DEFAULT: i32 = 9;

/// Appends `bytes` to `out`, packed. A level outside the codec's scale counts as the nearest in it.
///
/// # Panics
/// When a codec cannot be set up: there is no memory.
pub fn pack(bytes: &[u8], packing: Packing, out: &mut BytesMut) {
    let packed = match packing.codec {
        Compression::None => {
            out.put_slice(bytes);
            Ok(())
        }
        Compression::Gzip => gzip(bytes, packing.level, out),
        Compression::Snappy => {
            snappy::pack(bytes, out);
            Ok(())
        }
        Compression::Lz4 => lz4(bytes, packing.level, out),
        Compression::Zstd => zstd(bytes, packing.level, out),
    };
    packed.expect("bytes in memory are packed into memory");
}

fn gzip(bytes: &[u8], level: i32, out: &mut BytesMut) -> io::Result<()> {
    let level = match u32::try_from(level) {
        Ok(level) => flate2::Compression::new(level.min(9)),
        Err(_) => flate2::Compression::default(),
    };
    let mut encoder = GzEncoder::new(out.writer(), level);
    encoder.write_all(bytes)?;
    encoder.finish().map(|_| ())
}

/// Blocks of 64 KiB that do not need each other: Kafka's Java client reads no other kind.
fn lz4(bytes: &[u8], level: i32, out: &mut BytesMut) -> io::Result<()> {
    // The library's strong compressor starts at 2, and 0 is its fast one.
    let level = match level {
        LZ4_LEVEL_DEFAULT => 0,
        level => u32::try_from(level).unwrap_or(2).max(2),
    };
    let mut encoder = EncoderBuilder::new()
        .block_size(BlockSize::Max64KB)
        .block_mode(BlockMode::Independent)
        .block_checksum(BlockChecksum::NoBlockChecksum)
        .checksum(ContentChecksum::NoChecksum)
        .level(level)
        .build(out.writer())?;
    encoder.write_all(bytes)?;
    encoder.finish().1
}

/// In one piece, because only with the size known does a high level not take a gigabyte of tables.
fn zstd(bytes: &[u8], level: i32, out: &mut BytesMut) -> io::Result<()> {
    let range = zstd::compression_level_range();
    let level = level.clamp(*range.start(), *range.end());
    out.put_slice(&zstd::bulk::compress(bytes, level)?);
    Ok(())
}
