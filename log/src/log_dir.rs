//! One log directory: its lock, its checkpoints, the folders of its partitions.
//!
//! Invariants: one process at a time; a checkpoint file is whole or the one before it. Folders are
//! named `<topic>-<partition>`, as in Kafka.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drave_protocol::ids::{BrokerEpoch, Offset, TopicId, TopicPartition};
use tracing::error;

use crate::checkpoint;
use crate::config::LogConfig;
use crate::damage_mark;
use crate::error::{During, LogError};
use crate::fs::{self, Entry, EntryKind, FileLock, FileSystem, Room};
use crate::listing::Listing;
use crate::offset_checkpoints::{self, Checkpoint, Checkpoints, NotedOffsets};
use crate::partition_log::{self, DELETED_SUFFIX, PartitionLog, Unsettled};
use crate::partition_metadata;
use crate::repair_report::RepairReport;
use crate::reserve;
use crate::side_by_side;

const LOCK_FILE: &str = ".lock";
/// Ends the name of a folder that holds a log put aside.
const ASIDE_SUFFIX: &str = ".corrupt";
const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";

#[derive(Debug)]
pub struct LogDir {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    _lock: Box<dyn FileLock>,
}

/// A partition's folder, found in a log directory.
#[derive(Debug)]
pub struct LogFolder {
    pub partition: TopicPartition,
    pub owner: FolderOwner,
    pub path: PathBuf,
}

/// Whose log lies in a folder.
#[derive(Debug)]
pub enum FolderOwner {
    /// The folder was made, its topic's id was not yet noted.
    NotNoted,
    Topic(TopicId),
    /// Nobody can say; the log cannot be opened.
    Unreadable(LogError),
}

