//! Blocks for what will be written next, taken before it is.
//!
//! A write into blocks that the file has already costs the file system less than one that makes it longer. They are
//! taken beyond the file's end, so its size says what was written as before, and recovery finds nothing to mistake.
//! A segment takes a quarter of what it holds, so a small one takes none, and none a lot more than it uses; what is left goes
//! back when it is sealed.

use std::io;

use crate::fs::File;

/// Less is not worth the call: a segment of four times as much begins.
const STEP_MIN: u64 = 1024 * 1024;
const STEP_MAX: u64 = 32 * STEP_MIN;

/// How far a segment's file has blocks.
#[derive(Debug)]
pub(super) struct Room {
    until: u64,
    /// Blocks may be there that nobody has written to.
    has_left_over: bool,
    /// A file system that refused once is not asked again: a write that finds no room says so itself.
    is_refused: bool,
}

impl Room {
    /// Of a file just made.
    pub(super) fn of_new() -> Self {
        Self {
            until: 0,
            has_left_over: false,
            is_refused: false,
        }
    }

    /// Of a file that another process may have taken blocks for.
    pub(super) fn of_existing() -> Self {
        Self {
            has_left_over: true,
            ..Self::of_new()
        }
    }

    /// Blocks for what is about to be written from `size` to `end`, and for some after it.
    pub(super) fn take(&mut self, file: &dyn File, size: u64, end: u64) {
        let step = (size / 4).min(STEP_MAX);
        if end <= self.until || step < STEP_MIN || self.is_refused {
            return;
        }
        let until = end.saturating_add(step);
        self.is_refused = file.take_blocks(size, until - size).is_err();
        if !self.is_refused {
            self.until = until;
            self.has_left_over = true;
        }
    }

    /// Gives back what was not written to.
    pub(super) fn give_back(&mut self, file: &dyn File, size: u64) -> io::Result<()> {
        if self.has_left_over {
            file.set_size(size)?;
        }
        *self = Self::of_new();
        Ok(())
    }
}
