//! Where a follower cuts its log when its history and the leader's part (KIP-101, KIP-279, KIP-320).
//!
//! Invariant: the answer never depends on a high watermark; only epochs know which bytes are agreed.

use drave_protocol::ids::{LeaderEpoch, Offset};

use drave_log::LeaderEpochs;

/// What a leader finds when it holds a follower's last record against its own history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Divergence {
    None,
    /// The leader's word on where the follower's last epoch, or the one before it, ended.
    At(LeaderEpoch, Offset),
    /// No epoch of the leader's is old enough to compare with, or none new enough.
    Unknown,
}

/// Holds a follower's next offset and the epoch of its last record against the leader's history.
pub(super) fn divergence(
    epochs: &LeaderEpochs,
    log_end_offset: Offset,
    (fetch_offset, last_fetched_epoch): (Offset, LeaderEpoch),
) -> Divergence {
    match epochs.end_offset_for(last_fetched_epoch, log_end_offset) {
        None => Divergence::Unknown,
        Some((epoch, end)) if epoch < last_fetched_epoch || end < fetch_offset => {
            Divergence::At(epoch, end)
        }
        Some(_) => Divergence::None,
    }
}

/// Whether nothing a follower has is known to be ours: all we know was written later, and our log begins with it. What
/// such a follower says it has was deleted here, or never was: its offsets may be the same, and what it knows of producers
/// would have it take a record that is lost for one that came before.
pub(super) fn shares_nothing(
    epochs: &LeaderEpochs,
    log_start_offset: Offset,
    last_fetched_epoch: LeaderEpoch,
) -> bool {
    let first = epochs.entries().first();
    first.is_some_and(|it| last_fetched_epoch < it.epoch && it.start_offset <= log_start_offset)
}

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

#[cfg(test)]
#[path = "truncation_test.rs"]
mod tests;
