//! What compaction keeps of one batch.
//!
//! Rules, as in Kafka: of each key the last record stays; one without a value (a tombstone) goes some
//! time after the first pass that saw it, and when that is stands in the batch's header (KIP-534); a
//! record without a key goes, for nothing can ever replace it; the last batch of a live producer stays,
//! empty if need be, for its sequence. Records above the map's end are not looked at. Offsets and the
//! batch's span never change.

use std::collections::BTreeMap;

use bytes::BytesMut;
use drave_protocol::ids::{Offset, ProducerId};
use drave_protocol::record::attributes::DELETE_HORIZON_BIT;
use drave_protocol::record::batch::BatchHeader;
use drave_protocol::record::compression::{Packing, UnpackedLimit};
use drave_protocol::record::reader::RecordReader;
use drave_protocol::record::rebuild::Rebuild;
use drave_protocol::record::record::{RecordError, RecordView};

use crate::compaction::offset_map::OffsetMap;
use crate::compaction::transactions::{CleanedTransactions, Ended};
use crate::config::TargetCompression;
use crate::producer_state::LastRecord;
use crate::producer_state::batch::{Contents, EndMarker, Outcome, ProducerBatch};

/// What is known of a log while one pass walks through it.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) map: OffsetMap,
    /// The map knows every key below.
    pub(crate) mapped_upto: Offset,
    pub(crate) now_ms: i64,
    pub(crate) delete_retention_ms: i64,
    pub(crate) compression: TargetCompression,
    pub(crate) last_records: BTreeMap<ProducerId, LastRecord>,
    pub(crate) transactions: CleanedTransactions,
    pub(crate) n_without_key: u64,
}

/// Whether a batch that lost all records stays, as a header alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenEmpty {
    Drop,
    Keep,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// All of it, byte for byte.
    AsItIs,
    /// This is what it becomes.
    Rebuilt(BytesMut),
    Nothing,
}

/// What is asked of the records of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Records {
    /// Each as its key says.
    ByKey,
    /// All: a marker that says how a transaction ended.
    All,
    /// None: the transaction was aborted, or all of it is gone.
    None,
}

#[derive(Clone, Debug, Default)]
struct Choice {
    is_kept: Vec<bool>,
    n_kept: usize,
    has_tombstone: bool,
}

impl Filter {
    /// `bytes` is the whole batch, its checksum right.
    pub(crate) fn batch(
        &mut self,
        header: &BatchHeader,
        bytes: &[u8],
        when_empty: WhenEmpty,
    ) -> Result<Kept, RecordError> {
        let horizon_ms = horizon_of(header);
        let is_spent = self.is_spent(header, bytes);
        // A spent marker stays for readers in the middle of its transaction, as tombstones do.
        let waits = header.is_control() && horizon_ms.is_none_or(|it| self.now_ms < it);
        let records = match (is_spent, header.is_control()) {
            (true, _) if !waits => Records::None,
            (_, true) => Records::All,
            (_, false) => Records::ByKey,
        };
        let choice = self.choose(header, bytes, records)?;
        if choice.n_kept == 0 {
            let stays = when_empty == WhenEmpty::Keep || self.is_last_of_producer(header);
            return Ok(match (stays, header.records_count) {
                (false, _) => Kept::Nothing,
                (true, 0) => Kept::AsItIs,
                (true, _) => Kept::Rebuilt(Rebuild::of(header).build(self.packing(header))),
            });
        }
        let starts_to_wait = choice.has_tombstone || is_spent && header.is_control();
        if choice.is_kept.iter().all(|it| *it) && (!starts_to_wait || horizon_ms.is_some()) {
            return Ok(Kept::AsItIs);
        }
        let mut rebuild = Rebuild::of(header);
        if starts_to_wait && horizon_ms.is_none() {
            rebuild = rebuild.delete_horizon(self.now_ms.saturating_add(self.delete_retention_ms));
        }
        let mut reader = RecordReader::open(bytes, UnpackedLimit::default())?;
        for is_kept in choice.is_kept {
            if let Some(record) = reader.next_record().transpose()?.filter(|_| is_kept) {
                rebuild.push(&record);
            }
        }
        Ok(Kept::Rebuilt(rebuild.build(self.packing(header))))
    }

    /// Whether all of its transaction is gone, or is to go.
    fn is_spent(&mut self, header: &BatchHeader, bytes: &[u8]) -> bool {
        if header.is_control() {
            self.transactions.is_spent(header, ended_by(header, bytes))
        } else {
            self.transactions.is_aborted(header)
        }
    }

    fn choose(
        &mut self,
        header: &BatchHeader,
        bytes: &[u8],
        records: Records,
    ) -> Result<Choice, RecordError> {
        let mut choice = Choice::default();
        if records == Records::None {
            return Ok(choice);
        }
        let horizon_ms = horizon_of(header);
        let mut reader = RecordReader::open(bytes, UnpackedLimit::default())?;
        while let Some(record) = reader.next_record() {
            let record = record?;
            let is_kept =
                records == Records::All || self.keeps(&record, record.offset(header), horizon_ms);
            choice.is_kept.push(is_kept);
            choice.n_kept += usize::from(is_kept);
            let is_tombstone = records == Records::ByKey && record.value.is_none();
            choice.has_tombstone |= is_kept && is_tombstone;
        }
        Ok(choice)
    }

    fn keeps(&mut self, record: &RecordView<'_>, offset: Offset, horizon_ms: Option<i64>) -> bool {
        if offset >= self.mapped_upto {
            return true;
        }
        let Some(key) = record.key else {
            self.n_without_key += 1;
            return false;
        };
        let is_last = self.map.get(key).is_none_or(|last| offset >= last);
        let may_stay = record.value.is_some() || horizon_ms.is_none_or(|it| self.now_ms < it);
        is_last && may_stay
    }

    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        let Some(last) = self.last_records.get(&header.producer_id) else {
            return false;
        };
        match last.offset {
            Some(offset) => header.last_offset() == offset,
            None => header.is_control() && header.producer_epoch == last.epoch,
        }
    }

    /// The batch's own codec, at the level the log was told when it was told one of that codec.
    fn packing(&self, header: &BatchHeader) -> Packing {
        let codec = header.compression().unwrap_or_default();
        match self.compression {
            TargetCompression::Codec { compression, level } if compression == codec => {
                Packing { codec, level }
            }
            TargetCompression::Codec { .. } | TargetCompression::Producer => Packing::of(codec),
        }
    }
}

/// From when on the tombstones in a batch may go, once a pass has said so.
fn horizon_of(header: &BatchHeader) -> Option<i64> {
    (header.attributes & DELETE_HORIZON_BIT != 0).then_some(header.base_timestamp)
}

pub(crate) fn ended_by(header: &BatchHeader, bytes: &[u8]) -> Ended {
    match ProducerBatch::of(header, bytes).map(|it| it.contents) {
        Some(Contents::End(EndMarker { outcome, .. })) => match outcome {
            Outcome::Aborted => Ended::Aborted,
            Outcome::Committed => Ended::Committed,
        },
        Some(Contents::Records { .. }) | None => Ended::Unsaid,
    }
}

#[cfg(test)]
#[path = "filter_test.rs"]
mod tests;
