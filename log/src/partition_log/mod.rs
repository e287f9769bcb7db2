//! One partition's log: append, read, truncate, make durable.
//!
//! Invariants, asserted always:
//! `log_start_offset <= log_end_offset`; `recovery_point <= log_end_offset`;
//! each batch starts at the log end offset of its moment, so offsets are dense — but in a log that
//! was marked with [`PartitionLog::allow_holes`], where it may start later;
//! leader epochs and their start offsets rise strictly; `log_start_offset` falls only with a cut
//! below it.
//! Below `recovery_point` every byte is durable: it rises only by a sync that succeeded.
//!
//! Nothing here blocks but on the disk, and nothing syncs on append: see [`crate::sync`].

mod append;
mod compact;
mod cut;
mod durability;
pub(crate) mod epochs;
mod opening;
mod producers;
mod retain;
mod roll;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use drave_protocol::ids::{Offset, TopicId};

use crate::config::LogConfig;
use crate::density::Density;
use crate::error::{During, Fault, LogError, ReadError};
use crate::fs::{self, FileSystem};
use crate::leader_epochs::LeaderEpochs;
use crate::partition_metadata;
use crate::recovery_limit::RecoveryLimit;
use crate::segments::Segments;
use crate::slice::LogSlice;
use crate::sync::Health;
use crate::timestamps::{self, TimestampedOffset};

use producers::Producers;

pub use append::Appended;
pub use compact::Swapped;
pub use opening::Unsettled;
pub use producers::SnapshotRequest;
pub use retain::RemovedSegment;

#[derive(Debug)]
pub struct PartitionLog {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    config: LogConfig,
    topic_id: Option<TopicId>,
    segments: Segments,
    log_start_offset: Offset,
    log_end_offset: Offset,
    recovery_point: Offset,
    recovery_limit: Option<RecoveryLimit>,
    epochs: LeaderEpochs,
    /// Epochs that begin there or later may not be in their file.
    epochs_unwritten_from: Option<Offset>,
    producers: Producers,
    /// Compaction has been here; lowered by every cut.
    compacted_upto: Offset,
    /// The plan under way, if any.
    compaction: Weak<()>,
    n_truncations: u64,
    n_folder_changes: u64,
    n_folder_changes_synced: u64,
    /// Bytes of the active segment, by its base offset, of which a sync was prepared.
    sync_prepared: (Offset, u64),
    health: Arc<Health>,
}

impl PartitionLog {
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Applies from the next append on.
    pub fn set_config(&mut self, config: LogConfig) {
        self.config = config;
    }

    pub fn topic_id(&self) -> Option<TopicId> {
        self.topic_id
    }

    /// Notes, durably, whose log this is.
    pub fn assign_topic_id(&mut self, topic_id: TopicId) -> Result<(), LogError> {
        partition_metadata::write(self.fs.as_ref(), &self.dir, topic_id)?;
        self.topic_id = Some(topic_id);
        Ok(())
    }

    pub fn log_start_offset(&self) -> Offset {
        self.log_start_offset
    }

    /// Nothing below it is on the disk.
    pub fn first_segment_offset(&self) -> Offset {
        self.segments.first_base_offset()
    }

    pub fn log_end_offset(&self) -> Offset {
        self.log_end_offset
    }

    /// Below it everything is durable; what may be noted of it says [`Self::recovery_point_to_note`].
    pub fn recovery_point(&self) -> Offset {
        self.recovery_point
    }

    pub fn leader_epochs(&self) -> &LeaderEpochs {
        &self.epochs
    }

    /// Whether offsets may be missing.
    pub(crate) fn density(&self) -> Density {
        self.segments.density()
    }

    /// Refuses what lies where a reader of durable batches finds none: in a dense log there is always
    /// one, and in no log is there one beyond the end.
    pub(crate) fn check_nothing_at(&self, offset: Offset) -> Result<(), LogError> {
        let is_dense = self.density() == Density::Dense;
        match self.segments.locate(offset)? {
            Some((segment, found)) => {
                let header = &found.header;
                if is_dense || header.last_offset() >= self.log_end_offset {
                    let fault = Fault::NotNext {
                        expected: offset,
                        got: header.base_offset,
                    };
                    return Err(segment.corrupt(found.position, offset, fault));
                }
                Ok(())
            }
            None if is_dense => {
                let active = self.segments.active();
                Err(active.corrupt(active.size(), offset, Fault::Hole))
            }
            None => Ok(()),
        }
    }

    /// Whether a segment begins at this offset.
    pub(crate) fn begins_segment(&self, offset: Offset) -> bool {
        self.segments.has_base(offset)
    }

    /// Bytes of all segments, indexes not counted.
    pub fn size_bytes(&self) -> u64 {
        self.segments.size()
    }

    /// Whether a disk error ended this log's writing.
    pub fn is_failed(&self) -> bool {
        self.health.is_failed()
    }

