//! The real `PartitionWriter`: a partition of `__consumer_offsets` whose replica is here.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use drave_protocol::ids::{LeaderEpoch, Offset, TopicIdPartition};

use crate::coordinator::writer::{Commit, Extent, PartitionWriter, Settled, WriteError};
use crate::replica::{
    AppendError, FetchError, FetchPartition, Isolation, Reader, ReadsFrom, Replicas,
};

/// What one read takes into memory; a larger batch comes whole.
const READ_BYTES: usize = 4 * 1024 * 1024;
/// A ticket wants a deadline, and this writer none: those who wait for the commit have their own.
const FOREVER: Duration = Duration::from_hours(365 * 24);

#[derive(Clone, Debug)]
pub(super) struct LogWriter {
    pub(super) replicas: Replicas,
    pub(super) partition: TopicIdPartition,
    pub(super) batch_bytes_max: usize,
}

impl PartitionWriter for LogWriter {
    fn leads_in(&self, epoch: LeaderEpoch) -> bool {
        self.replicas.leads_in(self.partition, epoch)
    }

    fn takes_appends(&self, epoch: LeaderEpoch) -> Result<(), WriteError> {
        let taken = self.replicas.takes_appends_in(self.partition, epoch);
        taken.map_err(|error| refused(&error, epoch))
    }

    fn batch_bytes_max(&self) -> usize {
        self.batch_bytes_max
    }

    fn append(&self, epoch: LeaderEpoch, batch: BytesMut) -> Result<Commit, WriteError> {
        let appended = self.replicas.append_in(self.partition, epoch, batch);
        let appended = appended.map_err(|error| refused(&error, epoch))?;
        let forever = self.replicas.clock().now() + FOREVER;
        Ok(Box::pin(async move {
            match appended.ticket {
                Some(ticket) => {
                    let outcome = ticket.committed(forever).await;
                    outcome.map_err(|error| uncertain(&error, epoch))
                }
                None => Ok(()),
            }
        }))
    }

    fn settled(&self, epoch: LeaderEpoch) -> Settled<'_> {
        Box::pin(async move {
            let extent = self.replicas.settled_in(self.partition, epoch).await;
            let extent = extent.map_err(|error| unreadable(&error, epoch))?;
            Ok(Extent {
                log_start_offset: extent.log_start_offset,
                log_end_offset: extent.log_end_offset,
            })
        })
    }

    fn read(&self, epoch: LeaderEpoch, from: Offset) -> Result<Bytes, WriteError> {
        let asked = FetchPartition {
            partition: self.partition,
            current_leader_epoch: Some(epoch),
            fetch_offset: from,
            last_fetched_epoch: None,
            log_start_offset: None,
            max_bytes: READ_BYTES,
        };
        let reader = Reader::Consumer {
            isolation: Isolation::ReadUncommitted,
            from: ReadsFrom::Leader,
        };
        let fetched = self.replicas.read(reader, &asked);
        let fetched = fetched.map_err(|error| unreadable(&error, epoch))?;
        let bytes = fetched.records.map(|it| it.read()).transpose();
        let bytes = bytes.map_err(|error| WriteError::Unreadable(error.to_string()))?;
        Ok(bytes.unwrap_or_default())
    }
}

fn refused(error: &AppendError, epoch: LeaderEpoch) -> WriteError {
    match error {
        AppendError::NotLeading(_) | AppendError::UnknownPartition(_) => {
            WriteError::NotLeading(epoch)
        }
        AppendError::LeaseLost(_)
        | AppendError::NotEnoughReplicas { .. }
        | AppendError::NotEnoughReplicasAfterAppend { .. }
        | AppendError::TimedOut { .. }
        | AppendError::Rejected { .. } => WriteError::Refused(error.to_string()),
    }
}

fn uncertain(error: &AppendError, epoch: LeaderEpoch) -> WriteError {
    let refused = refused(error, epoch);
    if let WriteError::Refused(reason) = refused {
        WriteError::Uncertain(reason)
    } else {
        refused
    }
}

fn unreadable(error: &FetchError, epoch: LeaderEpoch) -> WriteError {
    match error {
        FetchError::UnknownPartition(_)
        | FetchError::NotLeading(_)
        | FetchError::FencedLeaderEpoch { .. }
        | FetchError::UnknownLeaderEpoch { .. }
        | FetchError::NotAReplica { .. } => WriteError::NotLeading(epoch),
        FetchError::OffsetOutOfRange { .. }
        | FetchError::OffsetNotAvailable { .. }
        | FetchError::Read { .. } => WriteError::Unreadable(error.to_string()),
    }
}
