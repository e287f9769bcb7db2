//! Opening a log in two steps: what it holds is found first, and made durable then.
//!
//! Who opens many takes the first step with all of them before the second with any. By then the disk has written
//! the ends of most, and syncs that find nothing left to write share what they wait for.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Weak};

use drave_protocol::ids::Offset;

use crate::compaction::swap;
use crate::config::LogConfig;
use crate::density::Density;
use crate::error::{During, LogError};
use crate::fs::{self, FileSystem};
use crate::leader_epochs::LeaderEpochs;
use crate::listing::Listing;
use crate::partition_log::producers::Producers;
use crate::partition_log::{PartitionLog, epochs};
use crate::partition_metadata;
use crate::recovery::{self, Recovered, Recovery, Unsynced};
use crate::recovery_limit::{self, RecoveryLimit};
use crate::repair_report::RepairReport;
use crate::segments::Segments;
use crate::sync::Health;

/// A log that was looked through, and is not to be used before what it holds is durable.
#[must_use = "a log is open once it is settled"]
pub struct Unsettled {
    log: PartitionLog,
    report: RepairReport,
    unsynced: Unsynced,
    epochs_changed: bool,
}

impl PartitionLog {
    /// Opens the log in `dir`, or creates it there, starting at `log_start_offset`.
    ///
    /// `recovery_point` and `log_start_offset` come from the log directory's checkpoints. After
    /// opening, everything the log holds is durable.
    pub fn open(
        fs: Arc<dyn FileSystem>,
        dir: &Path,
        config: LogConfig,
        recovery_point: Offset,
        log_start_offset: Offset,
    ) -> Result<(Self, RepairReport), LogError> {
        let listing = Listing::if_there(fs.as_ref(), dir)?;
        let points = (recovery_point, log_start_offset);
        Unsettled::found(fs, (dir, listing), config, points)?.settled()
    }
}

impl Unsettled {
    /// The first step. `listing` is what the folder holds, if there is one; the points are those of
    /// [`PartitionLog::open`].
    pub(crate) fn found(
        fs: Arc<dyn FileSystem>,
        (dir, listing): (&Path, Option<Listing>),
        config: LogConfig,
        (recovery_point, log_start_offset): (Offset, Offset),
    ) -> Result<Self, LogError> {
        let listing = whole(&fs, dir, listing)?;
        let mut limit = None;
        if listing.has(recovery_limit::FILE_NAME) {
            limit = RecoveryLimit::read(fs.as_ref(), dir)?;
        }
        let trusted = limit.map_or(recovery_point, |it| it.ceiling.min(recovery_point));
        let epochs_on_disk = epochs::read(fs.as_ref(), dir, &listing)?;
        let recovery = Recovery {
            fs: &fs,
            dir,
            listing: &listing,
            config: &config,
            density: Density::of(&listing),
            trusted_below: trusted,
            log_start_offset,
            epochs: epochs_on_disk.clone(),
        };
        let recovered = if let Some(recovered) = recovery.run()? {
            recovered
        } else {
            let had_records = epochs_on_disk.as_ref().is_some_and(LeaderEpochs::is_known);
            if had_records && trusted > log_start_offset {
                return Err(recovery::vanished(dir, log_start_offset, trusted));
            }
            // A checkpoint may still speak of an earlier log in a folder of this name.
            if recovery_point > log_start_offset {
                let lowered = RecoveryLimit::lowered(limit, log_start_offset, recovery_point);
                lowered.write(fs.as_ref(), dir)?;
                limit = Some(lowered);
            }
            created(&fs, dir, recovery.density, log_start_offset)?
        };
        let topic_id = partition_metadata::read(fs.as_ref(), dir)?;
        let Recovered {
            unsynced,
            segments,
            log_start_offset,
            log_end_offset,
            epochs,
            report,
        } = recovered;
        let epochs_changed = epochs_on_disk.as_ref() != Some(&epochs);
        let producers = Producers::load(&fs, (dir, &listing), &segments, log_end_offset)?;
        let log = PartitionLog {
            health: Arc::new(Health::new(dir.to_owned())),
            fs,
            dir: dir.to_owned(),
            config,
            topic_id,
            segments,
            log_start_offset,
            log_end_offset,
            recovery_point: trusted.min(log_end_offset),
            recovery_limit: limit,
            epochs,
            epochs_unwritten_from: None,
            producers,
            compacted_upto: Offset::ZERO,
            compaction: Weak::new(),
            n_truncations: 0,
            // The first segment's name may not be durable yet; one sync of the folder settles it.
            n_folder_changes: 1,
            n_folder_changes_synced: 0,
            sync_prepared: (Offset::ZERO, 0),
        };
        Ok(Self {
            log,
            report,
            unsynced,
            epochs_changed,
        })
    }

    /// The second step. Waits for the disk.
    pub fn settled(self) -> Result<(PartitionLog, RepairReport), LogError> {
        let Self { mut log, .. } = self;
        if let Some((path, file)) = self.unsynced.file {
            file.sync_data().during("sync", &path)?;
        }
        if self.unsynced.names {
            log.fs.sync_dir(&log.dir).during("sync", &log.dir)?;
        }
        log.recovery_point = log.log_end_offset;
        if self.epochs_changed {
            log.write_epochs()?;
        }
        log.lift_recovery_limit()?;
        log.check_invariants();
        Ok((log, self.report))
    }

    pub(crate) fn set_first_dirty_offset(&mut self, offset: Offset) {
        self.log.set_first_dirty_offset(offset);
    }
}

/// Makes the folder, or finishes or undoes what a crash left half swapped in; what the folder holds then.
fn whole(
    fs: &Arc<dyn FileSystem>,
    dir: &Path,
    listing: Option<Listing>,
) -> Result<Listing, LogError> {
    let Some(listing) = listing else {
        fs::create_folder(fs.as_ref(), dir).during("create", dir)?;
        return Ok(Listing::default());
    };
    if !swap::is_unfinished(&listing) {
        return Ok(listing);
    }
    swap::recover(fs, dir)?;
    Listing::of(fs.as_ref(), dir)
}

fn created(
    fs: &Arc<dyn FileSystem>,
    dir: &Path,
    density: Density,
    log_start_offset: Offset,
) -> Result<Recovered, LogError> {
    Ok(Recovered {
        unsynced: Unsynced::default(),
        segments: Segments::create(fs, dir, density, log_start_offset)?,
        log_start_offset,
        log_end_offset: log_start_offset,
        epochs: LeaderEpochs::default(),
        report: RepairReport::default(),
    })
}

impl fmt::Debug for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as it was found", self.log.dir.display())
    }
}
