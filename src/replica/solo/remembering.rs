//! What is noted on disk of a log beside the log itself, now and then and at a clean stop.

use drave_protocol::ids::BrokerEpoch;

use super::Solo;

impl Solo {
    pub fn note_log_start(&self) {
        if let Some(partition) = &self.partition
            && let Err(error) = self.home().write_log_starts(&[partition])
        {
            self.home().fail(&error.to_string());
        }
    }

    /// What is remembered every few seconds, and at a clean stop. Returns whether it was.
    pub fn write_checkpoints(&self) -> bool {
        let Some(partition) = &self.partition else {
            return true;
        };
        let written = self.home().write_checkpoints(&[partition]);
        if let Err(error) = &written {
            self.home().fail(&error.to_string());
        }
        partition.snapshot_producers();
        written.is_ok()
    }

    /// The end of a clean stop: the last syncs and checkpoints, and the marker that says so.
    pub fn close(&self, broker_epoch: BrokerEpoch) {
        if let Some(partition) = &self.partition {
            partition.close();
            if !self.write_checkpoints() || !partition.is_durable() {
                return;
            }
        }
        // Without it the next start counts as unclean.
        let _ = self.home().dir().mark_clean_shutdown(broker_epoch);
    }
}
