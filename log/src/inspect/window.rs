//! A file read front to back through a buffer: as much is held as was asked for, or one chunk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{During, LogError};
use crate::fs::{File, FileSystem, to_u64};

#[derive(Debug)]
pub(super) struct Window {
    path: PathBuf,
    file: Arc<dyn File>,
    /// When it was opened; less when the file turns out to have shrunk since.
    size: u64,
    chunk_bytes: usize,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    pub(super) fn open(
        fs: &dyn FileSystem,
        path: &Path,
        chunk_bytes: usize,
    ) -> Result<Self, LogError> {
        let file = fs.open_to_read(path).during("open", path)?;
        let size = file.size().during("look at", path)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            size,
            chunk_bytes,
            start: 0,
            bytes: Vec::new(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes from `position` on; fewer than `wanted` only at the end.
    pub(super) fn at(&mut self, position: u64, wanted: usize) -> Result<&[u8], LogError> {
        let wanted = wanted.min(self.left(position));
        if self.place_of(position, wanted).is_none() {
            self.fill(position, wanted)?;
        }
        let wanted = wanted.min(self.left(position));
        let place = self.place_of(position, wanted).unwrap_or_default();
        Ok(self.bytes.get(place).unwrap_or_default())
    }

    fn left(&self, position: u64) -> usize {
        usize::try_from(self.size.saturating_sub(position)).unwrap_or(usize::MAX)
    }

    fn place_of(&self, position: u64, wanted: usize) -> Option<std::ops::Range<usize>> {
        let from = usize::try_from(position.checked_sub(self.start)?).ok()?;
        let to = from.checked_add(wanted)?;
        (to <= self.bytes.len()).then_some(from..to)
    }

    fn fill(&mut self, position: u64, wanted: usize) -> Result<(), LogError> {
        let n = wanted.max(self.chunk_bytes).min(self.left(position));
        self.start = position;
        self.bytes.resize(n, 0);
        let mut n_read = 0;
        while n_read < n {
            let rest = self.bytes.get_mut(n_read..).unwrap_or_default();
            match self.file.read_at(rest, position + to_u64(n_read)) {
                Ok(0) => break,
                Ok(more) => n_read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).during("read", &self.path),
            }
        }
        if n_read < n {
            self.bytes.truncate(n_read);
            self.size = position + to_u64(n_read);
        }
        Ok(())
    }
}
