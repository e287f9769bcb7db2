//! The open files of a segment, and how long they stay open.
//!
//! Invariants: the files of a segment that is written to, or not yet durable, stay open: an error of
//! the disk is told to those who had the file open when it happened. Those of other segments are opened
//! when first used, and a log keeps few of them; whoever reads meanwhile keeps his own.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use crate::error::{During, LogError};
use crate::fs::File;
use crate::offset_index::OffsetIndex;
use crate::segment::{Segment, index_path, time_index_path};
use crate::time_index::TimeIndex;

/// Sealed segments of one log that are open at once.
const OPEN_MAX: usize = 8;

#[derive(Debug)]
pub(super) struct Opened {
    pub(super) log: Arc<dyn File>,
    pub(super) index: OffsetIndex,
    /// Of a sealed segment opened when somebody asks for a time.
    pub(super) time_index: OnceLock<TimeIndex>,
}

/// The sealed segments of a log that were opened last.
#[derive(Debug, Default)]
pub(crate) struct OpenSegments {
    last: Mutex<VecDeque<Arc<Opened>>>,
}

impl OpenSegments {
    fn keep(&self, opened: Arc<Opened>) {
        let mut last = locked(&self.last);
        last.push_back(opened);
        if last.len() > OPEN_MAX {
            last.pop_front();
        }
    }

    fn forget(&self, opened: &Arc<Opened>) {
        locked(&self.last).retain(|it| !Arc::ptr_eq(it, opened));
    }
}

/// How a segment holds its files.
#[derive(Debug, Default)]
pub(super) enum Held {
    #[default]
    Closed,
    /// Open as long as the segment says.
    Open(Arc<Opened>),
    /// Open as long as its log keeps it.
    Kept(Weak<Opened>),
    /// Not to be opened again: under the path may lie another log's by now.
    Gone,
}

impl Held {
    fn opened(&self) -> Option<Arc<Opened>> {
        match self {
            Self::Closed | Self::Gone => None,
            Self::Open(opened) => Some(Arc::clone(opened)),
            Self::Kept(opened) => opened.upgrade(),
        }
    }
}

impl Segment {
    /// From now on the files are open as long as the log keeps them.
    pub(crate) fn release(&mut self, kept: &Arc<OpenSegments>) {
        self.kept_by = Some(Arc::clone(kept));
        let held = self.held.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Held::Open(opened) = std::mem::take(held) {
            *held = Held::Kept(Arc::downgrade(&opened));
            kept.keep(opened);
        }
    }

    /// Whether the files stay open until the segment is released.
    pub(crate) fn holds_files(&self) -> bool {
        matches!(&*locked(&self.held), Held::Open(_))
    }

    pub(super) fn opened(&self) -> Result<Arc<Opened>, LogError> {
        let mut held = locked(&self.held);
        if let Some(opened) = held.opened() {
            return Ok(opened);
        }
        let opened = Arc::new(self.open(&held)?);
        *held = match &self.kept_by {
            Some(kept) => {
                kept.keep(Arc::clone(&opened));
                Held::Kept(Arc::downgrade(&opened))
            }
            None => Held::Open(Arc::clone(&opened)),
        };
        Ok(opened)
    }

    fn open(&self, held: &Held) -> Result<Opened, LogError> {
        if matches!(held, Held::Gone) {
            return Err(LogError::Io {
                action: "open the deleted",
                path: self.path.clone(),
                source: io::ErrorKind::NotFound.into(),
            });
        }
        let fs = self.fs.as_ref();
        let path = index_path(&self.path);
        let index = OffsetIndex::open(fs, &path, self.base_offset);
        Ok(Opened {
            log: fs.open(&self.path).during("open", &self.path)?,
            index: index.unwrap_or_else(|| OffsetIndex::unmade(&self.fs, &path, self.base_offset)),
            time_index: OnceLock::new(),
        })
    }

    /// Opens for writing: the indexes are checked whole.
    pub(crate) fn open_checked(&mut self) -> Result<(), LogError> {
        let (fs, base_offset) = (&self.fs, self.base_offset);
        let (index, time_index) = (index_path(&self.path), time_index_path(&self.path));
        let opened = Opened {
            log: fs.open(&self.path).during("open", &self.path)?,
            index: OffsetIndex::open_in(fs, &index, base_offset, self.size),
            time_index: TimeIndex::open_in(fs, &time_index, base_offset).into(),
        };
        self.held = Mutex::new(Held::Open(Arc::new(opened)));
        Ok(())
    }

    /// The files, to be written to; from now on they stay open.
    pub(super) fn opened_mut(&mut self) -> Result<&mut Opened, LogError> {
        if !self.holds_files() {
            let opened = self.open(&locked(&self.held))?;
            self.held = Mutex::new(Held::Open(Arc::new(opened)));
        }
        let held = self.held.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Held::Open(opened) = held else {
            unreachable!("opened the lines before");
        };
        Ok(Arc::get_mut(opened).expect("a borrow of the segment outlives every other use of it"))
    }

    /// The files are about to go: nobody is to keep their blocks. Who reads keeps them until he is done.
    pub(crate) fn close(&mut self) {
        let held = self.held.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let (Some(kept), Some(opened)) = (&self.kept_by, held.opened()) {
            kept.forget(&opened);
        }
        *held = Held::Gone;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
