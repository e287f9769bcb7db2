//! A replica as somebody sees it who looks on: for simulation.

use bytes::{Bytes, BytesMut};
use drave_protocol::ids::{LeaderEpoch, Offset, PartitionEpoch};
use drave_protocol::record::batch;

use super::partition::{Partition, Role};

/// A replica as it is at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    pub leads: bool,
    pub leader_epoch: LeaderEpoch,
    /// Of a leader: the last partition epoch it heard of.
    pub partition_epoch: PartitionEpoch,
    pub log_start_offset: Offset,
    /// What it claims of it: no crash takes its start below.
    pub noted_log_start: Offset,
    /// Nothing below it is on the disk.
    pub first_segment_offset: Offset,
    pub log_end_offset: Offset,
    pub high_watermark: Offset,
    pub recovery_point: Offset,
    pub is_offline: bool,
}

impl Partition {
    pub(super) fn view(&self) -> View {
        let state = self.lock();
        let (leads, leader_epoch, partition_epoch) = match &state.role {
            Role::Idle => (false, LeaderEpoch::UNKNOWN, PartitionEpoch(-1)),
            Role::Follower { leader_epoch, .. } => (false, *leader_epoch, PartitionEpoch(-1)),
            Role::Leader(it) => (true, it.leader_epoch(), it.partition_epoch()),
        };
        View {
            leads,
            leader_epoch,
            partition_epoch,
            log_start_offset: state.log.log_start_offset(),
            noted_log_start: state.durable_log_start(),
            first_segment_offset: state.log.first_segment_offset(),
            log_end_offset: state.log.log_end_offset(),
            high_watermark: state.high_watermark(),
            recovery_point: state.log.recovery_point(),
            is_offline: state.failure().is_some(),
        }
    }

    pub(super) fn records_from(&self, from: Offset) -> Bytes {
        let mut records = BytesMut::new();
        let log = &self.lock().log;
        let (mut at, end) = (from.max(log.log_start_offset()), log.log_end_offset());
        // One read ends with its segment.
        while let Ok(found) = log.read(at, end, usize::MAX) {
            let Some(Ok((_, last, _))) = batch::iter(&found).last() else {
                break;
            };
            at = last.next_offset();
            records.extend_from_slice(&found);
        }
        records.freeze()
    }

    pub(super) fn leader_epochs(&self) -> Vec<(LeaderEpoch, Offset)> {
        let state = self.lock();
        let entries = state.log.leader_epochs().entries();
        entries
            .iter()
            .map(|it| (it.epoch, it.start_offset))
            .collect()
    }
}
