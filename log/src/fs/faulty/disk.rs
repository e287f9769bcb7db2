//! One file in both worlds: its cached bytes and its durable ones, block by block.
#![allow(
    clippy::indexing_slicing,
    reason = "a test's disk: ranges are cut to the vectors' sizes"
)]

use std::collections::BTreeSet;

use crate::fs::faulty::coin::Coin;
use crate::fs::to_u64;

const BLOCK_BYTES: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InodeId(pub(super) usize);

#[derive(Debug, Default)]
pub(super) struct Inode {
    cached: Vec<u8>,
    durable: Vec<u8>,
    /// Blocks that differ from the disk and will be written by the next sync.
    dirty: BTreeSet<usize>,
    size_is_dirty: bool,
    modified_ms: i64,
}

impl Inode {
    pub(super) fn modified_ms(&self) -> i64 {
        self.modified_ms
    }

    pub(super) fn set_modified_ms(&mut self, now_ms: i64) {
        self.modified_ms = now_ms;
    }

    pub(super) fn size(&self) -> u64 {
        to_u64(self.cached.len())
    }

    pub(super) fn read(&self, bytes: &mut [u8], position: u64) -> usize {
        let start = usize::try_from(position)
            .unwrap_or(usize::MAX)
            .min(self.cached.len());
        let n = bytes.len().min(self.cached.len() - start);
        bytes[..n].copy_from_slice(&self.cached[start..start + n]);
        n
    }

    pub(super) fn write(&mut self, bytes: &[u8], position: u64) {
        let start = usize::try_from(position).expect("test files are small");
        let end = start + bytes.len();
        if end > self.cached.len() {
            self.set_size(to_u64(end));
        }
        self.cached[start..end].copy_from_slice(bytes);
        self.touch(start, end);
    }

    pub(super) fn set_size(&mut self, size: u64) {
        let size = usize::try_from(size).expect("test files are small");
        let (low, high) = (size.min(self.cached.len()), size.max(self.cached.len()));
        self.cached.resize(size, 0);
        self.size_is_dirty |= low != high;
        self.touch(low, high);
    }

    fn touch(&mut self, start: usize, end: usize) {
        if start < end {
            self.dirty
                .extend(start / BLOCK_BYTES..=(end - 1) / BLOCK_BYTES);
        }
    }

    pub(super) fn sync(&mut self) {
        self.write_back(&mut Coin::Keep);
    }

    /// What a failed sync does: the pages count as clean, and are not on the disk. The size is the
    /// journal's, and waits for the next sync.
    pub(super) fn forget_dirty(&mut self) {
        self.dirty.clear();
    }

    /// Clean blocks are read from the disk again; what it does not have reads as zeros.
    pub(super) fn read_anew(&mut self, position: u64) {
        let first = usize::try_from(position).unwrap_or(usize::MAX) / BLOCK_BYTES;
        for block in first..self.cached.len().div_ceil(BLOCK_BYTES) {
            if self.dirty.contains(&block) {
                continue;
            }
            let start = block * BLOCK_BYTES;
            let end = (start + BLOCK_BYTES).min(self.cached.len());
            for at in start..end {
                self.cached[at] = self.durable.get(at).copied().unwrap_or(0);
            }
        }
    }

    pub(super) fn crash(&mut self, coin: &mut Coin) {
        self.write_back(coin);
        self.cached.clone_from(&self.durable);
    }

    /// Writes each dirty block, and the size, if the coin keeps it.
    fn write_back(&mut self, coin: &mut Coin) {
        let old_size = self.durable.len();
        let new_size = if self.size_is_dirty && coin.keeps() {
            self.cached.len()
        } else {
            old_size
        };
        self.durable.resize(old_size.max(self.cached.len()), 0);
        for block in std::mem::take(&mut self.dirty) {
            let start = block * BLOCK_BYTES;
            let end = (start + BLOCK_BYTES).min(self.cached.len());
            if start < end && coin.keeps() {
                self.durable[start..end].copy_from_slice(&self.cached[start..end]);
            }
        }
        self.durable.resize(new_size, 0);
        self.size_is_dirty = false;
    }

    pub(super) fn flip_bit(&mut self, position: u64) {
        let at = usize::try_from(position).expect("test files are small");
        self.cached[at] ^= 1;
        if let Some(byte) = self.durable.get_mut(at) {
            *byte ^= 1;
        }
    }
}
