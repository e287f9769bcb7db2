//! Making appended bytes durable, in two steps: what to sync is decided under the log's lock, the
//! syncing itself happens outside it, and the log is told afterwards.
//!
//! Invariants: a request never claims more than was appended before it was made; a request from
//! before a truncation claims nothing; after one failed sync every later one fails too, because the
//! kernel has forgotten which pages were lost and would report success for them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use drave_protocol::ids::Offset;
use tracing::error;

use crate::error::{During, LogError};
use crate::fs::{FileSystem, NamedFile};

/// What a log and its sync requests share.
#[derive(Debug)]
pub(crate) struct Health {
    dir: PathBuf,
    failed: AtomicBool,
    deleted: AtomicBool,
    /// One sync at a time: the kernel reports a lost page to one caller only.
    one_sync: Mutex<()>,
}

impl Health {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            failed: AtomicBool::new(false),
            deleted: AtomicBool::new(false),
            one_sync: Mutex::new(()),
        }
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(crate) fn check(&self) -> Result<(), LogError> {
        if self.is_failed() || self.is_deleted() {
            Err(LogError::Failed {
                dir: self.dir.clone(),
            })
        } else {
            Ok(())
        }
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    pub(crate) fn delete(&self) {
        self.deleted.store(true, Ordering::Release);
    }

    pub(crate) fn fail(&self, cause: &LogError) {
        if !self.failed.swap(true, Ordering::AcqRel) {
            error!(dir = %self.dir.display(), error = %cause, "log failed, it takes no more writes");
        }
    }
}

/// Everything needed to make a log durable up to an offset, without the log.
#[derive(Debug)]
pub struct SyncRequest {
    pub(crate) files: Vec<NamedFile>,
    pub(crate) folder: Option<(PathBuf, Arc<dyn FileSystem>)>,
    pub(crate) synced: Synced,
    pub(crate) health: Arc<Health>,
}

/// A log is durable up to an offset; to be told to [`PartitionLog::synced`].
///
/// [`PartitionLog::synced`]: crate::PartitionLog::synced
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synced {
    pub upto: Offset,
    pub(crate) n_truncations: u64,
    pub(crate) n_folder_changes: u64,
}

impl SyncRequest {
    /// The offset the log will be durable up to.
    pub fn upto(&self) -> Offset {
        self.synced.upto
    }

    /// Syncs. Blocks for as long as the disk takes; an error fails the log for good. Of a log
    /// deleted meanwhile there is nothing to sync, and that is no error of the disk.
    pub fn run(self) -> Result<Synced, LogError> {
        let _one = self
            .health
            .one_sync
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.health.is_deleted() {
            return Ok(self.synced);
        }
        self.health.check()?;
        match self.sync() {
            Ok(()) => Ok(self.synced),
            // Its files may be gone already; a deleted log believes no sync anyway.
            Err(_) if self.health.is_deleted() => Ok(self.synced),
            Err(error) => {
                self.health.fail(&error);
                Err(error)
            }
        }
    }

    fn sync(&self) -> Result<(), LogError> {
        for (path, file) in &self.files {
            file.sync_data().during("sync", path)?;
        }
        // A new segment whose name is lost takes its bytes with it.
        if let Some((path, fs)) = &self.folder {
            fs.sync_dir(path).during("sync", path)?;
        }
        Ok(())
    }
}
