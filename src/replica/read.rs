//! What readers may see of a partition: consumers below the high watermark, or, if they want decided
//! transactions only, below the last stable offset; followers to the LEO.

use std::sync::Arc;
use std::time::Instant;

use drave_log::planted::{Fault, is_planted};
use drave_log::{AbortedTransaction, LogSlice, ReadError, Trouble};
use drave_protocol::ids::{LeaderEpoch, NodeId, Offset, TopicIdPartition};

use super::error::FetchError;
use super::fetch::ReadsFrom;
use super::leader::{Event, FollowerFetch, Leader};
use super::partition::{FollowerId, Partition, Role, State};
use super::truncation::{Divergence, divergence, shares_nothing};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    ReadUncommitted,
    ReadCommitted,
}

impl Isolation {
    /// As clients number it.
    pub fn of_level(level: i8) -> Self {
        match level {
            0 => Self::ReadUncommitted,
            _ => Self::ReadCommitted,
        }
    }
}

/// One partition of a fetch.
#[derive(Clone, Copy, Debug)]
pub struct FetchPartition {
    pub partition: TopicIdPartition,
    /// The epoch the caller believes in, if it says; another one is refused.
    pub current_leader_epoch: Option<LeaderEpoch>,
    pub fetch_offset: Offset,
    /// Epoch of the caller's last record, for finding divergence.
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// Where the follower's log starts, crash or no crash.
    pub log_start_offset: Option<Offset>,
    /// Bytes; at least one batch is returned even when it is larger.
    pub max_bytes: usize,
}

#[derive(Clone, Debug)]
pub struct Fetched {
    pub high_watermark: Offset,
    pub last_stable_offset: Offset,
    pub log_start_offset: Offset,
    /// Set instead of records when the caller's history is not ours: (epoch, its end here).
    pub diverging: Option<(LeaderEpoch, Offset)>,
    /// Set instead of records when a follower nearer to the consumer has them.
    pub preferred_read_replica: Option<NodeId>,
    /// Whether the reader is to be answered at once, records or none.
    pub has_news: bool,
    /// Whether nothing but a change of the partition makes it worth looking again: not so for a follower that
    /// is to join the ISR.
    pub is_settled: bool,
    /// Where the records lie; `None` when there are none (yet).
    pub records: Option<LogSlice>,
    /// For readers of committed records: whose of these they must leave out.
    pub aborted: Vec<AbortedTransaction>,
}

/// What a client asks of `ListOffsets`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetQuery {
    Earliest,
    Latest,
    MaxTimestamp,
    /// First record stamped at or after this many milliseconds since the epoch.
    Timestamp(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    pub offset: Offset,
    pub timestamp_ms: Option<i64>,
    pub leader_epoch: Option<LeaderEpoch>,
}

impl Fetched {
    pub fn n_bytes(&self) -> usize {
        self.records.as_ref().map_or(0, LogSlice::len)
    }
}

impl State {
    /// Whether we lead and our high watermark may be older than the truth.
    fn is_unsettled(&self) -> bool {
        matches!(&self.role, Role::Leader(leader)
            if leader.high_watermark() < leader.leader_epoch_start())
    }

    /// Where a consumer's reading ends.
    fn readable_below(&self, isolation: Isolation) -> Offset {
        let high_watermark = self.high_watermark();
        match isolation {
            Isolation::ReadUncommitted if is_planted(Fault::ReadsPastHighWatermark) => {
                self.log.log_end_offset()
            }
            Isolation::ReadUncommitted => high_watermark,
            Isolation::ReadCommitted => self.log.last_stable_offset(high_watermark),
        }
    }
}

impl Partition {
    pub(super) fn read_as_consumer(
        self: &Arc<Self>,
        fetch: &FetchPartition,
        isolation: Isolation,
        from: ReadsFrom,
    ) -> Result<Fetched, FetchError> {
        let state = self.lock();
        self.check_epoch_of_any(&state, from, fetch.current_leader_epoch)?;
        if let Some(diverging) = self.divergence(&state, fetch)? {
            return Ok(Self::fetched(&state, Some(diverging), None));
        }
        let upper = state.readable_below(isolation);
        let log_end_offset = state.log.log_end_offset();
        let is_follower = matches!(state.role, Role::Follower { .. });
        let is_beyond = fetch.fetch_offset > state.high_watermark();
        let is_unsure = is_follower || state.is_unsettled();
        if is_beyond && fetch.fetch_offset <= log_end_offset && is_unsure {
            // Another leader, or this one before, told the consumer of more than we know yet: no less may be
            // told now.
            return Err(FetchError::OffsetNotAvailable {
                partition: self.name().clone(),
            });
        }
        // Between the two lies what is written but not decided: not out of range, only not yet.
        let waits = fetch.fetch_offset > upper && fetch.fetch_offset <= log_end_offset;
        let records = if waits {
            None
        } else {
            self.read(&state, fetch, upper)
                .inspect_err(|error| self.suspect_if_damaged(error, fetch.fetch_offset))?
        };
        let aborted = match (isolation, &records) {
            (Isolation::ReadCommitted, Some(records)) => state
                .log
                .aborted_transactions_in(fetch.fetch_offset, records)
                .map_err(|source| FetchError::Read {
                    partition: self.name().clone(),
                    source: ReadError::Storage(source),
                })?,
            (Isolation::ReadCommitted, None) | (Isolation::ReadUncommitted, _) => Vec::new(),
        };
        Ok(Fetched {
            aborted,
            ..Self::fetched(&state, None, records)
        })
    }

