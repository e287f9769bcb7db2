//! The follower's side of a partition: where to fetch from, and what to do with what came.
//!
//! Invariants: nothing is taken in unless the partition still follows in the epoch, and stands at the
//! offset, that was asked for; a cut never leaves the high watermark past the log's end.

use std::sync::Arc;

use bytes::Bytes;
use drave_log::LogError;
use drave_log::planted::{Fault, is_planted};
use drave_protocol::ids::{LeaderEpoch, NodeId, Offset};
use drave_protocol::record::batch;
use tracing::info;

use super::follower::{LeaderBounds, Position};
use super::partition::{Partition, Role, State};
use super::purgatory::Change;
use super::truncation::truncation_offset;

impl Partition {
    /// Where to fetch from next, while following `leader`. To fetch is to claim all below: what is not on disk
    /// yet, and counts only there, is waited for, and the fetcher woken then.
    pub(super) fn position(&self, following: NodeId) -> Option<Position> {
        let mut state = self.lock();
        let is_held =
            state.counted_end() == state.log.log_end_offset() || is_planted(Fault::ClaimsUnsynced);
        state.is_awaited_by_fetcher = !is_held;
        // What there is no room for need not be sent here again and again.
        let may_fetch = is_held && state.failure().is_none() && !self.home().space.is_full();
        match &state.role {
            Role::Follower {
                leader: Some(leader),
                leader_epoch,
                ..
            } if *leader == following && may_fetch => Some(Position {
                leader_epoch: *leader_epoch,
                fetch_offset: state.log.log_end_offset(),
                last_fetched_epoch: state.log.leader_epochs().latest_epoch(),
                log_start_offset: state.durable_log_start(),
            }),
            Role::Follower { .. } | Role::Leader(_) | Role::Idle => None,
        }
    }

    /// Appends what came for `position`, unless the world moved on since it was asked for, and lets go of
    /// what the leader let go of.
    pub(super) fn append_fetched(
        self: &Arc<Self>,
        position: &Position,
        records: &Bytes,
        leader: LeaderBounds,
        wall_ms: i64,
    ) -> Result<Taken, FetchedError> {
        let mut state = self.lock();
        if !state.still_at(position) {
            return Ok(Taken::default());
        }
        check_epochs(records, position.leader_epoch)?;
        // First what it let go of: a log of which nothing is left begins with whatever batch comes.
        self.heed(&mut state, leader)?;
        if !records.is_empty() {
            match state.log.append_as_follower(records, wall_ms) {
                Ok(_) => {}
                Err(drave_log::AppendError::Storage(error)) => {
                    self.fail(&mut state, &error);
                    return Err(FetchedError::Offline);
                }
                Err(drave_log::AppendError::Full) => {
                    self.home().found_full();
                    // What did fit is synced before the next fetch claims to hold it.
                    let has_grown = state.log.log_end_offset() > position.fetch_offset;
                    if !has_grown {
                        // A log that was about to begin with a batch from before its start may be empty before it.
                        state.bound_high_watermark();
                        return Err(FetchedError::Full);
                    }
                }
                Err(error) => return Err(FetchedError::Refused(error)),
            }
        }
        self.heed(&mut state, leader)?;
        Ok(Taken {
            has_more_to_sync: !records.is_empty(),
            // Also where it did not rise: the segments may begin before it now.
            has_more_to_note: state.durable_log_start() < state.log.log_start_offset(),
        })
    }

    /// Takes the leader's word on what is committed and where the log starts, as far as our log goes.
    fn heed(self: &Arc<Self>, state: &mut State, leader: LeaderBounds) -> Result<(), FetchedError> {
        let known = leader.high_watermark.min(state.log.log_end_offset());
        let high_watermark = state.follower_high_watermark.max(known);
        let before = std::mem::replace(&mut state.follower_high_watermark, high_watermark);
        if before < high_watermark {
            state.log.high_watermark_moved(high_watermark);
            state.watchers.tell(Change::HighWatermark);
        }
        // Never beyond what is known to be committed.
        let log_start_offset = leader.log_start_offset.min(high_watermark);
        let rose = self.raise_log_start(state, log_start_offset);
        rose.map(|_| ()).map_err(|_| FetchedError::Offline)
    }