    /// The bytes of [`Self::slice`]; empty when there are none yet.
    pub fn read(&self, from: Offset, upper: Offset, max_bytes: usize) -> Result<Bytes, ReadError> {
        match self.slice(from, upper, max_bytes)? {
            Some(slice) => Ok(slice.read()?),
            None => Ok(Bytes::new()),
        }
    }

    /// Where whole batches lie, from the one that holds `from`, each ending before `upper`: at most
    /// `max_bytes`, but one batch at least. `None` when there is none yet.
    pub fn slice(
        &self,
        from: Offset,
        upper: Offset,
        max_bytes: usize,
    ) -> Result<Option<LogSlice>, ReadError> {
        if from < self.log_start_offset || from > self.log_end_offset {
            return Err(ReadError::OffsetOutOfRange {
                offset: from,
                log_start_offset: self.log_start_offset,
                log_end_offset: self.log_end_offset,
            });
        }
        if from >= upper.min(self.log_end_offset) {
            return Ok(None);
        }
        match self.segments.locate(from)? {
            Some((segment, first)) => {
                let is_active = segment.base_offset() == self.segments.active().base_offset();
                let log_end = is_active.then_some(self.log_end_offset);
                Ok(segment.slice(&first, (upper, log_end), max_bytes)?)
            }
            None => Ok(None),
        }
    }

    /// The first record at or after a time.
    pub fn offset_for_timestamp(
        &self,
        timestamp_ms: i64,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        let found = timestamps::first_at(&self.segments, timestamp_ms, self.log_start_offset)?;
        Ok(found)
    }

    /// The first record with the largest timestamp.
    pub fn max_timestamp(&self) -> Result<Option<TimestampedOffset>, ReadError> {
        let Some(largest) = timestamps::largest(&self.segments)? else {
            return Ok(None);
        };
        self.offset_for_timestamp(largest)
    }

    /// Deletes the log from the disk. It takes no more writes.
    pub fn delete(&mut self) -> Result<(), LogError> {
        self.health.delete();
        remove_folder(self.fs.as_ref(), &self.dir)
    }

    /// Takes the log's folder out of the way, for [`LogDir::remove_doomed`]: the log takes no more writes, its
    /// name is free for another. A crash may bring the folder back as it was, with its topic's id in it.
    ///
    /// [`LogDir::remove_doomed`]: crate::LogDir::remove_doomed
    pub fn doom(&mut self) -> Result<PathBuf, LogError> {
        self.health.delete();
        let name = self.dir.file_name().unwrap_or_default().to_string_lossy();
        // A topic's name with an ending may be longer than a file system takes; and the next topic of that
        // name may be deleted before this one's folder is gone.
        let doomed = match (self.topic_id, name.rsplit_once('-')) {
            (Some(topic_id), Some((_, number))) => format!("{topic_id}-{number}{DELETED_SUFFIX}"),
            (None, _) | (Some(_), None) => format!("{name}{DELETED_SUFFIX}"),
        };
        let doomed = self.dir.with_file_name(doomed);
        remove_if_there(self.fs.as_ref(), &doomed)?;
        self.fs
            .rename(&self.dir, &doomed)
            .during("rename", &self.dir)?;
        // Who closes a removed file last gives its blocks back, a second for some gigabytes: not whoever happens to
        // let go of this log last.
        self.segments.close();
        Ok(doomed)
    }

    /// After a half-done change nothing is known of what lies on the disk.
    fn or_fail<T>(&self, done: Result<T, LogError>) -> Result<T, LogError> {
        if let Err(error) = &done {
            self.health.fail(error);
        }
        done
    }

    fn check_invariants(&self) {
        let (start, end) = (self.log_start_offset, self.log_end_offset);
        assert!(
            start <= end,
            "log start offset {start} above log end offset {end}"
        );
        let synced = self.recovery_point;
        assert!(
            synced <= end,
            "recovery point {synced} above log end offset {end}"
        );
    }
}

/// Ends the name of a folder that is being deleted.
pub(crate) const DELETED_SUFFIX: &str = "-delete";

/// Deletes a log's folder. It is renamed first: a crash leaves the whole log, or a folder whose
/// name says that it goes.
pub(crate) fn remove_folder(fs: &dyn FileSystem, dir: &Path) -> Result<(), LogError> {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(DELETED_SUFFIX);
    let doomed = dir.with_file_name(name);
    remove_if_there(fs, &doomed)?;
    fs.rename(dir, &doomed).during("rename", dir)?;
    let parent = fs::folder_of(dir);
    fs.sync_dir(parent).during("sync", parent)?;
    fs.remove_dir_all(&doomed).during("remove", &doomed)
}

pub(crate) fn remove_if_there(fs: &dyn FileSystem, dir: &Path) -> Result<(), LogError> {
    if fs.exists(dir).during("look for", dir)? {
        fs.remove_dir_all(dir).during("remove", dir)?;
    }
    Ok(())
}
