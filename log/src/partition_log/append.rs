//! Bytes entering the log: from a client, from the broker itself, from a leader.
//!
//! Invariants: a batch starts at the log's end, but for the first of a follower's log of which nothing is left,
//! which may hold the log's start; a refused batch leaves no trace; a full disk is the only disk error that passes.

use bytes::BytesMut;
use drave_protocol::ids::{LeaderEpoch, Offset};
use drave_protocol::record::attributes::TimestampType;
use drave_protocol::record::batch::{self, BatchHeader};

use crate::batch_check::check_batch;
use crate::error::{AppendError, Fault, LogError};
use crate::fs;
use crate::partition_log::PartitionLog;
use crate::producer_state::Origin;
use crate::validate::{self, Validated};

/// Where an append went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: Offset,
    pub last_offset: Offset,
    /// The broker's time, when the log stamps records with it.
    pub log_append_time_ms: Option<i64>,
    /// Nothing was written: this is where the batch lies since its producer sent it first.
    pub is_duplicate: bool,
}

impl PartitionLog {
    /// Appends a client's batch: checks it, gives it the next offsets and this leader's epoch.
    ///
    /// # Panics
    /// When `leader_epoch` is below one that wrote already: then somebody else leads.
    pub fn append_as_leader(
        &mut self,
        bytes: BytesMut,
        leader_epoch: LeaderEpoch,
        now_ms: i64,
    ) -> Result<Appended, AppendError> {
        self.health.check()?;
        let validated = validate::validate(bytes, &self.config, now_ms)?;
        self.append_validated(validated, leader_epoch, now_ms)
    }

    /// Appends a client's batch that was validated elsewhere, by this log's configuration.
    ///
    /// # Panics
    /// As [`Self::append_as_leader`].
    pub fn append_validated(
        &mut self,
        batch: Validated,
        leader_epoch: LeaderEpoch,
        now_ms: i64,
    ) -> Result<Appended, AppendError> {
        self.health.check()?;
        let mut bytes = batch.into_bytes();
        let header = BatchHeader::parse(&bytes).map_err(Fault::from)?;
        if let Some(original) = self.check_producer(&header, &bytes, Origin::Client)? {
            return Ok(original);
        }
        self.append_stamped(&mut bytes, leader_epoch, now_ms)
    }

    /// Appends a batch the broker itself made, control batches among them; only its shape and
    /// checksum are looked at.
    ///
    /// # Panics
    /// As [`Self::append_as_leader`].
    pub fn append_own(
        &mut self,
        mut bytes: BytesMut,
        leader_epoch: LeaderEpoch,
        now_ms: i64,
    ) -> Result<Appended, AppendError> {
        self.health.check()?;
        let header = BatchHeader::parse(&bytes).map_err(Fault::from)?;
        assert_eq!(
            header.total_size(),
            bytes.len(),
            "the broker appends one batch at a time"
        );
        check_batch(&header, &bytes, None)?;
        self.check_producer(&header, &bytes, Origin::Broker)?;
        self.append_stamped(&mut bytes, leader_epoch, now_ms)
    }

    fn append_stamped(
        &mut self,
        bytes: &mut BytesMut,
        leader_epoch: LeaderEpoch,
        now_ms: i64,
    ) -> Result<Appended, AppendError> {
        self.start_leader_epoch(leader_epoch)
            .map_err(full_or_storage)?;
        let log_append_time_ms = match self.config.timestamp_type {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => {
                batch::set_log_append_time(bytes, now_ms);
                Some(now_ms)
            }
        };
        batch::patch(bytes, self.log_end_offset, leader_epoch);
        let header = BatchHeader::parse(bytes).map_err(Fault::from)?;
        self.write(bytes, &header, now_ms)?;
        let (base_offset, last_offset) = (header.base_offset, header.last_offset());
        Ok(Appended {
            base_offset,
            last_offset,
            log_append_time_ms,
            is_duplicate: false,
        })
    }

