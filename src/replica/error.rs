//! What a replica refuses, to whom it matters, with the numbers; and Kafka's code for each.

use drave_log::producer_state::error::Refused;
use drave_log::refused_records::RefusedRecord;
use drave_log::{AppendError as LogAppendError, ReadError as LogReadError};
use drave_protocol::ErrorCode;
use drave_protocol::ids::{LeaderEpoch, NodeId, Offset, TopicIdPartition, TopicPartition};
use thiserror::Error;

/// Why a replica answers nobody as a leader.
#[derive(Clone, Debug, Error)]
pub enum NotLeading {
    #[error("{partition} is offline here: {reason}")]
    Offline {
        partition: TopicPartition,
        reason: String,
    },
    #[error("not the leader of {partition}; the leader is {leader:?} in epoch {leader_epoch}")]
    Elsewhere {
        partition: TopicPartition,
        leader: Option<NodeId>,
        leader_epoch: LeaderEpoch,
    },
}

impl From<&NotLeading> for ErrorCode {
    fn from(error: &NotLeading) -> Self {
        match error {
            NotLeading::Offline { .. } => Self::KafkaStorageError,
            NotLeading::Elsewhere { .. } => Self::NotLeaderOrFollower,
        }
    }
}

#[derive(Debug, Error)]
pub enum AppendError {
    #[error("partition {0} is not on this broker")]
    UnknownPartition(TopicIdPartition),
    #[error(transparent)]
    NotLeading(#[from] NotLeading),
    #[error(
        "no controller has answered this broker for longer than its lease, so {0} is not served here"
    )]
    LeaseLost(TopicPartition),
    #[error("{partition}: {in_sync} of {required} required replicas are in sync")]
    NotEnoughReplicas {
        partition: TopicPartition,
        in_sync: usize,
        required: usize,
    },
    #[error(
        "{partition}: appended, but only {in_sync} of {required} required replicas are in sync now"
    )]
    NotEnoughReplicasAfterAppend {
        partition: TopicPartition,
        in_sync: usize,
        required: usize,
    },
    #[error("{partition}: offset {last_offset} was not replicated before the request's deadline")]
    TimedOut {
        partition: TopicPartition,
        last_offset: Offset,
    },
    #[error("{partition}: {source}")]
    Rejected {
        partition: TopicPartition,
        source: LogAppendError,
    },
}

impl AppendError {
    /// The records that were refused one by one, if that is why.
    pub fn refused_records(&self) -> &[RefusedRecord] {
        if let Self::Rejected {
            source: LogAppendError::RefusedRecords(refused),
            ..
        } = self
        {
            refused.listed()
        } else {
            &[]
        }
    }
}

impl From<&AppendError> for ErrorCode {
    fn from(error: &AppendError) -> Self {
        match error {
            // The image knows it, or it would not have been asked for: it is elsewhere, or only just
            // being opened. As in Kafka, the client looks again who leads.
            AppendError::UnknownPartition(_) | AppendError::LeaseLost(_) => {
                Self::NotLeaderOrFollower
            }
            AppendError::NotLeading(error) => Self::from(error),
            AppendError::NotEnoughReplicas { .. } => Self::NotEnoughReplicas,
            AppendError::NotEnoughReplicasAfterAppend { .. } => Self::NotEnoughReplicasAfterAppend,
            AppendError::TimedOut { .. } => Self::RequestTimedOut,
            AppendError::Rejected { source, .. } => rejection(source),
        }
    }
}

