//! For those whose state is the log of a partition, and who act on it while this broker leads in one epoch.

use std::sync::Arc;

use drave_protocol::ids::{LeaderEpoch, Offset, TopicIdPartition};

use super::error::{AppendError, FetchError};
use super::fetch::{Reader, ReadsFrom};
use super::partition::{Acks, Partition};
use super::purgatory::Watch;
use super::read::Isolation;
use super::replicas::Replicas;

/// What there is of a log that is led here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub log_start_offset: Offset,
    pub high_watermark: Offset,
    pub log_end_offset: Offset,
}

impl Replicas {
    /// Whether this broker leads in `epoch` and may believe so: no other leads in a later one that counts.
    pub fn leads_in(&self, partition: TopicIdPartition, epoch: LeaderEpoch) -> bool {
        let leads = || self.extent_in(partition, epoch).is_ok();
        self.lease_is_held(self.clock().now()) && leads()
    }

    /// Whether `append_in` would be refused now.
    pub fn takes_appends_in(
        &self,
        partition: TopicIdPartition,
        epoch: LeaderEpoch,
    ) -> Result<(), AppendError> {
        let found = self.partition(partition);
        let found = found.ok_or(AppendError::UnknownPartition(partition))?;
        if !self.lease_is_held(self.clock().now()) {
            return Err(AppendError::LeaseLost(found.name().clone()));
        }
        let state = found.lock();
        found.appending(&state, Acks::All, Some(epoch)).map(|_| ())
    }

    pub fn extent_in(
        &self,
        partition: TopicIdPartition,
        epoch: LeaderEpoch,
    ) -> Result<Extent, FetchError> {
        self.known(partition)?.extent_in(epoch)
    }

    /// Resolves once all that was written before this epoch is known to be committed.
    ///
    /// Cancellation: safe, it only looks.
    pub async fn settled_in(
        &self,
        partition: TopicIdPartition,
        epoch: LeaderEpoch,
    ) -> Result<Extent, FetchError> {
        let watch = Arc::new(Watch::default());
        let reader = Reader::Consumer {
            isolation: Isolation::ReadUncommitted,
            from: ReadsFrom::Leader,
        };
        // Entered before the first look, so that no change is missed.
        let _watching = self.watch(partition, reader, (&watch, 0));
        loop {
            let extent = self.extent_in(partition, epoch)?;
            if extent.high_watermark >= extent.log_end_offset {
                return Ok(extent);
            }
            watch.woken().await;
            watch.take_marked();
        }
    }
}

impl Partition {
    fn extent_in(&self, epoch: LeaderEpoch) -> Result<Extent, FetchError> {
        let state = self.lock();
        let leader = state.leading(self.name())?;
        let ours = leader.leader_epoch();
        if ours != epoch {
            return Err(if epoch < ours {
                FetchError::FencedLeaderEpoch {
                    partition: self.name().clone(),
                    theirs: epoch,
                    ours,
                }
            } else {
                FetchError::UnknownLeaderEpoch {
                    partition: self.name().clone(),
                    theirs: epoch,
                    ours,
                }
            });
        }
        Ok(Extent {
            log_start_offset: state.log.log_start_offset(),
            high_watermark: leader.high_watermark(),
            log_end_offset: state.log.log_end_offset(),
        })
    }
}
