//! The batches of one `.log` file, one after the other, without believing any of them.
//!
//! Memory stays bounded: headers come through a small window, a batch is held whole only up to
//! [`WHOLE_BYTES_MAX`], and a larger one passes through its checksum in pieces.

use std::path::Path;

use drave_protocol::ids::Offset;
use drave_protocol::record::batch::{BatchError, BatchHeader, CHECKED_FROM, HEADER_BYTES, crc32c};
use drave_protocol::record::checksum::RunningChecksum;

use crate::error::{Corruption, Fault, LogError};
use crate::fs::{FileSystem, to_u64};
use crate::inspect::window::Window;

/// A batch above this size is not looked into, only checked.
pub const WHOLE_BYTES_MAX: usize = 64 << 20;
const HEADERS_CHUNK_BYTES: usize = 4 << 10;
const WHOLE_CHUNK_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub struct Batches {
    window: Window,
    position: u64,
    is_lost: bool,
    /// Where the next batch should start, for naming the place of what cannot be read.
    next_offset: Offset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundBatch {
    pub position: u64,
    pub header: BatchHeader,
}

/// What lies between two headers.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a> {
    pub checksum_is_right: bool,
    /// The whole batch, header included; `None` when it is too large to be held.
    pub batch: Option<&'a [u8]>,
}

impl Batches {
    /// For reading headers only: what lies between them is skipped.
    pub fn headers(fs: &dyn FileSystem, path: &Path) -> Result<Self, LogError> {
        Ok(Self::through(Window::open(fs, path, HEADERS_CHUNK_BYTES)?))
    }

    /// For reading all.
    pub fn whole(fs: &dyn FileSystem, path: &Path) -> Result<Self, LogError> {
        Ok(Self::through(Window::open(fs, path, WHOLE_CHUNK_BYTES)?))
    }

    fn through(window: Window) -> Self {
        Self {
            window,
            position: 0,
            is_lost: false,
            next_offset: Offset::ZERO,
        }
    }

    /// Where the last batch ended; what lies beyond it is none.
    pub fn position(&self) -> u64 {
        self.position
    }

    pub fn size(&self) -> u64 {
        self.window.size()
    }

    fn header(&mut self) -> Result<FoundBatch, LogError> {
        let position = self.position;
        let parsed = BatchHeader::parse(self.window.at(position, HEADER_BYTES)?);
        let left = self.window.size().saturating_sub(position);
        let whole = parsed.and_then(|header| {
            let needed = header.total_size();
            if to_u64(needed) <= left {
                return Ok(header);
            }
            let available = usize::try_from(left).unwrap_or(usize::MAX);
            Err(BatchError::Truncated { needed, available })
        });
        match whole {
            Ok(header) => Ok(FoundBatch { position, header }),
            Err(error) => Err(self.corrupt(position, error.into())),
        }
    }

    /// Reads what belongs to a header that was just met.
    pub fn body(&mut self, found: &FoundBatch) -> Result<Body<'_>, LogError> {
        let size = found.header.total_size();
        if size > WHOLE_BYTES_MAX {
            return self.body_in_pieces(found);
        }
        let shrunk = self.corrupt(
            found.position,
            Fault::Shape(BatchError::Truncated {
                needed: size,
                available: 0,
            }),
        );
        let batch = self.window.at(found.position, size)?;
        let Some(checked) = batch.get(CHECKED_FROM..size) else {
            return Err(shrunk);
        };
        Ok(Body {
            checksum_is_right: crc32c(checked) == found.header.crc,
            batch: Some(batch),
        })
    }

    fn body_in_pieces(&mut self, found: &FoundBatch) -> Result<Body<'_>, LogError> {
        let end = found.position + to_u64(found.header.total_size());
        let mut position = found.position + to_u64(CHECKED_FROM);
        let mut checksum = RunningChecksum::default();
        while position < end {
            let left = usize::try_from(end - position).unwrap_or(usize::MAX);
            let piece = self.window.at(position, left.min(WHOLE_CHUNK_BYTES))?;
            if piece.is_empty() {
                break;
            }
            checksum.add(piece);
            position += to_u64(piece.len());
        }
        Ok(Body {
            checksum_is_right: checksum.value() == found.header.crc,
            batch: None,
        })
    }

    pub(super) fn corrupt(&self, position: u64, fault: Fault) -> LogError {
        Corruption {
            file: self.window.path().to_owned(),
            position,
            offset: self.next_offset,
            fault,
        }
        .into()
    }
}

/// Ends after the first thing that is no batch: where the next one starts, nobody knows.
impl Iterator for Batches {
    type Item = Result<FoundBatch, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_lost || self.position >= self.window.size() {
            return None;
        }
        let found = self.header();
        match &found {
            Ok(found) => {
                self.position += to_u64(found.header.total_size());
                self.next_offset = found.header.next_offset();
            }
            Err(_) => self.is_lost = true,
        }
        Some(found)
    }
}