#[derive(Debug, Error)]
pub enum FetchError {
    #[error("partition {0} is not on this broker")]
    UnknownPartition(TopicIdPartition),
    #[error(transparent)]
    NotLeading(#[from] NotLeading),
    #[error("{partition}: broker {follower} fetched with a stale registration or is no replica")]
    NotAReplica {
        partition: TopicPartition,
        follower: NodeId,
    },
    #[error("{partition}: the caller's leader epoch {theirs} is older than {ours}")]
    FencedLeaderEpoch {
        partition: TopicPartition,
        theirs: LeaderEpoch,
        ours: LeaderEpoch,
    },
    #[error("{partition}: the caller's leader epoch {theirs} is newer than {ours}")]
    UnknownLeaderEpoch {
        partition: TopicPartition,
        theirs: LeaderEpoch,
        ours: LeaderEpoch,
    },
    #[error("{partition}: offset {requested} is outside {log_start_offset}..={log_end_offset}")]
    OffsetOutOfRange {
        partition: TopicPartition,
        requested: Offset,
        log_start_offset: Offset,
        log_end_offset: Offset,
    },
    #[error("{partition}: it is not known here yet that this is committed; try again")]
    OffsetNotAvailable { partition: TopicPartition },
    #[error("{partition}: {source}")]
    Read {
        partition: TopicPartition,
        source: LogReadError,
    },
}

impl From<&FetchError> for ErrorCode {
    fn from(error: &FetchError) -> Self {
        match error {
            FetchError::UnknownPartition(_) | FetchError::NotAReplica { .. } => {
                Self::NotLeaderOrFollower
            }
            FetchError::NotLeading(error) => Self::from(error),
            FetchError::FencedLeaderEpoch { .. } => Self::FencedLeaderEpoch,
            FetchError::UnknownLeaderEpoch { .. } => Self::UnknownLeaderEpoch,
            FetchError::OffsetNotAvailable { .. } => Self::OffsetNotAvailable,
            FetchError::OffsetOutOfRange { .. }
            | FetchError::Read {
                source: LogReadError::OffsetOutOfRange { .. },
                ..
            } => Self::OffsetOutOfRange,
            FetchError::Read {
                source: LogReadError::Storage(_),
                ..
            } => Self::KafkaStorageError,
        }
    }
}

/// Why records were not deleted, or not everywhere.
#[derive(Debug, Error)]
pub enum DeletionError {
    #[error("partition {0} is not on this broker")]
    UnknownPartition(TopicIdPartition),
    #[error(transparent)]
    NotLeading(#[from] NotLeading),
    #[error(
        "no controller has answered this broker for longer than its lease, so {0} is not served here"
    )]
    LeaseLost(TopicPartition),
    #[error("{0}: its cleanup.policy does not delete")]
    Policy(TopicPartition),
    #[error("{partition}: offset {requested} is not within 0..={high_watermark}")]
    OffsetOutOfRange {
        partition: TopicPartition,
        requested: Offset,
        high_watermark: Offset,
    },
    #[error("{0}: the new log start could not be written down")]
    NotNoted(TopicPartition),
    #[error(
        "{partition}: below {requested} nothing is read any more, but not every replica that lives or may lead has said so by the request's deadline; they are at {low_watermark}"
    )]
    TimedOut {
        partition: TopicPartition,
        requested: Offset,
        low_watermark: Offset,
    },
}

impl From<&DeletionError> for ErrorCode {
    fn from(error: &DeletionError) -> Self {
        match error {
            DeletionError::UnknownPartition(_) | DeletionError::LeaseLost(_) => {
                Self::NotLeaderOrFollower
            }
            DeletionError::NotLeading(error) => Self::from(error),
            DeletionError::Policy(_) => Self::PolicyViolation,
            DeletionError::OffsetOutOfRange { .. } => Self::OffsetOutOfRange,
            DeletionError::NotNoted(_) => Self::KafkaStorageError,
            DeletionError::TimedOut { .. } => Self::RequestTimedOut,
        }
    }
}

fn rejection(error: &LogAppendError) -> ErrorCode {
    match error {
        LogAppendError::CorruptBatch(_) => ErrorCode::CorruptMessage,
        LogAppendError::RefusedRecords(refused) if refused.has_bad_time() => {
            ErrorCode::InvalidTimestamp
        }
        LogAppendError::InvalidRecord(_) | LogAppendError::RefusedRecords(_) => {
            ErrorCode::InvalidRecord
        }
        LogAppendError::TooLarge { .. } | LogAppendError::UnpacksTooLarge { .. } => {
            ErrorCode::MessageTooLarge
        }
        LogAppendError::UnsupportedFormat { .. } => ErrorCode::UnsupportedForMessageFormat,
        LogAppendError::InvalidTimestamp { .. } | LogAppendError::NotTheClientsTimestampType => {
            ErrorCode::InvalidTimestamp
        }
        LogAppendError::Producer(error) => refused_producer(error.refused),
        LogAppendError::NotNext { .. } | LogAppendError::Storage(_) | LogAppendError::Full => {
            ErrorCode::KafkaStorageError
        }
    }
}

/// Clients act on each of these: a wrong one makes them write twice.
fn refused_producer(refused: Refused) -> ErrorCode {
    match refused {
        Refused::OutOfOrder { .. } | Refused::NewEpochInTheMiddle { .. } => {
            ErrorCode::OutOfOrderSequenceNumber
        }
        Refused::OldDuplicate { .. } => ErrorCode::DuplicateSequenceNumber,
        Refused::OldEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        Refused::OutsideTransaction => ErrorCode::InvalidTxnState,
        Refused::OldCoordinator { .. } => ErrorCode::TransactionCoordinatorFenced,
    }
}