    /// `eligible`: registered with this epoch, neither fenced nor shutting down.
    pub(super) fn read_as_follower(
        self: &Arc<Self>,
        fetch: &FetchPartition,
        (follower, eligible): (FollowerId, bool),
        now: Instant,
    ) -> Result<Fetched, FetchError> {
        let mut state = self.lock();
        // One that does not say which leader it follows may mean another.
        let theirs = fetch.current_leader_epoch.unwrap_or(LeaderEpoch::UNKNOWN);
        self.check_epoch(&state, Some(theirs))?;
        if !self
            .leader(&state)?
            .followers()
            .contains_key(&follower.node)
        {
            return Err(FetchError::NotAReplica {
                partition: self.name().clone(),
                follower: follower.node,
            });
        }
        // A follower whose history parts from ours tells nothing of what it holds.
        if let Some(diverging) = self.divergence_of_follower(&state, fetch)?
            && !is_planted(Fault::DivergenceUnseen)
        {
            return Ok(Self::fetched(&state, Some(diverging), None));
        }
        let records = self
            .read(&state, fetch, state.log.log_end_offset())
            .inspect_err(|error| self.suspect_if_damaged(error, fetch.fetch_offset))?;
        // Else it might lead tomorrow with what it was answered today that it is deleted.
        let has_let_go = fetch
            .log_start_offset
            .is_none_or(|it| it >= state.log.log_start_offset());
        let said = FollowerFetch {
            follower: follower.node,
            broker_epoch: follower.broker_epoch,
            fetch_offset: fetch.fetch_offset,
            log_start_offset: fetch.log_start_offset,
        };
        let event = Event::FollowerFetched {
            fetch: said,
            eligible: eligible && has_let_go,
        };
        self.step(&mut state, event, now);
        if let Role::Leader(leader) = &state.role
            && leader.is_sent_in_vain(follower.node)
        {
            self.signals.suspect(self, fetch.fetch_offset);
        }
        let has_news = state.is_news(follower.node);
        let is_settled = self.leader(&state)?.isr().contains(&follower.node);
        Ok(Fetched {
            has_news,
            is_settled,
            ..Self::fetched(&state, None, records)
        })
    }

    /// Damage met by a reader is looked at off its way, and takes the replica offline there.
    fn suspect_if_damaged(self: &Arc<Self>, error: &FetchError, offset: Offset) {
        if let FetchError::Read {
            source: ReadError::Storage(error),
            ..
        } = error
            && error.trouble() == Trouble::Damage
        {
            self.signals.suspect(self, offset);
        }
    }

    fn fetched(
        state: &State,
        diverging: Option<(LeaderEpoch, Offset)>,
        records: Option<LogSlice>,
    ) -> Fetched {
        let high_watermark = state.high_watermark();
        Fetched {
            high_watermark,
            last_stable_offset: state.log.last_stable_offset(high_watermark),
            log_start_offset: state.log.log_start_offset(),
            has_news: diverging.is_some(),
            is_settled: diverging.is_none(),
            diverging,
            preferred_read_replica: None,
            records,
            aborted: Vec::new(),
        }
    }

