//! Making the log durable, and saying how far it is.

use std::sync::Arc;

use crate::density::Density;
use crate::error::LogError;
use crate::partition_log::PartitionLog;
use crate::sync::{SyncRequest, Synced};

impl PartitionLog {
    /// What must be synced for everything appended so far to be durable; `None` when it is, or the
    /// log is deleted. Of a failed log the request fails too.
    pub fn prepare_sync(&mut self) -> Option<SyncRequest> {
        if self.recovery_point == self.log_end_offset || self.health.is_deleted() {
            return None;
        }
        let mut files = self
            .segments
            .files_from(self.recovery_point)
            .unwrap_or_else(|error| {
                self.health.fail(&error);
                Vec::new()
            });
        files.extend(self.producers.unsynced());
        let folder = (self.n_folder_changes > self.n_folder_changes_synced)
            .then(|| (self.dir.clone(), Arc::clone(&self.fs)));
        let synced = Synced {
            upto: self.log_end_offset,
            n_truncations: self.n_truncations,
            n_folder_changes: self.n_folder_changes,
        };
        let active = self.segments.active();
        self.sync_prepared = (active.base_offset(), active.size());
        let health = Arc::clone(&self.health);
        Some(SyncRequest {
            files,
            folder,
            synced,
            health,
        })
    }

    /// Whether only the active segment may hold bytes that are not durable.
    pub fn is_sealed_part_durable(&self) -> bool {
        self.recovery_point >= self.segments.active().base_offset()
    }

    /// Bytes of the active segment that came after the last sync was prepared.
    pub fn unsynced_bytes(&self) -> u64 {
        let active = self.segments.active();
        let (base_offset, size) = self.sync_prepared;
        if active.base_offset() == base_offset {
            active.size().saturating_sub(size)
        } else {
            active.size()
        }
    }

    /// Takes note of a sync that succeeded. One from before a truncation says nothing any more.
    pub fn synced(&mut self, synced: Synced) {
        if synced.n_truncations != self.n_truncations || self.health.check().is_err() {
            return;
        }
        self.recovery_point = self.recovery_point.max(synced.upto);
        self.segments.synced(self.recovery_point);
        self.producers.synced(synced.upto);
        self.n_folder_changes_synced = self.n_folder_changes_synced.max(synced.n_folder_changes);
        self.check_invariants();
        // A limit that stays costs a longer scan after a crash, nothing else.
        let _ = self.lift_recovery_limit();
    }

    /// Lets offsets be missing between batches from now on, durably: to be called before the first
    /// batch after a hole is appended or swapped in. The log says so for ever after.
    pub fn allow_holes(&mut self) -> Result<(), LogError> {
        self.health.check()?;
        if self.segments.density() == Density::Holes {
            return Ok(());
        }
        // What a crash takes from the middle would pass for a hole: nothing undurable may be left.
        self.flush()?;
        Density::write_marker(self.fs.as_ref(), &self.dir)?;
        self.segments.allow_holes();
        Ok(())
    }

    /// Syncs here and now, epochs too: for shutdown, and where nobody waits.
    pub fn flush(&mut self) -> Result<(), LogError> {
        if let Some(request) = self.prepare_sync() {
            let synced = request.run()?;
            self.synced(synced);
        }
        // On a full disk the next start reads them from the batches.
        let _ = self.write_down_epochs();
        Ok(())
    }
}
