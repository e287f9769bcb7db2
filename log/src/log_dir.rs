//! One log directory: its lock, its checkpoints, the folders of its partitions.
//!
//! Invariants: one process at a time; a checkpoint file is whole or the one before it. Folders are
//! named `<topic>-<partition>`, as in Kafka.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drave_protocol::ids::{BrokerEpoch, Offset, TopicId, TopicPartition};

use crate::checkpoint;
use crate::config::LogConfig;
use crate::error::{During, LogError};
use crate::fs::{self, Entry, EntryKind, FileLock, FileSystem};
use crate::partition_log::{self, DELETED_SUFFIX, PartitionLog};
use crate::partition_metadata;
use crate::repair_report::RepairReport;

const LOCK_FILE: &str = ".lock";
const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";

#[derive(Debug)]
pub struct LogDir {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    _lock: Box<dyn FileLock>,
}

/// Offsets of all logs of a directory, kept in one file each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    RecoveryPoint,
    ReplicationOffset,
    LogStartOffset,
}

impl Checkpoint {
    /// Kafka's file names; persisted, never renamed.
    fn file_name(self) -> &'static str {
        match self {
            Self::RecoveryPoint => "recovery-point-offset-checkpoint",
            Self::ReplicationOffset => "replication-offset-checkpoint",
            Self::LogStartOffset => "log-start-offset-checkpoint",
        }
    }
}

/// A partition's folder, found in a log directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFolder {
    pub partition: TopicPartition,
    /// `None` when the folder was made but its topic's id was not yet noted.
    pub topic_id: Option<TopicId>,
    pub path: PathBuf,
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
            let topic_id = partition_metadata::read(self.fs.as_ref(), &path)?;
            logs.push(LogFolder {
                partition,
                topic_id,
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
    /// Reads both checkpoint files: whoever opens many logs reads them once and calls
    /// [`PartitionLog::open`].
    pub fn open_log(
        &self,
        partition: &TopicPartition,
        config: LogConfig,
    ) -> Result<(PartitionLog, RepairReport), LogError> {
        let noted = |checkpoint| {
            let offsets = self.read_checkpoint(checkpoint)?;
            Ok::<_, LogError>(offsets.get(partition).copied().unwrap_or(Offset::ZERO))
        };
        let recovery_point = noted(Checkpoint::RecoveryPoint)?;
        let log_start_offset = noted(Checkpoint::LogStartOffset)?;
        let path = self.log_path(partition);
        let exists = self.fs.exists(&path).during("look for", &path)?;
        // A new log starts at zero whatever an earlier topic of its name left in the checkpoint.
        let log_start_offset = if exists {
            log_start_offset
        } else {
            Offset::ZERO
        };
        let fs = Arc::clone(&self.fs);
        PartitionLog::open(fs, &path, config, recovery_point, log_start_offset)
    }

    /// Deletes a log nobody has open: one that is corrupt, so that it can be made again from
    /// another replica, or one whose topic is gone.
    pub fn remove_log(&self, partition: &TopicPartition) -> Result<(), LogError> {
        partition_log::remove_folder(self.fs.as_ref(), &self.log_path(partition))
    }

    /// A checkpoint that was never written is empty.
    pub fn read_checkpoint(
        &self,
        checkpoint: Checkpoint,
    ) -> Result<BTreeMap<TopicPartition, Offset>, LogError> {
        let path = self.path.join(checkpoint.file_name());
        let facts = checkpoint::read(self.fs.as_ref(), &path)?.unwrap_or_default();
        let parse = |fact: &str| {
            let mut fields = fact.rsplitn(3, ' ');
            let offset = Offset(fields.next()?.parse().ok()?);
            let partition = fields.next()?.parse().ok()?;
            let topic = fields.next()?.to_owned();
            Some((TopicPartition { topic, partition }, offset))
        };
        Ok(checkpoint::parse(&path, &facts, parse)?
            .into_iter()
            .collect())
    }

    /// Replaces a checkpoint, durably.
    pub fn write_checkpoint(
        &self,
        checkpoint: Checkpoint,
        offsets: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<(), LogError> {
        let line = |(at, offset): (&TopicPartition, &Offset)| {
            format!("{} {} {offset}", at.topic, at.partition)
        };
        let facts: Vec<String> = offsets.iter().map(line).collect();
        checkpoint::write(
            self.fs.as_ref(),
            &self.path.join(checkpoint.file_name()),
            &facts,
        )
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
