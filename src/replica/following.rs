//! The follower's side of a partition: where to fetch from, and what to do with what came.
//!
//! Invariants: nothing is taken in unless the partition still follows in the epoch, and stands at the
//! offset, that was asked for; a cut never leaves the high watermark past the log's end.

use bytes::Bytes;
use drave_log::LogError;
use drave_protocol::ids::{LeaderEpoch, NodeId, Offset};
use tracing::info;

use super::follower::Position;
use super::partition::{Partition, Role, State};
use super::truncation::truncation_offset;

impl Partition {
    /// Where to fetch from next, while following `leader`.
    pub(super) fn position(&self, following: NodeId) -> Option<Position> {
        let state = self.lock();
        match &state.role {
            Role::Follower {
                leader: Some(leader),
                leader_epoch,
                ..
            } if *leader == following && state.failure().is_none() => Some(Position {
                leader_epoch: *leader_epoch,
                fetch_offset: state.log.log_end_offset(),
                last_fetched_epoch: state.log.leader_epochs().latest_epoch(),
                log_start_offset: state.log.log_start_offset(),
            }),
            Role::Follower { .. } | Role::Leader(_) | Role::Idle => None,
        }
    }

    /// Appends what came for `position`, unless the world moved on since it was asked for.
    ///
    /// Returns whether there is something to sync.
    pub(super) fn append_fetched(
        &self,
        position: &Position,
        records: &Bytes,
        leader_high_watermark: Offset,
        wall_ms: i64,
    ) -> Result<bool, FetchedError> {
        let mut state = self.lock();
        if !state.still_at(position) {
            return Ok(false);
        }
        if !records.is_empty() {
            match state.log.append_as_follower(records, wall_ms) {
                Ok(_) => {}
                Err(drave_log::AppendError::Storage(error)) => {
                    self.fail(&mut state, &error);
                    return Err(FetchedError::Offline);
                }
                Err(error) => return Err(FetchedError::Refused(error)),
            }
        }
        let known = leader_high_watermark.min(state.log.log_end_offset());
        let high_watermark = state.follower_high_watermark.max(known);
        state.follower_high_watermark = high_watermark;
        state.log.high_watermark_moved(high_watermark);
        Ok(!records.is_empty())
    }

    /// The histories part at (`epoch`, `end_offset`): cuts what the leader never had.
    pub(super) fn truncate_diverging(
        &self,
        position: &Position,
        diverging: (LeaderEpoch, Offset),
    ) -> Result<(), FetchedError> {
        let mut state = self.lock();
        if !state.still_at(position) {
            return Ok(());
        }
        let log_end_offset = state.log.log_end_offset();
        let to = truncation_offset(state.log.leader_epochs(), log_end_offset, diverging);
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

    /// Starts over at `offset`: the leader no longer has what would follow our end.
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
            self.fail(state, &error);
            return Err(FetchedError::Offline);
        }
        let within = state
            .follower_high_watermark
            .min(state.log.log_end_offset());
        state.follower_high_watermark = within.max(state.log.log_start_offset());
        Ok(())
    }
}

/// Why a fetched response was not taken in.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchedError {
    #[error("the replica is offline")]
    Offline,
    #[error("the leader's bytes were refused: {0}")]
    Refused(drave_log::AppendError),
}

impl State {
    fn still_at(&self, position: &Position) -> bool {
        self.failure().is_none()
            && matches!(&self.role, Role::Follower { leader_epoch, .. } if *leader_epoch == position.leader_epoch)
            && self.log.log_end_offset() == position.fetch_offset
    }
}