    pub(super) fn leader<'s>(&self, state: &'s State) -> Result<&'s Leader, FetchError> {
        Ok(state.leading(self.name())?)
    }

    fn check_epoch(&self, state: &State, theirs: Option<LeaderEpoch>) -> Result<(), FetchError> {
        let ours = self.leader(state)?.leader_epoch();
        self.check_same_epoch(theirs, ours)
    }

    /// As `check_epoch`; a follower too may answer one who reads from any replica.
    fn check_epoch_of_any(
        &self,
        state: &State,
        from: ReadsFrom,
        theirs: Option<LeaderEpoch>,
    ) -> Result<(), FetchError> {
        match (&state.role, from) {
            (Role::Follower { leader_epoch, .. }, ReadsFrom::AnyReplica)
                if state.failure().is_none() =>
            {
                self.check_same_epoch(theirs, *leader_epoch)
            }
            (Role::Follower { .. } | Role::Leader(_) | Role::Idle, _) => {
                self.check_epoch(state, theirs)
            }
        }
    }

    fn check_same_epoch(
        &self,
        theirs: Option<LeaderEpoch>,
        ours: LeaderEpoch,
    ) -> Result<(), FetchError> {
        match theirs {
            Some(theirs) if theirs < ours => Err(FetchError::FencedLeaderEpoch {
                partition: self.name().clone(),
                theirs,
                ours,
            }),
            Some(theirs) if theirs > ours => Err(FetchError::UnknownLeaderEpoch {
                partition: self.name().clone(),
                theirs,
                ours,
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Where the caller's history and ours part, if they do (protocol rule 3 of a follower fetch).
    fn divergence(
        &self,
        state: &State,
        fetch: &FetchPartition,
    ) -> Result<Option<(LeaderEpoch, Offset)>, FetchError> {
        let Some(theirs) = fetch.last_fetched_epoch else {
            return Ok(None);
        };
        if fetch.fetch_offset < state.log.log_start_offset() {
            return Err(self.out_of_range(state, fetch.fetch_offset));
        }
        let (epochs, log_end_offset) = (state.log.leader_epochs(), state.log.log_end_offset());
        match divergence(epochs, log_end_offset, (fetch.fetch_offset, theirs)) {
            Divergence::None => Ok(None),
            Divergence::At(epoch, end) => Ok(Some((epoch, end))),
            Divergence::Unknown => Err(self.out_of_range(state, fetch.fetch_offset)),
        }
    }

    /// As above; of one that shares nothing all it has parts from ours: it starts over at our log start.
    fn divergence_of_follower(
        &self,
        state: &State,
        fetch: &FetchPartition,
    ) -> Result<Option<(LeaderEpoch, Offset)>, FetchError> {
        let parts_at = self.divergence(state, fetch)?;
        let (epochs, start) = (state.log.leader_epochs(), state.log.log_start_offset());
        let stranger = fetch
            .last_fetched_epoch
            .filter(|it| shares_nothing(epochs, start, *it));
        Ok(stranger.map(|it| (it, Offset::ZERO)).or(parts_at))
    }

    fn read(
        &self,
        state: &State,
        fetch: &FetchPartition,
        upper: Offset,
    ) -> Result<Option<LogSlice>, FetchError> {
        let (start, end) = (state.log.log_start_offset(), state.log.log_end_offset());
        if fetch.fetch_offset < start || fetch.fetch_offset > end {
            return Err(self.out_of_range(state, fetch.fetch_offset));
        }
        if fetch.max_bytes == 0 {
            return Ok(None); // the request's budget went to the partitions before
        }
        state
            .log
            .slice(fetch.fetch_offset, upper, fetch.max_bytes)
            .map_err(|source| FetchError::Read {
                partition: self.name().clone(),
                source,
            })
    }

    fn out_of_range(&self, state: &State, requested: Offset) -> FetchError {
        FetchError::OffsetOutOfRange {
            partition: self.name().clone(),
            requested,
            log_start_offset: state.log.log_start_offset(),
            log_end_offset: state.log.log_end_offset(),
        }
    }

    /// `None` as the answer to a timestamp nothing is as young as.
    pub(super) fn list_offset(
        &self,
        query: OffsetQuery,
        isolation: Isolation,
        current_leader_epoch: Option<LeaderEpoch>,
    ) -> Result<Option<ListedOffset>, FetchError> {
        let state = self.lock();
        self.check_epoch(&state, current_leader_epoch)?;
        let leader = self.leader(&state)?;
        // KIP-207: an offset handed out before could be above what we know to be committed.
        if state.is_unsettled() && query != OffsetQuery::Earliest {
            return Err(FetchError::OffsetNotAvailable {
                partition: self.name().clone(),
            });
        }
        let upper = state.readable_below(isolation);
        let at = |offset: Offset| {
            Some(ListedOffset {
                offset,
                timestamp_ms: None,
                leader_epoch: Some(leader.leader_epoch()),
            })
        };
        let found = match query {
            OffsetQuery::Earliest => {
                let start = state.log.log_start_offset();
                let leader_epoch = state.log.leader_epochs().epoch_at(start);
                return Ok(Some(ListedOffset {
                    offset: start,
                    timestamp_ms: None,
                    leader_epoch,
                }));
            }
            OffsetQuery::Latest => return Ok(at(upper)),
            OffsetQuery::MaxTimestamp => state.log.max_timestamp(),
            OffsetQuery::Timestamp(timestamp) => state.log.offset_for_timestamp(timestamp),
        };
        let found = found
            .map_err(|source| FetchError::Read {
                partition: self.name().clone(),
                source,
            })?
            .filter(|it| it.offset < upper);
        Ok(found.map(|it| ListedOffset {
            offset: it.offset,
            timestamp_ms: Some(it.timestamp_ms),
            leader_epoch: Some(it.leader_epoch),
        }))
    }

    pub(super) fn epoch_end_offset(
        &self,
        current_leader_epoch: Option<LeaderEpoch>,
        requested: LeaderEpoch,
    ) -> Result<Option<(LeaderEpoch, Offset)>, FetchError> {
        let state = self.lock();
        self.check_epoch(&state, current_leader_epoch)?;
        Ok(state
            .log
            .leader_epochs()
            .end_offset_for(requested, state.log.log_end_offset()))
    }
}

#[cfg(test)]
#[path = "read_test.rs"]
mod tests;
