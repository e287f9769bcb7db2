//! Snappy in its two forms: one bare block (librdkafka), and Java's stream of blocks (xerial):
//!
//! ```text
//! 82 'S' 'N' 'A' 'P' 'P' 'Y' 00 | version i32 | oldest reader i32 | { length i32 | block }*
//! ```

use std::io::{self, Read};

use bytes::{BufMut, BytesMut};
use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::UnpackError;
use crate::record::attributes::Compression;

const MAGIC: &[u8] = b"\x82SNAPPY\0";
const HEADER_BYTES: usize = 16;
/// The block size of Kafka's Java client.
const BLOCK_BYTES: usize = 32 * 1024;
/// No snappy block grows by more: a copy of 64 bytes takes three.
const GROWTH_MAX: usize = 22;

pub(super) fn pack(bytes: &[u8], out: &mut BytesMut) {
    out.put_slice(MAGIC);
    out.put_i32(1);
    out.put_i32(1);
    let mut encoder = Encoder::new();
    let mut block = vec![0; max_compress_len(BLOCK_BYTES)];
    for chunk in bytes.chunks(BLOCK_BYTES) {
        let length = encoder
            .compress(chunk, &mut block)
            .expect("the buffer takes the worst case");
        out.put_u32(u32::try_from(length).expect("a block is small"));
        out.put_slice(block.get(..length).expect("what was written"));
    }
}

/// The blocks of one record section, unpacked one at a time.
#[derive(Debug)]
pub(super) struct Blocks<'a> {
    rest: &'a [u8],
    is_stream: bool,
    block: Vec<u8>,
    n_read: usize,
    limit: usize,
    n_declared: usize,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(bytes: &'a [u8], limit: usize) -> Self {
        let is_stream = bytes.starts_with(MAGIC);
        let rest = match bytes.get(HEADER_BYTES..) {
            Some(rest) if is_stream => rest,
            Some(_) | None => bytes,
        };
        Self {
            rest,
            is_stream,
            block: Vec::new(),
            n_read: 0,
            limit,
            n_declared: 0,
        }
    }

    /// Unpacked bytes of the current block; zero after the last block.
    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<usize, UnpackError> {
        while self.n_read == self.block.len() {
            if self.rest.is_empty() {
                return Ok(0);
            }
            self.unpack_next()?;
        }
        let mut ready = self.block.get(self.n_read..).unwrap_or_default();
        let n = ready.read(out).expect("bytes in memory are read");
        self.n_read += n;
        Ok(n)
    }

    fn unpack_next(&mut self) -> Result<(), UnpackError> {
        let packed = self.next_block()?;
        let declared = decompress_len(packed).map_err(|_| corrupt())?;
        if declared > packed.len().saturating_mul(GROWTH_MAX) {
            let packed = packed.len();
            return Err(UnpackError::LyingBlock { packed, declared });
        }
        if declared > self.limit - self.n_declared {
            return Err(UnpackError::TooLarge(self.limit));
        }
        self.n_declared += declared;
        self.block.resize(declared, 0);
        self.n_read = 0;
        let unpacked = Decoder::new().decompress(packed, &mut self.block);
        unpacked.map(|_| ()).map_err(|_| corrupt())
    }

    fn next_block(&mut self) -> Result<&'a [u8], UnpackError> {
        if !self.is_stream {
            return Ok(std::mem::take(&mut self.rest));
        }
        let (length, rest) = self.rest.split_first_chunk().ok_or_else(cut_off)?;
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| corrupt())?;
        let (block, rest) = rest.split_at_checked(length).ok_or_else(cut_off)?;
        self.rest = rest;
        Ok(block)
    }
}

fn corrupt() -> UnpackError {
    let (codec, kind) = (Compression::Snappy, io::ErrorKind::InvalidData);
    UnpackError::Corrupt { codec, kind }
}

fn cut_off() -> UnpackError {
    let (codec, kind) = (Compression::Snappy, io::ErrorKind::UnexpectedEof);
    UnpackError::Corrupt { codec, kind }
}
