//! Who may act here: this broker as a leader, by its lease; a follower as one that counts, by the image.

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use drave_log::planted::{Fault, is_planted};
use drave_protocol::ids::LeaderEpoch;
use drave_raft::image::MetadataImage;

use crate::cluster::lease::BrokerLease;

use super::error::AppendError;
use super::partition::{Acks, Appended, FollowerId, Partition};

impl Partition {
    /// Appends where this broker may still believe that it leads.
    pub(super) fn append_under(
        self: &Arc<Self>,
        lease: &BrokerLease,
        records: BytesMut,
        acks: Acks,
        (now, wall_ms): (Instant, i64),
    ) -> Result<Appended, AppendError> {
        self.append_in_epoch(lease, records, acks, None, (now, wall_ms))
    }

    /// As `append_under`, where an epoch is given in no other.
    pub(super) fn append_in_epoch(
        self: &Arc<Self>,
        lease: &BrokerLease,
        records: BytesMut,
        acks: Acks,
        only_in: Option<LeaderEpoch>,
        (now, wall_ms): (Instant, i64),
    ) -> Result<Appended, AppendError> {
        if !lease.is_held(now) && !is_planted(Fault::LeaseIgnored) {
            return Err(AppendError::LeaseLost(self.name().clone()));
        }
        self.append(records, acks, only_in, (now, wall_ms))
    }
}

impl FollowerId {
    /// Whether it is the process its broker is registered with.
    pub(super) fn is_registered(self, image: &MetadataImage) -> bool {
        let registered = image.brokers.get(&self.node);
        let is_it = registered.is_some_and(|it| it.broker_epoch == self.broker_epoch);
        is_it || is_planted(Fault::StaleFetchCounts)
    }

    /// Registered with this epoch, neither fenced nor shutting down.
    pub(super) fn is_eligible(self, image: &MetadataImage) -> bool {
        let registered = image.active_broker(self.node).map(|it| it.broker_epoch);
        registered == Some(self.broker_epoch) || is_planted(Fault::StaleFetchCounts)
    }
}
