//! A file of entries of one size: what the indexes are.

use std::path::Path;

use crate::error::LogError;
use crate::fs::{FileSystem, to_u64};
use crate::inspect::window::Window;

const CHUNK_BYTES: usize = 64 << 10;

/// Entries of `N` bytes with the positions they were found at.
///
/// An entry of zeros ends them: an index that is written to may be longer than it is full.
#[derive(Debug)]
pub(super) struct Entries<const N: usize> {
    window: Window,
    position: u64,
}

impl<const N: usize> Entries<N> {
    pub(super) fn open(fs: &dyn FileSystem, path: &Path) -> Result<Self, LogError> {
        let window = Window::open(fs, path, CHUNK_BYTES)?;
        let position = 0;
        Ok(Self { window, position })
    }

    pub(super) fn path(&self) -> &Path {
        self.window.path()
    }

    /// Where the entry after the last one would be.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn next(&mut self) -> Result<Option<(u64, [u8; N])>, LogError> {
        let position = self.position;
        let mut entry = [0; N];
        let found = self.window.at(position, N)?;
        if found.len() < N || found.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        entry.copy_from_slice(found);
        self.position += to_u64(N);
        Ok(Some((position, entry)))
    }

    /// What lies beyond the last entry.
    pub(super) fn rest(&mut self) -> Result<Rest, LogError> {
        let size = self.window.size();
        let mut position = self.position;
        while position < size {
            let piece = self.window.at(position, CHUNK_BYTES)?;
            if piece.iter().any(|byte| *byte != 0) {
                return Ok(Rest::PartOfAnEntry);
            }
            position += to_u64(piece.len().max(1));
        }
        Ok(if self.position == size {
            Rest::Nothing
        } else {
            Rest::Zeros(size - self.position)
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Nothing,
    /// Space taken in advance.
    Zeros(u64),
    PartOfAnEntry,
}

/// The `N` bytes of a number at a place of an entry.
pub(super) fn number<const N: usize>(entry: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    let there = entry.get(at..at + N).expect("an entry holds its fields");
    bytes.copy_from_slice(there);
    bytes
}
