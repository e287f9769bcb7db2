//! Where a rewritten segment grows: in a folder of its own, until it is whole and on disk.
//!
//! Nothing is written as long as nothing differs from the source: what is clean already costs a read.

use std::path::Path;
use std::sync::Arc;

use crate::compaction::filter::Kept;
use crate::compaction::source::{BatchReader, Source};
use crate::compaction::{CompactionError, Io, Pace, swap};
use crate::config::{LogConfig, SEGMENT_BYTES_LIMIT};
use crate::error::{During, LogError};
use crate::fs::{File, FileSystem, to_u64};
use crate::producer_state::AbortedTransaction;
use crate::segment::Segment;
use crate::transaction_index::{TRANSACTIONS, TransactionIndex};

/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Output<'a> {
    fs: &'a Arc<dyn FileSystem>,
    dir: &'a Path,
    index_interval_bytes: u64,
    group: &'a [Source],
    /// Bytes of the only source that are kept as they are, as long as no segment is begun.
    same: u64,
    segment: Option<Segment>,
    waiting: Vec<u8>,
}

impl<'a> Output<'a> {
    pub(crate) fn new(
        fs: &'a Arc<dyn FileSystem>,
        dir: &'a Path,
        config: &LogConfig,
        group: &'a [Source],
    ) -> Self {
        Self {
            fs,
            dir,
            index_interval_bytes: config.index_interval_bytes,
            group,
            same: 0,
            segment: None,
            waiting: Vec::new(),
        }
    }

    /// What a batch of the source becomes; `left` bytes of sources follow it.
    pub(crate) fn put(
        &mut self,
        kept: Kept,
        original: &[u8],
        left: u64,
        pace: &mut dyn Pace,
    ) -> Result<(), CompactionError> {
        match kept {
            Kept::AsItIs => self.keep(original, pace),
            Kept::Nothing => self.start(pace),
            Kept::Rebuilt(new) => {
                let size = self.size() + to_u64(new.len()) + left;
                // One that grew, by a horizon or another level, can do without.
                let has_room = new.len() <= original.len() || size <= SEGMENT_BYTES_LIMIT;
                self.write(if has_room { &new } else { original }, pace)
            }
        }
    }

    fn size(&self) -> u64 {
        let written = self.segment.as_ref().map_or(self.same, Segment::size);
        written + to_u64(self.waiting.len())
    }

    /// The next batch of the source, unchanged.
    fn keep(&mut self, bytes: &[u8], pace: &mut dyn Pace) -> Result<(), CompactionError> {
        if self.segment.is_none() && self.group.len() == 1 {
            self.same += to_u64(bytes.len());
            return Ok(());
        }
        self.write(bytes, pace)
    }

    /// A batch that is not the source's next.
    fn write(&mut self, bytes: &[u8], pace: &mut dyn Pace) -> Result<(), CompactionError> {
        self.start(pace)?;
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= WRITE_BYTES {
            self.flush(pace)?;
        }
        Ok(())
    }

    /// Begins the segment: from here on it differs from the source.
    fn start(&mut self, pace: &mut dyn Pace) -> Result<(), CompactionError> {
        let Some(first) = self.group.first().filter(|_| self.segment.is_none()) else {
            return Ok(());
        };
        let folder = swap::folder(self.dir);
        self.segment = Some(Segment::create(self.fs, &folder, first.base_offset)?);
        if self.same == 0 {
            return Ok(());
        }
        let file = self.fs.open(&first.path).during("open", &first.path)?;
        let mut reader = BatchReader::new(first, file);
        while reader.position() < self.same {
            let Some(batch) = reader.next_batch(pace)? else {
                break;
            };
            self.waiting.extend_from_slice(batch.bytes);
            if self.waiting.len() >= WRITE_BYTES {
                self.flush(pace)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self, pace: &mut dyn Pace) -> Result<(), CompactionError> {
        let Some(segment) = &mut self.segment else {
            return Ok(());
        };
        segment.append(&self.waiting, self.index_interval_bytes)?;
        let written = to_u64(self.waiting.len());
        self.waiting.clear();
        if pace.spend(Io::Written(written)).is_break() {
            return Err(CompactionError::Stopped);
        }
        Ok(())
    }

    /// Makes the segment durable, and says its size; `None` when it would be what the source is.
    pub(crate) fn finish(
        mut self,
        sources: &[Arc<dyn File>],
        aborted: &[AbortedTransaction],
        pace: &mut dyn Pace,
    ) -> Result<Option<u64>, CompactionError> {
        if self.group.len() > 1 {
            self.start(pace)?;
        }
        self.flush(pace)?;
        let Some(mut segment) = self.segment.take() else {
            return Ok(None);
        };
        segment.seal()?;
        let file = segment.file()?;
        if let Some(newest) = sources.last() {
            copy_time(newest.as_ref(), file.as_ref()).during("date", segment.path())?;
        }
        sync(&segment, file.as_ref())?;
        if self.has_transactions()? {
            let path = segment.path().with_extension(TRANSACTIONS);
            TransactionIndex::write_whole(self.fs.as_ref(), &path, aborted)?;
        }
        swap::stage(self.fs.as_ref(), self.dir, segment.base_offset())?;
        Ok(Some(segment.size()))
    }
}

impl Output<'_> {
    fn has_transactions(&self) -> Result<bool, LogError> {
        for source in self.group {
            let path = source.path.with_extension(TRANSACTIONS);
            if self.fs.exists(&path).during("look for", &path)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Records without a time are as old as their file.
fn copy_time(from: &dyn File, to: &dyn File) -> std::io::Result<()> {
    to.set_modified_ms(from.modified_ms()?)
}

fn sync(segment: &Segment, file: &dyn File) -> Result<(), LogError> {
    file.sync_data().during("sync", segment.path())?;
    for (path, index) in segment.index_files()? {
        index.sync_data().during("sync", &path)?;
    }
    Ok(())
}