    /// Appends batches as they came from the leader, epochs and all. All of them are checked before
    /// the first is written; when the disk fills up in between, the log end offset tells how many
    /// stayed. In a compacted log offsets may be missing; the log is marked before the first hole.
    ///
    /// Where records were deleted up to the middle of a batch the leader has all of that batch still, and sends it
    /// whole. A log that starts and ends there begins anew with it, and starts where it did (Kafka's
    /// `UnexpectedAppendOffsetException`). Until the caller has noted that start, a crash takes it back to the
    /// batch's first offset; one on the way, or a disk that fills up, leaves an empty log at either of the two.
    pub fn append_as_follower(
        &mut self,
        bytes: &[u8],
        now_ms: i64,
    ) -> Result<Appended, AppendError> {
        self.health.check()?;
        let log_start_offset = self.log_start_offset;
        let mut expected = self.log_end_offset;
        let mut epoch = self.epochs.latest_epoch();
        let mut batches = Vec::new();
        for found in batch::iter(bytes) {
            let (_, header, one) = found.map_err(Fault::from)?;
            let got = header.base_offset;
            if batches.is_empty() && self.starts_within(&header) {
                expected = got;
            }
            if got > expected && self.config.cleanup.compact {
                self.allow_holes()?;
            }
            if !self.segments.density().accepts(expected, got) {
                return Err(AppendError::NotNext { expected, got });
            }
            check_batch(&header, one, epoch)?;
            expected = header.next_offset();
            epoch = epoch.max(Some(header.partition_leader_epoch));
            batches.push((header, one));
        }
        let first = batches.first().map(|(header, _)| header.base_offset);
        if let Some(before) = first.filter(|it| *it < log_start_offset) {
            self.reset_to(before)
                .map_err(|error| self.full_unless_failed(error))?;
        }
        let base_offset = self.log_end_offset;
        for (header, one) in &batches {
            let epoch = header.partition_leader_epoch;
            if epoch >= LeaderEpoch(0) {
                self.start_leader_epoch(epoch).map_err(full_or_storage)?;
            }
            self.write(one, header, now_ms)?;
            self.raise_log_start_offset(log_start_offset)?;
        }
        let last_offset = self.log_end_offset + -1;
        Ok(Appended {
            base_offset,
            last_offset,
            log_append_time_ms: None,
            is_duplicate: false,
        })
    }

    /// Whether nothing can be read yet, or any more, and this batch holds the offset the log starts at, and some
    /// before. Deleted records may still lie there: of a leader's history that ended before this batch.
    fn starts_within(&self, batch: &BatchHeader) -> bool {
        let start = self.log_start_offset;
        let is_empty = start == self.log_end_offset;
        is_empty && batch.base_offset < start && start <= batch.last_offset()
    }

    /// The one place where bytes enter the log.
    fn write(
        &mut self,
        bytes: &[u8],
        header: &BatchHeader,
        now_ms: i64,
    ) -> Result<(), AppendError> {
        assert!(
            self.segments
                .density()
                .accepts(self.log_end_offset, header.base_offset),
            "a batch starts at {}, the log ends at {}",
            header.base_offset,
            self.log_end_offset
        );
        self.roll_for(header, now_ms)
            .map_err(|error| self.full_or_failed(error))?;
        let produced = self
            .before_write(header, bytes)
            .map_err(|error| self.full_or_failed(error))?;
        let interval = self.config.index_interval_bytes;
        if let Err(error) = self.segments.active_mut().append(bytes, interval) {
            // The bytes that did fit must go, or the next batch would follow half of this one.
            if let Err(error) = self.segments.active_mut().cut_overhang() {
                self.health.fail(&error);
            }
            return Err(self.full_or_failed(error));
        }
        self.log_end_offset = header.next_offset();
        self.written(&produced, now_ms);
        self.check_invariants();
        Ok(())
    }

    /// Of a change that fails the log itself, where it has to.
    fn full_unless_failed(&self, error: LogError) -> AppendError {
        if self.is_failed() {
            return AppendError::Storage(error);
        }
        full_or_storage(error)
    }

    /// A full disk passes; any other error while writing ends the log's life.
    fn full_or_failed(&self, error: LogError) -> AppendError {
        let answer = full_or_storage(error);
        if let AppendError::Storage(error) = &answer {
            self.health.fail(error);
        }
        answer
    }
}

fn full_or_storage(error: LogError) -> AppendError {
    match error {
        LogError::Io { ref source, .. } if fs::is_full(source) => AppendError::Full,
        LogError::Io { .. }
        | LogError::Corrupt(_)
        | LogError::Failed { .. }
        | LogError::Locked { .. }
        | LogError::MarkedCorrupt { .. }
        | LogError::BadFile { .. } => AppendError::Storage(error),
    }
}
