//! Where readers of a segment stopped: most go on from there, and need not be looked up in the index.
//!
//! Invariant: where a bookmark says a batch begins, one does, or the segment ends there. Whoever cuts the
//! segment drops them all.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use drave_protocol::ids::Offset;

use crate::segment::Located;

/// So many are kept, the latest. Several readers may go on from the same one: followers do.
const KEPT_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bookmark {
    pub(super) offset: Offset,
    pub(super) position: u64,
}

impl Bookmark {
    pub(super) fn before(batch: &Located) -> Self {
        Self {
            offset: batch.header.base_offset,
            position: batch.position,
        }
    }

    pub(super) fn after(batch: &Located) -> Self {
        Self {
            offset: batch.header.next_offset(),
            position: batch.end(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Bookmarks {
    latest: Mutex<VecDeque<Bookmark>>,
}

impl Bookmarks {
    pub(super) fn note(&self, bookmark: Bookmark) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.contains(&bookmark) {
            return;
        }
        if latest.len() >= KEPT_MAX {
            latest.pop_front();
        }
        latest.push_back(bookmark);
    }

    pub(super) fn position_of(&self, offset: Offset) -> Option<u64> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let found = latest.iter().rev().find(|it| it.offset == offset)?;
        Some(found.position)
    }
}
