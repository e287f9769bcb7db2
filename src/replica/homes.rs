//! The log directories of this node: those in use, those that failed, and which replica lies where.
//!
//! Invariants: a directory that failed is not used again by this process; each directory has its own
//! group commit, so one that is slow or broken keeps nobody in another waiting.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use drave_log::{Checkpoint, Checkpoints, LogDir, LogError, NotedOffsets};
use drave_protocol::ids::{DirectoryId, Offset, TopicIdPartition, TopicPartition};
use parking_lot::Mutex;
use tracing::error;

use super::partition::Partition;
use super::roster::Roster;
use super::space::Space;
use super::unsynced::Unsynced;

/// A log directory in use.
#[derive(Debug)]
pub struct Home {
    pub(super) dir: LogDir,
    directory: DirectoryId,
    noted: Mutex<Checkpoints>,
    /// Logs that are gone and of which the checkpoints on disk may still speak. The next log of such a name
    /// is told what they say, so that it says it is not to be believed.
    gone: Mutex<BTreeSet<TopicPartition>>,
    pub(super) unsynced: Unsynced,
    failure: OnceLock<String>,
    pub(super) space: Space,
    /// The last checkpoints could not be written; said once.
    checkpoints_fail: AtomicBool,
    n_checkpoints: AtomicU64,
}

/// Checkpoints that say what they said before are written now and then all the same: the next start takes
/// their age for the time the node was away.
const UNCHANGED_WRITTEN_EVERY: u64 = 12;

/// A log directory that could not be taken into use when the node started.
#[derive(Clone, Debug)]
pub struct AbsentHome {
    pub path: PathBuf,
    /// As it is known from before.
    pub directory: Option<DirectoryId>,
    pub reason: String,
}

/// All of them.
#[derive(Debug)]
pub struct Homes {
    pub(super) present: Vec<Arc<Home>>,
    pub(super) absent: Vec<AbsentHome>,
    pub(super) roster: Mutex<Roster>,
    /// Logs that may be open at once.
    pub(super) logs_max: usize,
}

impl Home {
    /// Reads what is remembered of the logs in `dir`, and keeps `reserve_bytes` there free of records.
    pub fn open(dir: LogDir, directory: DirectoryId, reserve_bytes: u64) -> Result<Self, LogError> {
        let noted = Mutex::new(dir.checkpoints()?);
        let space = Space::begin(&dir, reserve_bytes);
        Ok(Self {
            dir,
            directory,
            noted,
            gone: Mutex::default(),
            unsynced: Unsynced::default(),
            failure: OnceLock::new(),
            space,
            checkpoints_fail: AtomicBool::new(false),
            n_checkpoints: AtomicU64::new(0),
        })
    }

