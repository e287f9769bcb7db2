//! Where readers of a segment stopped: most go on from there, and need not be looked up in the index.
//!
//! Invariant: where a bookmark says a batch begins, one does, or the segment ends there. Whoever cuts the
//! segment drops them all.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use drave_protocol::ids::Offset;
use drave_protocol::record::batch::BatchHeader;

use crate::segment::Located;

/// So many are kept, the latest. Several readers may go on from the same one: followers do.
const KEPT_MAX: usize = 16;

#[derive(Clone, Copy, Debug)]
pub(super) struct Bookmark {
    pub(super) offset: Offset,
    pub(super) position: u64,
    /// Of the batch that begins there, where it was seen.
    pub(super) header: Option<BatchHeader>,
}

impl Bookmark {
    pub(super) fn before(batch: &Located) -> Self {
        Self {
            offset: batch.header.base_offset,
            position: batch.position,
            header: Some(batch.header),
        }
    }

    pub(super) fn after(batch: &Located) -> Self {
        Self {
            offset: batch.header.next_offset(),
            position: batch.end(),
            header: None,
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
        if let Some(known) = latest.iter_mut().find(|it| it.offset == bookmark.offset) {
            known.header = known.header.or(bookmark.header);
            return;
        }
        if latest.len() >= KEPT_MAX {
            latest.pop_front();
        }
        latest.push_back(bookmark);
    }

    pub(super) fn at(&self, offset: Offset) -> Option<Bookmark> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.iter().find(|it| it.offset == offset).copied()
    }
}