impl LogDir {
    /// Opens a directory for this process alone, creating it when absent. What a crash left half
    /// deleted or half replaced is swept away.
    pub fn open(fs: Arc<dyn FileSystem>, path: &Path) -> Result<Self, LogError> {
        fs::create_folder(fs.as_ref(), path).during("create", path)?;
        let lock_path = path.join(LOCK_FILE);
        let lock = match fs.lock(&lock_path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(LogError::Locked {
                    path: path.to_owned(),
                });
            }
            locked => locked.during("lock", &lock_path)?,
        };
        let dir = Self {
            fs,
            path: path.to_owned(),
            _lock: lock,
        };
        dir.sweep()?;
        // A process that died right after making a folder may have left its name undurable.
        for folder in [fs::folder_of(path), path] {
            dir.fs.sync_dir(folder).during("sync", folder)?;
        }
        Ok(dir)
    }

    fn sweep(&self) -> Result<(), LogError> {
        for Entry { name, kind } in self.fs.list(&self.path).during("list", &self.path)? {
            let path = self.path.join(&name);
            match kind {
                EntryKind::Folder if name.ends_with(DELETED_SUFFIX) => {
                    self.fs.remove_dir_all(&path).during("remove", &path)?;
                }
                EntryKind::File { .. } if fs::is_half_replaced(&name) => {
                    self.fs.remove_file(&path).during("remove", &path)?;
                }
                EntryKind::Folder | EntryKind::File { .. } => {}
            }
        }
        Ok(())
    }

    pub fn fs(&self) -> &Arc<dyn FileSystem> {
        &self.fs
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The partitions that have a folder here.
    pub fn logs(&self) -> Result<Vec<LogFolder>, LogError> {
        let mut logs = Vec::new();
        for Entry { name, kind } in self.fs.list(&self.path).during("list", &self.path)? {
            let EntryKind::Folder = kind else { continue };
            let Some(partition) = partition_of(&name) else {
                continue;
            };
            let path = self.path.join(&name);
            // One damaged file is one log's trouble, not its neighbours'.
            let owner = match partition_metadata::read(self.fs.as_ref(), &path) {
                Ok(None) => FolderOwner::NotNoted,
                Ok(Some(topic_id)) => FolderOwner::Topic(topic_id),
                Err(error) => FolderOwner::Unreadable(error),
            };
            logs.push(LogFolder {
                partition,
                owner,
                path,
            });
        }
        logs.sort_unstable_by(|a, b| a.partition.cmp(&b.partition));
        Ok(logs)
    }

    pub fn log_path(&self, partition: &TopicPartition) -> PathBuf {
        self.path.join(partition.to_string())
    }

    /// Opens or creates one partition's log with what the checkpoints say of it.
    ///
    /// Reads the checkpoint files: whoever opens many logs reads them once and calls
    /// [`Self::open_noted`].
    pub fn open_log(
        &self,
        partition: &TopicPartition,
        config: LogConfig,
    ) -> Result<(PartitionLog, RepairReport), LogError> {
        let noted = self.checkpoints()?.noted(partition);
        self.open_noted(partition, config, noted)
    }

    /// Opens or creates one partition's log, of which `noted` was remembered.
    pub fn open_noted(
        &self,
        partition: &TopicPartition,
        config: LogConfig,
        noted: NotedOffsets,
    ) -> Result<(PartitionLog, RepairReport), LogError> {
        self.find_noted(partition, config, noted)?.settled()
    }

    /// The first step of opening a log, for one who opens many: all are found before the first is settled.
    pub fn find_noted(
        &self,
        partition: &TopicPartition,
        config: LogConfig,
        noted: NotedOffsets,
    ) -> Result<Unsettled, LogError> {
        let path = self.log_path(partition);
        let listing = Listing::if_there(self.fs.as_ref(), &path)?;
        // A new log starts at zero whatever an earlier topic of its name left in the checkpoint.
        let mut log_start_offset = Offset::ZERO;
        let mut first_dirty_offset = None;
        if let Some(listing) = &listing {
            damage_mark::check(self.fs.as_ref(), &path, listing)?;
            log_start_offset = noted.log_start_offset;
            first_dirty_offset = Some(noted.first_dirty_offset);
        }
        let points = (noted.recovery_point, log_start_offset);
        let fs = Arc::clone(&self.fs);
        let mut found = Unsettled::found(fs, (&path, listing), config, points)?;
        if let Some(offset) = first_dirty_offset {
            found.set_first_dirty_offset(offset);
        }
        Ok(found)
    }

    /// Makes the folders of logs that are not there yet, durably: then opening them syncs nothing. One by
    /// one they would cost three syncs each.
    pub fn prepare_logs(&self, new: Vec<(TopicPartition, TopicId)>) -> Result<(), LogError> {
        let fs = self.fs.as_ref();
        let in_place = |(partition, topic_id)| (self.log_path(&partition), topic_id);
        let new: Vec<(PathBuf, TopicId)> = new.into_iter().map(in_place).collect();
        // One by one: a file system takes one change of a folder at a time, and who waits for it spins.
        for (path, _) in &new {
            fs.create_dir_all(path).during("create", path)?;
        }
        let prepare = |(path, topic_id): &(PathBuf, TopicId)| {
            partition_metadata::prepare(fs, path, *topic_id)
        };
        let prepared = side_by_side::map(new.iter().collect(), prepare);
        prepared.into_iter().collect::<Result<(), LogError>>()?;
        // Once before a name says that the contents are there, once for the names.
        let sync = || fs.sync_all(&self.path).during("sync", &self.path);
        sync()?;
        for (path, _) in &new {
            partition_metadata::put_in_place(fs, path)?;
        }
        sync()
    }

    /// Deletes a log nobody has open: one that is corrupt, so that it can be made again from
    /// another replica, or one whose topic is gone.
    pub fn remove_log(&self, partition: &TopicPartition) -> Result<(), LogError> {
        partition_log::remove_folder(self.fs.as_ref(), &self.log_path(partition))
    }

    /// Removes the folders of logs that were taken out of the way. Their new names are durable before the first
    /// file goes: half a log under its old name could pass for the next topic's.
    pub fn remove_doomed(&self, doomed: &[PathBuf]) -> Result<(), LogError> {
        self.fs.sync_dir(&self.path).during("sync", &self.path)?;
        for path in doomed {
            partition_log::remove_if_there(self.fs.as_ref(), path)?;
        }
        Ok(())
    }

    /// Whether the partition has a folder here.
    pub fn has_log(&self, partition: &TopicPartition) -> Result<bool, LogError> {
        let path = self.log_path(partition);
        self.fs.exists(&path).during("look for", &path)
    }

    /// Notes that a log's bytes are not what was written: it is not opened again as it is.
    pub fn mark_corrupt(&self, partition: &TopicPartition, what: &str) -> Result<(), LogError> {
        damage_mark::write(self.fs.as_ref(), &self.log_path(partition), what)
    }

    /// Puts a log nobody has open aside, for a person to look at; one put aside before goes.
    pub fn set_log_aside(&self, partition: &TopicPartition) -> Result<PathBuf, LogError> {
        let path = self.log_path(partition);
        let aside = self.path_aside(partition);
        self.remove_log_aside(partition)?;
        self.fs.rename(&path, &aside).during("rename", &path)?;
        self.fs.sync_dir(&self.path).during("sync", &self.path)?;
        Ok(aside)
    }

    /// Removes what was put aside of a partition, if anything was.
    pub fn remove_log_aside(&self, partition: &TopicPartition) -> Result<(), LogError> {
        let aside = self.path_aside(partition);
        if self.fs.exists(&aside).during("look for", &aside)? {
            self.fs.remove_dir_all(&aside).during("remove", &aside)?;
        }
        Ok(())
    }

    /// No partition's folder has such a name: those end in a number.
    fn path_aside(&self, partition: &TopicPartition) -> PathBuf {
        self.path.join(format!("{partition}{ASIDE_SUFFIX}"))
    }

    /// All that is remembered of the logs here, read once. What a damaged file said is forgotten:
    /// the logs are scanned whole, which costs time and nothing else.
    pub fn checkpoints(&self) -> Result<Checkpoints, LogError> {
        let mut checkpoints = Checkpoints::default();
        for checkpoint in Checkpoint::ALL {
            match self.read_checkpoint(checkpoint) {
                Ok(offsets) => checkpoints.take_in(checkpoint, offsets),
                Err(error @ LogError::BadFile { .. }) => {
                    error!(%error, "a checkpoint is damaged; going on as if it had never been written");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(checkpoints)
    }

    /// Replaces all of them, durably.
    pub fn write_checkpoints(&self, checkpoints: &Checkpoints) -> Result<(), LogError> {
        for checkpoint in Checkpoint::ALL {
            self.write_noted(checkpoint, checkpoints)?;
        }
        Ok(())
    }

    /// Replaces those, durably, of which anything changed since this last did.
    pub fn write_changed(&self, checkpoints: &mut Checkpoints) -> Result<(), LogError> {
        for checkpoint in Checkpoint::ALL {
            if checkpoints.is_changed(checkpoint) {
                self.write_noted(checkpoint, checkpoints)?;
                checkpoints.is_written(checkpoint);
            }
        }
        Ok(())
    }

    /// Replaces one of them, durably.
    pub fn write_noted(
        &self,
        checkpoint: Checkpoint,
        checkpoints: &Checkpoints,
    ) -> Result<(), LogError> {
        let lines = checkpoints.of(checkpoint);
        offset_checkpoints::write(self.fs.as_ref(), &self.path, checkpoint, &lines)
    }

    /// A checkpoint that was never written is empty.
    pub fn read_checkpoint(
        &self,
        checkpoint: Checkpoint,
    ) -> Result<BTreeMap<TopicPartition, Offset>, LogError> {
        offset_checkpoints::read(self.fs.as_ref(), &self.path, checkpoint)
    }

    /// The time of the machine when a checkpoint was written last, if it ever was.
    pub fn checkpoint_written_ms(&self, checkpoint: Checkpoint) -> Option<i64> {
        offset_checkpoints::written_ms(self.fs.as_ref(), &self.path, checkpoint)
    }

    /// Replaces a checkpoint, durably.
    pub fn write_checkpoint(
        &self,
        checkpoint: Checkpoint,
        offsets: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<(), LogError> {
        let line = |(at, offset): (&TopicPartition, &Offset)| offset_checkpoints::line(at, *offset);
        let lines: Vec<String> = offsets.iter().map(line).collect();
        offset_checkpoints::write(self.fs.as_ref(), &self.path, checkpoint, &lines)
    }

    /// The room on the disk this directory lies on.
    pub fn room(&self) -> Result<Room, LogError> {
        self.fs.room(&self.path).during("measure", &self.path)
    }

    /// Keeps room free of records, for the small files that must be written on a full disk, if so much
    /// stays free beside it. Returns whether it does.
    pub fn hold_reserve(&self, n_bytes: u64, beside: u64) -> Result<bool, LogError> {
        reserve::hold(self.fs.as_ref(), &self.path, n_bytes, beside)
    }

    /// Gives that room up.
    pub fn give_up_reserve(&self) -> Result<(), LogError> {
        reserve::give_up(self.fs.as_ref(), &self.path)
    }

    /// Says that everything was flushed before this broker stopped. The last thing written.
    pub fn mark_clean_shutdown(&self, broker_epoch: BrokerEpoch) -> Result<(), LogError> {
        let path = self.path.join(CLEAN_SHUTDOWN_FILE);
        checkpoint::write(self.fs.as_ref(), &path, &[broker_epoch.to_string()])
    }

    /// The broker epoch of the last clean shutdown. The mark is gone, durably, before anything is
    /// written: else a crash later would look clean.
    pub fn take_clean_shutdown(&self) -> Result<Option<BrokerEpoch>, LogError> {
        let path = self.path.join(CLEAN_SHUTDOWN_FILE);
        let facts = match checkpoint::read(self.fs.as_ref(), &path) {
            Ok(None) => return Ok(None),
            Ok(Some(facts)) => facts,
            Err(LogError::BadFile { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        self.fs.remove_file(&path).during("remove", &path)?;
        self.fs.sync_dir(&self.path).during("sync", &self.path)?;
        Ok(facts
            .first()
            .and_then(|fact| fact.parse().ok())
            .map(BrokerEpoch))
    }
}

fn partition_of(folder: &str) -> Option<TopicPartition> {
    let (topic, partition) = folder.rsplit_once('-')?;
    let is_number = !partition.is_empty() && partition.bytes().all(|it| it.is_ascii_digit());
    if topic.is_empty() || !is_number {
        return None;
    }
    Some(TopicPartition {
        topic: topic.to_owned(),
        partition: partition.parse().ok()?,
    })
}
