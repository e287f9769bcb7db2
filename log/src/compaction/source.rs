//! Reading a sealed segment from end to end, batch by batch, in large pieces.
//!
//! Every checksum is looked at: a batch that rotted must not be written again under a new one.

use std::path::PathBuf;
use std::sync::Arc;

use drave_protocol::ids::Offset;
use drave_protocol::record::batch::{self, BatchError, BatchHeader, HEADER_BYTES};
use drave_protocol::record::record::RecordError;

use crate::compaction::{CompactionError, Io, Pace};
use crate::error::{Corruption, During, Fault, LogError};
use crate::fs::{File, FileSystem, to_u64};

/// Bytes read at once; a larger batch is read whole.
const CHUNK_BYTES: usize = 1 << 20;

/// A segment that is about to be replaced.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) base_offset: Offset,
    /// Where the next segment starts.
    pub(crate) next_offset: Offset,
    pub(crate) size: u64,
}

impl Source {
    /// Bytes of the larger of its indexes.
    pub(crate) fn index_size(&self, fs: &dyn FileSystem) -> u64 {
        let size = |extension| {
            let index = fs.open(&self.path.with_extension(extension));
            index.and_then(|it| it.size()).unwrap_or(0)
        };
        size("index").max(size("timeindex"))
    }

    pub(crate) fn unreadable(&self, offset: Offset, source: RecordError) -> CompactionError {
        let file = self.path.clone();
        CompactionError::Unreadable {
            file,
            offset,
            source,
        }
    }
}

/// A batch where it was read, its checksum right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch<'a> {
    pub(crate) header: BatchHeader,
    pub(crate) bytes: &'a [u8],
}

#[derive(Debug)]
pub(crate) struct BatchReader<'a> {
    source: &'a Source,
    file: Arc<dyn File>,
    /// Where `chunk` starts in the file.
    chunk_start: u64,
    chunk: Vec<u8>,
    /// Where the next batch starts in `chunk`.
    at: usize,
}

impl<'a> BatchReader<'a> {
    pub(crate) fn new(source: &'a Source, file: Arc<dyn File>) -> Self {
        Self {
            source,
            file,
            chunk_start: 0,
            chunk: Vec::new(),
            at: 0,
        }
    }

    /// Where the next batch starts in the file.
    pub(crate) fn position(&self) -> u64 {
        self.chunk_start + to_u64(self.at)
    }

    /// The next batch; `None` at the end.
    pub(crate) fn next_batch(
        &mut self,
        pace: &mut dyn Pace,
    ) -> Result<Option<Batch<'_>>, CompactionError> {
        if self.position() >= self.source.size {
            return Ok(None);
        }
        let mut parsed = self.parse();
        if let Err(BatchError::Truncated { needed, .. }) = parsed {
            self.fill(needed, pace)?;
            parsed = self.parse();
        }
        // The header may have come alone.
        if let Err(BatchError::Truncated { needed, .. }) = parsed {
            self.fill(needed, pace)?;
            parsed = self.parse();
        }
        let header = parsed.map_err(|error| self.corrupt(error.into()))?;
        let start = self.at;
        let end = start + header.total_size();
        let is_whole = self.chunk.get(start..end).is_some_and(batch::verify_crc);
        if !is_whole {
            return Err(self.corrupt(Fault::Checksum).into());
        }
        self.at = end;
        let bytes = self.chunk.get(start..end).unwrap_or_default();
        Ok(Some(Batch { header, bytes }))
    }

    fn parse(&self) -> Result<BatchHeader, BatchError> {
        let rest = self.chunk.get(self.at..).unwrap_or_default();
        let header = BatchHeader::parse(rest)?;
        let (needed, available) = (header.total_size(), rest.len());
        if available < needed {
            return Err(BatchError::Truncated { needed, available });
        }
        Ok(header)
    }

    /// Reads on from the next batch's start: `needed` bytes at least, if the segment has them.
    fn fill(&mut self, needed: usize, pace: &mut dyn Pace) -> Result<(), CompactionError> {
        let position = self.position();
        let left = usize::try_from(self.source.size - position).unwrap_or(usize::MAX);
        let wanted = needed.max(HEADER_BYTES).max(CHUNK_BYTES).min(left);
        self.chunk_start = position;
        self.chunk.clear();
        self.at = 0;
        let read = self.file.append_to(&mut self.chunk, position, wanted);
        read.during("read", &self.source.path)?;
        if pace.spend(Io::Read(to_u64(wanted))).is_break() {
            return Err(CompactionError::Stopped);
        }
        Ok(())
    }

    fn corrupt(&self, fault: Fault) -> LogError {
        Corruption {
            file: self.source.path.clone(),
            position: self.position(),
            offset: self.source.base_offset,
            fault,
        }
        .into()
    }
}
