//! What must hold of a partition, one file per property. L1 to L18 are the numbers the documentation
//! (`docs/simulation.md`) calls them by.
//!
//! An invariant sees facts only, and what they amount to ([`Known`]): it runs on any source of them.

use std::fmt::Debug;

use crate::history::Fact;
use crate::oracle::Known;

mod acked_survives;
mod appends_keep_real_time;
mod candidates_are_complete;
mod committed_is_not_cut;
mod deleted_stays_deleted;
mod epochs_match_batches;
mod fenced_accepts_nothing;
mod heals;
mod high_watermark_is_held;
mod latest_never_falls;
mod log_starts_rise;
mod logs_match;
mod offsets_are_dense;
mod one_leader_per_epoch;
mod one_value_per_offset;
mod partition_epochs_step;
mod readers_stay_below;
mod retries_are_known;
mod sequences_rise;
mod stored_once;

/// `Err`: the name of the invariant, and how it fails to hold.
pub type Verdict = Result<(), (&'static str, String)>;

pub trait Invariant: Debug {
    /// Looks at a fact before it changes what is known.
    fn before(&mut self, _known: &Known, _fact: &Fact) -> Verdict {
        Ok(())
    }

    /// Looks at it afterwards.
    fn after(&mut self, _known: &Known, _fact: &Fact) -> Verdict {
        Ok(())
    }
}

pub fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(heals::Heals),
        Box::new(high_watermark_is_held::HighWatermarkIsHeld),
        Box::new(acked_survives::AckedSurvives::default()),
        Box::new(one_value_per_offset::OneValuePerOffset::default()),
        Box::new(stored_once::StoredOnce::default()),
        Box::new(offsets_are_dense::OffsetsAreDense),
        Box::new(sequences_rise::SequencesRise::default()),
        Box::new(appends_keep_real_time::AppendsKeepRealTime::default()),
        Box::new(latest_never_falls::LatestNeverFalls::default()),
        Box::new(readers_stay_below::ReadersStayBelow),
        Box::new(logs_match::LogsMatch::default()),
        Box::new(one_leader_per_epoch::OneLeaderPerEpoch::default()),
        Box::new(epochs_match_batches::EpochsMatchBatches),
        Box::new(candidates_are_complete::CandidatesAreComplete),
        Box::new(committed_is_not_cut::CommittedIsNotCut),
        Box::new(log_starts_rise::LogStartsRise),
        Box::new(deleted_stays_deleted::DeletedStaysDeleted::default()),
        Box::new(partition_epochs_step::PartitionEpochsStep),
        Box::new(fenced_accepts_nothing::FencedAcceptsNothing),
        Box::new(retries_are_known::RetriesAreKnown),
    ]
}
