//! The segments of one log, oldest first. The last one is active: it alone is appended to.
//!
//! Invariants: never empty; base offsets rise strictly; each segment ends where the next begins, or,
//! in a log with holes, before it. In such a log no segment is written to before the one before it,
//! and its name, are durable: a segment lost in a crash must not pass for a hole.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drave_protocol::ids::Offset;

use crate::density::Density;
use crate::error::{During, Fault, LogError};
use crate::fs::{FileSystem, NamedFile};
use crate::segment::{Located, OpenSegments, Segment};

#[derive(Debug)]
pub(crate) struct Segments {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    density: Density,
    /// All but the active one.
    sealed: Vec<Segment>,
    active: Segment,
    /// Sealed and durable segments that are open.
    open: Arc<OpenSegments>,
}

impl Segments {
    /// One empty segment in a folder that holds none.
    pub(crate) fn create(
        fs: &Arc<dyn FileSystem>,
        dir: &Path,
        density: Density,
        base_offset: Offset,
    ) -> Result<Self, LogError> {
        let active = Segment::create(fs, dir, base_offset)?;
        Ok(Self {
            fs: Arc::clone(fs),
            dir: dir.to_owned(),
            density,
            sealed: Vec::new(),
            active,
            open: Arc::default(),
        })
    }

    pub(crate) fn from_parts(
        fs: &Arc<dyn FileSystem>,
        dir: &Path,
        density: Density,
        mut sealed: Vec<Segment>,
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
        let open = Arc::default();
        for segment in &mut sealed {
            segment.release(&open);
        }
        Self {
            fs: Arc::clone(fs),
            dir: dir.to_owned(),
            density,
            sealed,
            active,
            open,
        }
    }

    pub(crate) fn density(&self) -> Density {
        self.density
    }

    /// The marker is durable, and so is every segment.
    pub(crate) fn allow_holes(&mut self) {
        self.density = Density::Holes;
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

    /// Where the segment after `segment` starts.
    pub(crate) fn end_of(&self, segment: &Segment) -> Option<Offset> {
        let bases = self.iter().map(Segment::base_offset);
        bases.into_iter().find(|it| *it > segment.base_offset())
    }

    pub(crate) fn has_base(&self, offset: Offset) -> bool {
        self.holding(offset)
            .is_some_and(|it| it.base_offset() == offset)
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

    /// The first batch that ends at or after `offset`, and its segment. `None` only in a log with
    /// holes, when all batches end before.
    pub(crate) fn locate(&self, offset: Offset) -> Result<Option<(&Segment, Located)>, LogError> {
        let n_started = self.sealed.partition_point(|it| it.base_offset() <= offset)
            + usize::from(self.active.base_offset() <= offset);
        for segment in self.iter().skip(n_started.saturating_sub(1)) {
            if let Some(found) = segment.locate(offset)? {
                return Ok(Some((segment, found)));
            }
            if self.density == Density::Dense {
                return Err(segment.corrupt(segment.size(), offset, Fault::Hole));
            }
        }
        Ok(None)
    }

    /// All but the active one, oldest first; each ends where the next one starts, or before.
    pub(crate) fn sealed(&self) -> &[Segment] {
        &self.sealed
    }

    /// Puts one sealed segment in the place of those whose base offsets lie in `run`, and gives
    /// them back. In memory only: the caller has renamed its file to the first one's name, durably,
    /// and removes those of the others.
    ///
    /// # Panics
    /// When `with` does not start where the run does, or the log is not one with holes.
    pub(crate) fn replace(&mut self, run: Range<Offset>, with: Segment) -> Vec<Segment> {
        assert_eq!(
            self.density,
            Density::Holes,
            "only a marked log is compacted"
        );
        let from = self
            .sealed
            .partition_point(|it| it.base_offset() < run.start);
        let upto = self.sealed.partition_point(|it| it.base_offset() < run.end);
        let first = self.sealed.get(from).map(Segment::base_offset);
        assert_eq!(
            first,
            Some(with.base_offset()),
            "{run:?} is replaced from its start"
        );
        let mut with = with;
        with.release(&self.open);
        self.sealed.splice(from..upto, [with]).collect()
    }

    /// Seals the active segment and starts the next. An empty one leaves no trace. Where this fails, the
    /// active segment goes on.
    pub(crate) fn roll(&mut self, base_offset: Offset) -> Result<(), LogError> {
        assert!(
            self.active.base_offset() < base_offset,
            "segment {} cannot be followed by {base_offset}",
            self.active.base_offset()
        );
        self.active.seal()?;
        if self.density == Density::Holes {
            let (file, path) = (self.active.file()?, self.active.path());
            file.sync_data().during("sync", path)?;
        }
        let next = Segment::create(&self.fs, &self.dir, base_offset)?;
        if self.density == Density::Holes {
            self.sync_folder()?;
        }
        let last = std::mem::replace(&mut self.active, next);
        if last.size() == 0 {
            return last.remove();
        }
        self.sealed.push(last);
        Ok(())
    }

    /// Everything below is durable: what holds it need not stay open.
    pub(crate) fn synced(&mut self, recovery_point: Offset) {
        let mut end = self.active.base_offset();
        for sealed in self.sealed.iter_mut().rev() {
            if !sealed.holds_files() {
                return;
            }
            let base_offset = sealed.base_offset();
            if end <= recovery_point {
                sealed.release(&self.open);
            }
            end = base_offset;
        }
    }

    /// Files whose bytes from `recovery_point` on may not be durable. A sealed segment's indexes are
    /// among them: nobody checks them whole again, so they must not come back with holes. So are those
    /// of a segment that ends at the recovery point: it may have been sealed since.
    pub(crate) fn files_from(&self, recovery_point: Offset) -> Result<Vec<NamedFile>, LogError> {
        let mut files = Vec::new();
        // A sealed segment ends where the next one starts.
        let ends = self
            .sealed
            .iter()
            .skip(1)
            .chain([&self.active])
            .map(Segment::base_offset);
        let n_durable = ends.take_while(|end| *end < recovery_point).count();
        for sealed in self.sealed.iter().skip(n_durable) {
            files.push((sealed.path().to_owned(), sealed.file()?));
            files.extend(sealed.index_files()?);
        }
        files.push((self.active.path().to_owned(), self.active.file()?));
        Ok(files)
    }

    /// Cuts the log at the batch that starts at `offset`, at `position` of its segment.
    pub(crate) fn truncate(&mut self, offset: Offset, position: u64) -> Result<(), LogError> {
        let n_sealed = self.sealed.len();
        while self.active.base_offset() > offset && self.remove_newest()? {}
        // A segment that came back after a crash could fit where the cut was made.
        if self.sealed.len() < n_sealed {
            self.sync_folder()?;
        }
        self.active.truncate(position)
    }

    /// Newest first, so that what a failure leaves behind has no hole. False when one is left.
    fn remove_newest(&mut self) -> Result<bool, LogError> {
        let Some(previous) = self.sealed.pop() else {
            return Ok(false);
        };
        std::mem::replace(&mut self.active, previous).remove()?;
        if self.density == Density::Holes {
            self.sync_folder()?;
        }
        Ok(true)
    }

    /// The files are about to go: the blocks of those that nobody reads come free when they do.
    pub(crate) fn close(&mut self) {
        self.sealed.iter_mut().for_each(Segment::close);
        self.active.close();
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
        while self.remove_newest()? {}
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
