//! Where a follower cuts its log when its history and the leader's part (KIP-101, KIP-279, KIP-320).
//!
//! Invariant: the answer never depends on a high watermark; only epochs know which bytes are agreed.

use drave_protocol::ids::{LeaderEpoch, Offset};

use drave_log::LeaderEpochs;

/// The offset to truncate to, given the leader's word that `epoch` ended at `end_offset` there.
///
/// One cut may not be enough: the follower fetches again and is told again, until nothing diverges.
pub(super) fn truncation_offset(
    epochs: &LeaderEpochs,
    log_end_offset: Offset,
    (epoch, end_offset): (LeaderEpoch, Offset),
) -> Offset {
    match epochs.end_offset_for(epoch, log_end_offset) {
        // We know the epoch: the shorter of the two histories of it is what both hold.
        Some((own, own_end)) if own == epoch => own_end.min(end_offset).min(log_end_offset),
        // We skipped it: everything after our last smaller epoch is not the leader's.
        Some((_, own_end)) => own_end.min(log_end_offset),
        // All we have is newer than what the leader knows.
        None => end_offset.min(log_end_offset),
    }
}