    /// The histories part at (`epoch`, `end_offset`): cuts what the leader never had. Where they part below its log
    /// start there is nothing to keep, what is known of producers included.
    pub(super) fn truncate_diverging(
        &self,
        position: &Position,
        diverging: (LeaderEpoch, Offset),
        leader_start: Offset,
    ) -> Result<(), FetchedError> {
        let mut state = self.lock();
        if !state.still_at(position) {
            return Ok(());
        }
        let log_end_offset = state.log.log_end_offset();
        let to = truncation_offset(state.log.leader_epochs(), log_end_offset, diverging);
        if to < leader_start {
            drop(state);
            return self.restart_at(position, leader_start);
        }
        info!(
            partition = %self.name(),
            leader_epoch = %position.leader_epoch,
            from = %log_end_offset,
            %to,
            "truncates to the leader's history"
        );
        let outcome = state.log.truncate_to(to);
        self.cut(&mut state, outcome)
    }

    /// Starts over at `offset`: the leader no longer has what would follow our end, or nothing of ours.
    pub(super) fn restart_at(
        &self,
        position: &Position,
        offset: Offset,
    ) -> Result<(), FetchedError> {
        let mut state = self.lock();
        if !state.still_at(position) {
            return Ok(());
        }
        info!(partition = %self.name(), %offset, "starts over at the leader's log start");
        let outcome = state.log.reset_to(offset);
        self.cut(&mut state, outcome)
    }

    /// Cuts to the leader's end: it is shorter than we are.
    pub(super) fn truncate_to_leader_end(
        &self,
        position: &Position,
        leader_end: Offset,
    ) -> Result<(), FetchedError> {
        let mut state = self.lock();
        if !state.still_at(position) {
            return Ok(());
        }
        let outcome = state.log.truncate_to(leader_end);
        self.cut(&mut state, outcome)
    }

    fn cut(&self, state: &mut State, outcome: Result<(), LogError>) -> Result<(), FetchedError> {
        if let Err(error) = outcome {
            if self.home().takes_for_full(&error) && !state.log.is_failed() {
                return Err(FetchedError::Full);
            }
            self.fail(state, &error);
            return Err(FetchedError::Offline);
        }
        state.bound_high_watermark();
        Ok(())
    }
}

/// What a leader sent in an epoch it wrote before it ended. Where it was cut and written over while on its
/// way, it says so itself: by a newer epoch.
fn check_epochs(records: &Bytes, leader_epoch: LeaderEpoch) -> Result<(), FetchedError> {
    let mut epochs = batch::iter(records).flatten();
    match epochs.find(|(_, header, _)| header.partition_leader_epoch > leader_epoch) {
        Some((_, header, _)) => Err(FetchedError::EpochAhead {
            leader_epoch,
            got: header.partition_leader_epoch,
            offset: header.base_offset,
        }),
        None => Ok(()),
    }
}

/// What is left to do after a fetched answer, before the next fetch may claim it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub has_more_to_sync: bool,
    pub has_more_to_note: bool,
}

/// Why a fetched response was not taken in.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchedError {
    #[error("the replica is offline")]
    Offline,
    #[error("its disk is full")]
    Full,
    #[error("the leader's bytes were refused: {0}")]
    Refused(drave_log::AppendError),
    #[error(
        "the batch at {offset} is of epoch {got}, which came after the leader's {leader_epoch}"
    )]
    EpochAhead {
        leader_epoch: LeaderEpoch,
        got: LeaderEpoch,
        offset: Offset,
    },
}

impl State {
    fn bound_high_watermark(&mut self) {
        let within = self.follower_high_watermark.min(self.log.log_end_offset());
        self.follower_high_watermark = within.max(self.log.log_start_offset());
    }

    fn still_at(&self, position: &Position) -> bool {
        self.failure().is_none()
            && matches!(&self.role, Role::Follower { leader_epoch, .. }
                if *leader_epoch == position.leader_epoch)
            && self.log.log_end_offset() == position.fetch_offset
    }
}