    pub fn dir(&self) -> &LogDir {
        &self.dir
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn directory(&self) -> DirectoryId {
        self.directory
    }

    /// Why it is no longer used.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Why no replica in it is used, if none is.
    pub(super) fn offline_reason(&self) -> Option<String> {
        let reason = self.failure()?;
        let dir = self.path().display();
        Some(format!("log directory {dir} failed: {reason}"))
    }

    /// The first reason is kept: it is the cause, the rest follow from it.
    pub(super) fn fail(&self, reason: &str) {
        // A second one finds the place taken.
        let _ = self.failure.set(reason.to_owned());
    }

    pub(super) fn noted(&self, partition: &TopicPartition) -> NotedOffsets {
        self.noted.lock().noted(partition)
    }

    /// What is remembered of a log that is opened now, or begun. Of one that is begun under an old name no more than
    /// how much of the old one was durable, which it says itself is not to be believed. Where the old one started
    /// is forgotten on disk too: after a crash the new one would be begun again there.
    pub(super) fn noted_for(&self, partition: &TopicPartition) -> Result<NotedOffsets, LogError> {
        let mut noted = self.noted.lock();
        let known = noted.noted(partition);
        let of_any = NotedOffsets {
            recovery_point: known.recovery_point,
            ..NotedOffsets::default()
        };
        if known == of_any || self.dir.has_log(partition)? {
            return Ok(known);
        }
        noted.note(partition, of_any);
        if known.log_start_offset > Offset::ZERO
            && let Err(error) = self.dir.write_noted(Checkpoint::LogStartOffset, &noted)
        {
            // Whoever tries again must find that it is still to be done.
            noted.note(partition, known);
            return Err(error);
        }
        Ok(of_any)
    }

    pub(super) fn forget(&self, partition: &TopicPartition) {
        self.gone.lock().insert(partition.clone());
    }

    /// Deletes a log nobody has open, and what was put aside of it.
    pub(super) fn delete(&self, partition: &TopicPartition) -> Result<(), LogError> {
        self.forget(partition);
        self.dir.remove_log_aside(partition)?;
        if self.dir.has_log(partition)? {
            self.dir.remove_log(partition)?;
        }
        Ok(())
    }

    /// Writes the checkpoints, with what `partitions` are at now; of others what was known before.
    pub(super) fn write_checkpoints(&self, partitions: &[&Arc<Partition>]) -> Result<(), LogError> {
        let mut noted = self.noted.lock();
        let gone = std::mem::take(&mut *self.gone.lock());
        for name in &gone {
            noted.forget(name);
        }
        for partition in partitions {
            noted.note(partition.name(), partition.offsets_to_note());
        }
        let n_before = self.n_checkpoints.fetch_add(1, Ordering::Relaxed);
        // The writing is long and holds the lock: nobody else but an opening pass wants it.
        let written = if n_before.is_multiple_of(UNCHANGED_WRITTEN_EVERY) {
            self.dir.write_checkpoints(&noted)
        } else {
            self.dir.write_changed(&mut noted)
        };
        if written.is_err() {
            self.gone.lock().extend(gone);
        }
        self.tell_once(written)?;
        for partition in partitions {
            let written = noted.noted(partition.name());
            partition.log_start_noted(written.log_start_offset);
        }
        Ok(())
    }

    /// Writes where the logs of `partitions` start now, and nothing else that is new.
    pub(super) fn write_log_starts(&self, partitions: &[&Arc<Partition>]) -> Result<(), LogError> {
        let mut noted = self.noted.lock();
        for partition in partitions {
            let offsets = NotedOffsets {
                log_start_offset: partition.offsets_to_note().log_start_offset,
                ..noted.noted(partition.name())
            };
            noted.note(partition.name(), offsets);
        }
        let log_starts = Checkpoint::LogStartOffset;
        self.tell_once(self.dir.write_noted(log_starts, &noted))?;
        for partition in partitions {
            let written = noted.noted(partition.name());
            partition.log_start_noted(written.log_start_offset);
        }
        Ok(())
    }

    /// Checkpoints that cannot be written are tried every few seconds, and told of when that begins.
    fn tell_once(&self, written: Result<(), LogError>) -> Result<(), LogError> {
        let is_failure = written.is_err();
        let failed_before = self.checkpoints_fail.swap(is_failure, Ordering::Relaxed);
        if let Err(error) = &written
            && !failed_before
        {
            error!(dir = %self.path().display(), %error, "checkpoints could not be written");
        }
        written
    }
}

impl Homes {
    pub fn new(present: Vec<Home>, absent: Vec<AbsentHome>, roster: Roster) -> Self {
        Self {
            present: present.into_iter().map(Arc::new).collect(),
            absent,
            roster: Mutex::new(roster),
            logs_max: usize::MAX,
        }
    }

    /// No more logs than that are begun: each keeps a file open, and those are counted.
    #[must_use]
    pub fn of_at_most(self, logs_max: usize) -> Self {
        Self { logs_max, ..self }
    }

    pub fn present(&self) -> &[Arc<Home>] {
        &self.present
    }

    /// Those that have not failed.
    pub(super) fn well(&self) -> impl Iterator<Item = &Arc<Home>> {
        self.present.iter().filter(|it| it.failure().is_none())
    }

    pub(super) fn by_id(&self, directory: DirectoryId) -> Option<&Arc<Home>> {
        self.present.iter().find(|it| it.directory == directory)
    }

    /// Where a replica was placed.
    pub(super) fn home_of(&self, id: TopicIdPartition) -> Option<&Arc<Home>> {
        let directory = self.roster.lock().home_of(id)?;
        self.by_id(directory)
    }

    /// A replica is no longer held here. What was put aside of its log goes with it.
    pub(super) fn forget(&self, id: TopicIdPartition, name: &TopicPartition) {
        if let Some(home) = self.home_of(id) {
            home.forget(name);
            if let Err(error) = home.dir.remove_log_aside(name) {
                error!(partition = %name, %error, "what was put aside of its log could not be removed");
            }
        }
        self.roster.lock().forget(id);
    }

    /// The reason for which the node cannot go on: nothing is left to store records in, or the
    /// directory of the metadata log is broken.
    pub(super) fn fatal(&self, metadata_dir: &Path) -> Option<String> {
        let failed = |it: &Arc<Home>| {
            let reason = it.failure()?;
            Some(format!("{}: {reason}", it.path().display()))
        };
        let of_metadata = self.present.iter().find(|it| it.path() == metadata_dir);
        if let Some(reason) = of_metadata.and_then(failed) {
            return Some(format!(
                "the directory of the metadata log failed: {reason}"
            ));
        }
        let reasons: Vec<String> = self.present.iter().filter_map(failed).collect();
        (reasons.len() == self.present.len())
            .then(|| format!("no log directory is left: {}", reasons.join("; ")))
    }
}
