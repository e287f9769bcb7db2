//! Whether offsets may be missing between two batches.
//!
//! A leader's appends are dense, so in most logs a gap means that something was lost, and is refused.
//! Compaction takes batches out of the middle: a log it touched, or one that was copied from such a
//! log, carries a marker file. It is durable before the first gap is, and never goes.

use std::path::Path;

use drave_protocol::ids::Offset;

use crate::checkpoint;
use crate::error::{Fault, LogError};
use crate::fs::FileSystem;
use crate::listing::Listing;

/// Persisted, never renamed.
const FILE_NAME: &str = "offset-holes-allowed";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Density {
    /// Each batch starts where the one before it ends.
    Dense,
    /// Each batch starts where the one before it ends, or later.
    Holes,
}

impl Density {
    /// Of the log in a folder that holds these names.
    pub(crate) fn of(listing: &Listing) -> Self {
        if listing.has(FILE_NAME) {
            Self::Holes
        } else {
            Self::Dense
        }
    }

    /// Marks the log in `dir`, durably.
    pub(crate) fn write_marker(fs: &dyn FileSystem, dir: &Path) -> Result<(), LogError> {
        checkpoint::write(fs, &dir.join(FILE_NAME), &[])
    }

    /// Whether something that starts at `got` may follow what ends before `expected`.
    pub(crate) fn accepts(self, expected: Offset, got: Offset) -> bool {
        match self {
            Self::Dense => got == expected,
            Self::Holes => got >= expected,
        }
    }

    pub(crate) fn check(self, expected: Offset, got: Offset) -> Result<(), Fault> {
        if self.accepts(expected, got) {
            Ok(())
        } else {
            Err(Fault::NotNext { expected, got })
        }
    }
}
