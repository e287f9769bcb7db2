//! Where readers of a segment stopped: most go on from there, and need not be looked up in the index.
//!
//! Invariant: where a bookmark says a batch begins, one does, or the segment ends there. Whoever cuts the
//! segment drops them all.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use drave_protocol::ids::Offset;
use drave_protocol::record::batch::BatchHeader;

use crate::segment::Located;
use crate::slice::Seen;

/// So many are kept, the latest. Several readers may go on from the same one: followers do.
const KEPT_MAX: usize = 16;
/// At most as large as a page of any machine this runs on.
const PAGE_BYTES: u64 = 4096;

#[derive(Clone, Copy, Debug)]
pub(super) struct Bookmark {
    pub(super) offset: Offset,
    pub(super) position: u64,
    /// Of the batch that begins there, where it was seen.
    pub(super) header: Option<BatchHeader>,
    /// Whether the header was in memory when it was seen.
    pub(super) was_cached: bool,
}

impl Bookmark {
    pub(super) fn before(batch: &Located) -> Self {
        Self {
            offset: batch.header.base_offset,
            position: batch.position,
            header: Some(batch.header),
            was_cached: batch.was_cached,
        }
    }

    pub(super) fn after(batch: &Located) -> Self {
        Self {
            offset: batch.header.next_offset(),
            position: batch.end(),
            header: None,
            was_cached: batch.was_cached,
        }
    }

    /// Of one who read all there is.
    pub(super) fn at_end(offset: Offset, position: u64) -> Self {
        Self {
            offset,
            position,
            header: None,
            was_cached: true,
        }
    }

    /// What was seen to be in memory by one who found that batches from `first` on are to be read up to here.
    pub(super) fn seen(&self, first: &Located) -> Seen {
        if !first.was_cached || !self.was_cached {
            return Seen::Nothing;
        }
        // The last byte lies in the page the header begins in.
        if self.header.is_some() && !self.position.is_multiple_of(PAGE_BYTES) {
            return Seen::StartAndEnd;
        }
        Seen::Start
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
            known.was_cached = bookmark.was_cached;
            return;
        }
        if latest.len() >= KEPT_MAX {
            latest.pop_front();
        }
        latest.push_back(bookmark);
    }

    /// A batch was written, where somebody may wait for it.
    pub(super) fn written(&mut self, position: u64, header: &BatchHeader) {
        let latest = self.latest.get_mut();
        let latest = latest.unwrap_or_else(PoisonError::into_inner);
        let waits = |it: &&mut Bookmark| {
            (it.offset, it.position) == (header.base_offset, position) && it.header.is_none()
        };
        if let Some(known) = latest.iter_mut().find(waits) {
            known.header = Some(*header);
        }
    }

    pub(super) fn at(&self, offset: Offset) -> Option<Bookmark> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.iter().find(|it| it.offset == offset).copied()
    }
}
