//! The log as a coordinator sees it: one partition, led in one epoch.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use drave_protocol::ids::{LeaderEpoch, Offset};
use thiserror::Error;

/// Resolves once the append is committed, or cannot be told to be any more.
pub type Commit = Pin<Box<dyn Future<Output = Result<(), WriteError>> + Send>>;

pub type Settled<'a> = Pin<Box<dyn Future<Output = Result<Extent, WriteError>> + Send + 'a>>;

/// One partition's log. Every call names the epoch it means, and is refused in another.
pub trait PartitionWriter: fmt::Debug + Send + Sync {
    /// Whether this broker leads in `epoch`, as far as it may believe so on its own.
    fn leads_in(&self, epoch: LeaderEpoch) -> bool;

    /// Whether an append would be taken now: we lead in `epoch`, and enough are in sync.
    fn takes_appends(&self, epoch: LeaderEpoch) -> Result<(), WriteError>;

    /// Bytes of the largest batch that is accepted.
    fn batch_bytes_max(&self) -> usize;

    /// Writes one batch behind all before it.
    fn append(&self, epoch: LeaderEpoch, batch: BytesMut) -> Result<Commit, WriteError>;

    /// Resolves once all that was written before this epoch is known to be committed.
    fn settled(&self, epoch: LeaderEpoch) -> Settled<'_>;

    /// Whole batches from the one that holds `from` on, all committed; empty where there are none yet. Blocks
    /// on the disk.
    fn read(&self, epoch: LeaderEpoch, from: Offset) -> Result<Bytes, WriteError>;
}

/// What there is of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub log_start_offset: Offset,
    /// Below it all is committed; there is nothing above it.
    pub log_end_offset: Offset,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    #[error("another epoch than {0} is led here by now, or none")]
    NotLeading(LeaderEpoch),
    /// Nothing was written.
    #[error("{0}")]
    Refused(String),
    /// It may be written, and may be committed later.
    #[error("{0}")]
    Uncertain(String),
    #[error("{0}")]
    Unreadable(String),
}
