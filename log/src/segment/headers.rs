//! Walking a segment from batch to batch, by their headers alone.

use bytes::Bytes;
use drave_protocol::record::batch::{BatchError, BatchHeader, HEADER_BYTES};

use crate::error::LogError;
use crate::fs::to_u64;
use crate::segment::{Located, Segment};

/// Headers of small batches are read through a window of this size: one read serves many.
const WINDOW_BYTES: usize = 4096;

/// Headers one after the other; ends after the first error.
#[derive(Debug)]
pub(crate) struct Headers<'a> {
    segment: &'a Segment,
    pub(super) position: u64,
    end: u64,
    window: Bytes,
    window_start: u64,
    was_cached: bool,
    /// How much is read next.
    wanted: usize,
}

impl<'a> Headers<'a> {
    pub(super) fn new(segment: &'a Segment, position: u64, end: u64) -> Self {
        Self {
            segment,
            position,
            end,
            window: Bytes::new(),
            window_start: 0,
            was_cached: false,
            wanted: HEADER_BYTES,
        }
    }

    fn header(&mut self) -> Result<Located, LogError> {
        let position = self.position;
        let in_window = usize::try_from(position.wrapping_sub(self.window_start)).ok();
        let mut rest = in_window
            .and_then(|start| self.window.get(start..))
            .unwrap_or_default();
        if rest.len() < HEADER_BYTES {
            (self.window, self.was_cached) = self.segment.look_at(position, self.wanted)?;
            self.window_start = position;
            rest = &self.window;
        }
        let left = self.segment.size - position;
        let parsed = BatchHeader::parse(rest).and_then(|header| {
            let needed = header.total_size();
            if to_u64(needed) <= left {
                return Ok(header);
            }
            let available = usize::try_from(left).unwrap_or(usize::MAX);
            Err(BatchError::Truncated { needed, available })
        });
        let header = parsed.map_err(|error| {
            self.segment
                .corrupt(position, self.segment.base_offset, error.into())
        })?;
        self.wanted = if header.total_size() < WINDOW_BYTES {
            WINDOW_BYTES
        } else {
            HEADER_BYTES
        };
        Ok(Located {
            position,
            header,
            was_cached: self.was_cached,
        })
    }
}

impl Iterator for Headers<'_> {
    type Item = Result<Located, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.end {
            return None;
        }
        let found = self.header();
        self.position = match &found {
            Ok(found) => found.end(),
            Err(_) => self.end,
        };
        Some(found)
    }
}
