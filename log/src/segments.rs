//! The segments of one log, oldest first. The last one is active: it alone is appended to.
//!
//! Invariants: never empty; base offsets rise strictly; each segment ends where the next begins.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use drave_protocol::ids::Offset;

use crate::error::{During, LogError};
use crate::fs::{FileSystem, NamedFile};
use crate::segment::Segment;

#[derive(Debug)]
pub(crate) struct Segments {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    /// All but the active one.
    sealed: Vec<Segment>,
    active: Segment,
}

impl Segments {
    /// One empty segment in a folder that holds none.
    pub(crate) fn create(
        fs: &Arc<dyn FileSystem>,
        dir: &Path,
        base_offset: Offset,
    ) -> Result<Self, LogError> {
        let active = Segment::create(fs, dir, base_offset)?;
        Ok(Self {
            fs: Arc::clone(fs),
            dir: dir.to_owned(),
            sealed: Vec::new(),
            active,
        })
    }

    pub(crate) fn from_parts(
        fs: &Arc<dyn FileSystem>,
        dir: &Path,
        sealed: Vec<Segment>,
        active: Segment,
    ) -> Self {
        let bases: Vec<Offset> = sealed
            .iter()
            .chain([&active])
            .map(Segment::base_offset)
            .collect();
        assert!(
            bases.is_sorted_by(|a, b| a < b),
            "segment base offsets must rise: {bases:?}"
        );
        Self {
            fs: Arc::clone(fs),
            dir: dir.to_owned(),
            sealed,
            active,
        }
    }

    pub(crate) fn active(&self) -> &Segment {
        &self.active
    }

    pub(crate) fn active_mut(&mut self) -> &mut Segment {
        &mut self.active
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Segment> {
        self.sealed.iter().chain([&self.active])
    }

    pub(crate) fn first_base_offset(&self) -> Offset {
        self.sealed.first().unwrap_or(&self.active).base_offset()
    }

    pub(crate) fn size(&self) -> u64 {
        self.iter().map(Segment::size).sum()
    }

    /// The segment that holds `offset`, or would.
    pub(crate) fn holding(&self, offset: Offset) -> Option<&Segment> {
        if offset >= self.active.base_offset() {
            return Some(&self.active);
        }
        let after = self.sealed.partition_point(|it| it.base_offset() <= offset);
        self.sealed.get(after.checked_sub(1)?)
    }

    /// Seals the active segment and starts the next.
    pub(crate) fn roll(&mut self, base_offset: Offset) -> Result<(), LogError> {
        assert!(
            self.active.base_offset() < base_offset && self.active.size() > 0,
            "segment {} cannot be followed by {base_offset}",
            self.active.base_offset()
        );
        let next = Segment::create(&self.fs, &self.dir, base_offset)?;
        self.active.flushed_index();
        self.sealed.push(std::mem::replace(&mut self.active, next));
        Ok(())
    }

    /// Files whose bytes from `recovery_point` on may not be durable. A sealed segment's index is
    /// among them: nobody checks it whole again, so it must not come back with holes.
    pub(crate) fn files_from(
        &mut self,
        recovery_point: Offset,
    ) -> Result<Vec<NamedFile>, LogError> {
        let mut files = Vec::new();
        // A sealed segment ends where the next one starts.
        let ends = self
            .sealed
            .iter()
            .skip(1)
            .chain([&self.active])
            .map(Segment::base_offset);
        let n_durable = ends.take_while(|end| *end <= recovery_point).count();
        for sealed in self.sealed.iter_mut().skip(n_durable) {
            files.push((sealed.path().to_owned(), sealed.file()?));
            files.extend(sealed.flushed_index());
        }
        files.push((self.active.path().to_owned(), self.active.file()?));
        Ok(files)
    }

    /// Cuts the log at the batch that starts at `offset`, at `position` of its segment.
    pub(crate) fn truncate(&mut self, offset: Offset, position: u64) -> Result<(), LogError> {
        // Newest first, so that what a failure leaves behind has no hole.
        let n_sealed = self.sealed.len();
        while self.active.base_offset() > offset {
            let Some(previous) = self.sealed.pop() else {
                break;
            };
            std::mem::replace(&mut self.active, previous).remove()?;
        }
        // A segment that came back after a crash could fit where the cut was made.
        if self.sealed.len() < n_sealed {
            self.sync_folder()?;
        }
        self.active.truncate(position)
    }

    /// Removes segments that end at or before `offset`.
    ///
    /// Oldest first, each made durable before the next: below the recovery point nobody would
    /// notice a hole that a crash left.
    pub(crate) fn remove_before(&mut self, offset: Offset) -> Result<(), LogError> {
        while !self.sealed.is_empty() {
            let second = self.sealed.get(1).unwrap_or(&self.active);
            if second.base_offset() > offset {
                return Ok(());
            }
            self.sealed.remove(0).remove()?;
            self.sync_folder()?;
        }
        Ok(())
    }

    fn sync_folder(&self) -> Result<(), LogError> {
        self.fs.sync_dir(&self.dir).during("sync", &self.dir)
    }

    /// Removes all and starts again, empty, at `base_offset`.
    pub(crate) fn reset(&mut self, base_offset: Offset) -> Result<(), LogError> {
        while let Some(previous) = self.sealed.pop() {
            std::mem::replace(&mut self.active, previous).remove()?;
        }
        // The last one is emptied before it goes, so no crash leaves its bytes under the new name.
        self.active.truncate(0)?;
        let next = Segment::create(&self.fs, &self.dir, base_offset)?;
        let last = std::mem::replace(&mut self.active, next);
        if last.base_offset() == base_offset {
            return Ok(());
        }
        last.remove()
    }
}
