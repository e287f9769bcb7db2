//! What unpacks to hundreds of megabytes costs no more memory than the limit allows.
//!
//! The process's own peak is what counts, because lz4 and zstd take memory past Rust's allocator;
//! so this is a program of one test, and the bombs are made without holding what they unpack to.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect, and asks the kernel what it used"
)]

use std::io::Write;

use bytes::{BufMut, BytesMut};
use drave_protocol::record::attributes::Compression;
use drave_protocol::record::compression::{Packing, UnpackError, UnpackedLimit, Unpacker, pack};

const MIB: usize = 1024 * 1024;
const BOMB_BYTES: usize = 400 * MIB;
const LIMIT: usize = 4 * MIB;

/// The most memory this process ever held.
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|it| it.starts_with("VmHWM:")).unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

fn gzip_bomb() -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..BOMB_BYTES / MIB {
        encoder.write_all(&vec![0; MIB]).unwrap();
    }
    encoder.finish().unwrap()
}

fn lz4_bomb() -> Vec<u8> {
    let mut encoder = lz4::EncoderBuilder::new().build(Vec::new()).unwrap();
    for _ in 0..BOMB_BYTES / MIB {
        encoder.write_all(&vec![0; MIB]).unwrap();
    }
    encoder.finish().0
}

/// Twelve kilobytes: blocks that say "128 KiB of this byte", in a frame with the largest window.
fn zstd_bomb() -> Vec<u8> {
    let block_bytes = 128 * 1024;
    let n_blocks = BOMB_BYTES / block_bytes;
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, (27 - 10) << 3];
    for block in 1..=n_blocks {
        let is_last = usize::from(block == n_blocks);
        let header = u32::try_from(is_last | 1 << 1 | block_bytes << 3).unwrap();
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

fn snappy_bomb() -> Vec<u8> {
    let mut one = BytesMut::new();
    let zeros = vec![0; 32 * 1024];
    pack(&zeros, Packing::of(Compression::Snappy), &mut one);
    let block = one.split_off(16);
    for _ in 0..BOMB_BYTES / zeros.len() {
        one.put_slice(&block);
    }
    one.to_vec()
}

#[test]
fn bombs_are_refused_at_the_limit_and_cost_no_more_than_it() {
    let bombs = [
        (Compression::Gzip, gzip_bomb()),
        (Compression::Snappy, snappy_bomb()),
        (Compression::Lz4, lz4_bomb()),
        (Compression::Zstd, zstd_bomb()),
    ];
    assert!(bombs[3].1.len() < 13 * 1024, "{}", bombs[3].1.len());
    let before = peak_bytes();
    for (codec, bomb) in &bombs {
        let mut unpacker = Unpacker::new(*codec, bomb, UnpackedLimit(LIMIT)).unwrap();
        let mut step = [0; 4096];
        let mut n_unpacked = 0;
        let refused = loop {
            match unpacker.read(&mut step) {
                Ok(n) => n_unpacked += n,
                Err(error) => break error,
            }
            assert!(n_unpacked <= LIMIT, "{codec}");
        };
        assert_eq!(refused, UnpackError::TooLarge(LIMIT), "{codec}");
        let taken = peak_bytes() - before;
        assert!(
            taken < 2 * LIMIT,
            "{codec}: {taken} bytes for {}",
            bomb.len()
        );
    }
}
