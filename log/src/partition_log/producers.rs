//! What the log remembers of producers, kept in step with its batches.
//!
//! Invariants: the state is that of exactly the batches below the log's end, those long removed
//! among them; after any crash it is again, from the newest snapshot and the headers that follow.
//! A snapshot at an offset says that the aborted transactions below it are durable in the index.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use drave_protocol::ids::{Offset, ProducerId};
use drave_protocol::record::attributes::TimestampType;
use drave_protocol::record::batch::BatchHeader;

use crate::error::{AppendError, LogError};
use crate::fs::{FileSystem, NamedFile, to_u64};
use crate::listing::Listing;
use crate::partition_log::{Appended, PartitionLog};
use crate::planted::{Fault, is_planted};
use crate::producer_snapshots::ProducerSnapshots;
use crate::producer_state::{
    AbortedTransaction, LastRecord, Origin, ProducerBatch, ProducerStates, Verdict, WINDOW,
};
use crate::segment::{Located, Segment};
use crate::segments::Segments;
use crate::slice::LogSlice;
use crate::transaction_index::{TransactionIndex, Unsynced};

/// Batches after which a snapshot costs less than the replay it saves: some half a millisecond.
const BATCHES_WORTH_A_SNAPSHOT: u64 = 512;

fn window() -> usize {
    WINDOW - usize::from(is_planted(Fault::WindowOfFour))
}

#[derive(Debug)]
pub(crate) struct Producers {
    states: ProducerStates,
    snapshots: ProducerSnapshots,
    aborted: TransactionIndex,
    /// Batches since the last snapshot, of whatever producer: they would all be walked.
    n_replayed: u64,
    /// At the starts of segments, and to be made durable with those before them: opening the log may
    /// find that these are below its start.
    unsynced: Vec<Offset>,
}

/// A snapshot on its way to the disk: [`Self::sync`] off the log's lock, then
/// [`PartitionLog::keep_snapshot`] under it.
#[derive(Debug)]
pub struct SnapshotRequest {
    offset: Offset,
    bytes: Vec<u8>,
    n_truncations: u64,
    n_replayed: u64,
    index: Unsynced,
}

impl SnapshotRequest {
    /// Blocks where transactions were aborted since the last snapshot, else not at all.
    pub fn sync(&self) -> Result<(), LogError> {
        self.index.sync()
    }
}

impl Producers {
    /// What the folder and the log up to `end` say.
    pub(super) fn load(
        fs: &Arc<dyn FileSystem>,
        (dir, listing): (&Path, &Listing),
        segments: &Segments,
        end: Offset,
    ) -> Result<Self, LogError> {
        let first_base = segments.first_base_offset();
        let mut snapshots = ProducerSnapshots::listed(fs, dir, listing);
        let mut aborted = TransactionIndex::open(fs, dir, listing, first_base)?;
        let sound_below = aborted.first_damaged()?.unwrap_or(end);
        snapshots.remove_above(end.min(sound_below))?;
        snapshots.remove_below(first_base)?;
        snapshots.remove_strays(|offset| segments.has_base(offset))?;
        let (from, mut states) = snapshots.newest(end, window())?.unwrap_or_else(|| {
            let nothing = ProducerStates::remembering(window());
            (first_base, nothing)
        });
        aborted.truncate(from)?;
        let n_replayed = replay(segments, (from, end), |segment, batch| {
            if let Some(entry) = states.aborts(batch) {
                aborted.write(segment, &entry)?;
                aborted.keep(segment);
            }
            states.apply(batch, batch.max_timestamp);
            Ok(())
        })?;
        Ok(Self {
            states,
            snapshots,
            aborted,
            n_replayed,
            unsynced: Vec::new(),
        })
    }

    /// Those below `offset`, from the nearest snapshot; also how many batches were walked.
    fn states_below(
        &mut self,
        segments: &Segments,
        offset: Offset,
    ) -> Result<(ProducerStates, u64), LogError> {
        let nothing = (
            segments.first_base_offset(),
            ProducerStates::remembering(window()),
        );
        let newest = self.snapshots.newest(offset, window())?;
        let (from, mut states) = newest.unwrap_or(nothing);
        let n_walked = replay(segments, (from, offset), |_, batch| {
            states.apply(batch, batch.max_timestamp);
            Ok(())
        })?;
        Ok((states, n_walked))
    }

    /// The snapshots to be synced with the segments that end where they stand.
    pub(super) fn unsynced(&self) -> impl Iterator<Item = NamedFile> {
        self.unsynced
            .iter()
            .filter_map(|it| self.snapshots.file(*it))
    }

    pub(super) fn synced(&mut self, upto: Offset) {
        self.unsynced.retain(|it| *it >= upto);
    }

    /// Before the log is cut at `end`.
    pub(super) fn before_cut(&mut self, end: Offset) -> Result<(), LogError> {
        self.snapshots.remove_above(end)
    }

    /// The log was cut at `end`.
    pub(super) fn cut(&mut self, segments: &Segments, end: Offset) -> Result<(), LogError> {
        self.aborted.truncate(end)?;
        if self.states.is_empty() {
            return Ok(());
        }
        let (mut states, n_walked) = self.states_below(segments, end)?;
        states.heard_as(&self.states);
        (self.states, self.n_replayed) = (states, n_walked);
        Ok(())
    }

    /// Before all of the log goes.
    pub(super) fn forget_all(&mut self) -> Result<(), LogError> {
        self.snapshots.remove_above(Offset::UNKNOWN)?;
        self.aborted.truncate(Offset::ZERO)?;
        self.states = ProducerStates::remembering(window());
        self.n_replayed = 0;
        Ok(())
    }

    /// Before the segments below `first_base` go: what they held must be known without them.
    pub(super) fn before_removal(
        &mut self,
        segments: &Segments,
        first_base: Offset,
    ) -> Result<(), LogError> {
        if self.states.is_empty() || first_base <= segments.first_base_offset() {
            return Ok(());
        }
        // Reads the one that is there, if any: written without a sync, it may be torn.
        let (states, _) = self.states_below(segments, first_base)?;
        if !self.snapshots.has(first_base) {
            let bytes = states.to_snapshot();
            self.snapshots
                .keep(first_base, &bytes, |it| segments.has_base(it));
        }
        self.snapshots.sync(first_base)
    }

    /// Segments became one, which has `n_aborted` entries in the index.
    pub(super) fn compacted(&mut self, run: &Range<Offset>, n_aborted: u64) {
        self.aborted.replaced(run, n_aborted);
    }

    /// The segments below `first_base` are gone.
    pub(super) fn removed_below(&mut self, first_base: Offset) -> Result<(), LogError> {
        self.snapshots.remove_below(first_base)?;
        self.aborted.remove_before(first_base)
    }
}

/// A batch about to be written, and what its being written means.
#[derive(Debug)]
pub(super) struct Produced {
    batch: Option<ProducerBatch>,
    aborted: Option<AbortedTransaction>,
}

impl PartitionLog {
    /// Whether a producer may append this batch: `Some` when it did before.
    pub(super) fn check_producer(
        &self,
        header: &BatchHeader,
        bytes: &[u8],
        origin: Origin,
    ) -> Result<Option<Appended>, AppendError> {
        let Some(batch) = ProducerBatch::of(header, bytes) else {
            return Ok(None);
        };
        let original = match self.producers.states.check(&batch, origin)? {
            Verdict::Append => return Ok(None),
            Verdict::Duplicate(original) => original,
        };
        let is_stamped = self.config.timestamp_type == TimestampType::LogAppendTime;
        Ok(Some(Appended {
            base_offset: original.base_offset,
            last_offset: original.last_offset,
            log_append_time_ms: is_stamped.then_some(original.timestamp),
            is_duplicate: true,
        }))
    }

    /// Right before a batch is written: an aborted transaction is noted first, so that a marker in
    /// the log never lacks its entry.
    pub(super) fn before_write(
        &mut self,
        header: &BatchHeader,
        bytes: &[u8],
    ) -> Result<Produced, LogError> {
        let batch = ProducerBatch::of(header, bytes);
        let aborted = batch.and_then(|it| self.producers.states.aborts(&it));
        if let Some(aborted) = &aborted {
            let segment = self.segments.active().base_offset();
            self.producers.aborted.write(segment, aborted)?;
        }
        Ok(Produced { batch, aborted })
    }

    pub(super) fn written(&mut self, produced: &Produced, now_ms: i64) {
        let producers = &mut self.producers;
        producers.n_replayed += 1;
        if let Some(batch) = &produced.batch {
            producers.states.apply(batch, now_ms);
        }
        if produced.aborted.is_some() {
            producers.aborted.keep(self.segments.active().base_offset());
        }
    }

    /// Of all batches below the log's end.
    pub fn producer_states(&self) -> &ProducerStates {
        &self.producers.states
    }

    /// What compaction must keep of each producer.
    pub fn last_producer_records(&self) -> BTreeMap<ProducerId, LastRecord> {
        self.producers.states.last_records()
    }

    /// Forgets producers that were silent for `producer.id.expiration.ms`, but none with an open
    /// transaction.
    pub fn expire_producers(&mut self, now_ms: i64) {
        let expiration_ms = self.config.producer_id_expiration_ms;
        self.producers.states.expire(now_ms, expiration_ms);
    }

    /// How far readers of committed records may read: below it every transaction is decided.
    pub fn last_stable_offset(&self, high_watermark: Offset) -> Offset {
        let unstable = self.producers.states.first_unstable_offset(high_watermark);
        unstable.map_or(high_watermark, |it| it.min(high_watermark))
    }

    /// Transaction markers below it can no longer be lost.
    pub fn high_watermark_moved(&mut self, high_watermark: Offset) {
        self.producers.states.forget_ended_below(high_watermark);
    }

    /// The aborted transactions with records in `from..upper`.
    pub fn aborted_transactions(
        &self,
        from: Offset,
        upper: Offset,
    ) -> Result<Vec<AbortedTransaction>, LogError> {
        self.producers.aborted.overlapping(from, upper)
    }

    /// The aborted transactions with records in what a read at `from` found.
    pub fn aborted_transactions_in(
        &self,
        from: Offset,
        slice: &LogSlice,
    ) -> Result<Vec<AbortedTransaction>, LogError> {
        if self.producers.aborted.is_empty() {
            return Ok(Vec::new());
        }
        let Some((segment, _)) = self.segments.locate(from)? else {
            return Ok(Vec::new());
        };
        let after = segment.headers(slice.position() + to_u64(slice.len()));
        let upper = match after.take(1).next().transpose()? {
            Some(next) => next.header.base_offset,
            None => self.segments.end_of(segment).unwrap_or(self.log_end_offset),
        };
        self.aborted_transactions(from, upper)
    }

    /// A snapshot of the producers, when it is worth more than it costs.
    pub fn prepare_snapshot(&self) -> Result<Option<SnapshotRequest>, LogError> {
        if self.producers.n_replayed < BATCHES_WORTH_A_SNAPSHOT || self.health.check().is_err() {
            return Ok(None);
        }
        self.snapshot().map(Some)
    }

    fn snapshot(&self) -> Result<SnapshotRequest, LogError> {
        let producers = &self.producers;
        Ok(SnapshotRequest {
            offset: self.log_end_offset,
            bytes: producers.states.to_snapshot(),
            n_truncations: self.n_truncations,
            n_replayed: producers.n_replayed,
            index: producers.aborted.unsynced()?,
        })
    }

    /// Writes a snapshot that was synced. One from before a truncation is of another log.
    pub fn keep_snapshot(&mut self, request: &SnapshotRequest) {
        let is_ours = request.n_truncations == self.n_truncations && self.health.check().is_ok();
        if !is_ours || request.offset < self.segments.first_base_offset() {
            return;
        }
        let (producers, segments) = (&mut self.producers, &self.segments);
        producers.aborted.synced(&request.index);
        producers.n_replayed = producers.n_replayed.saturating_sub(request.n_replayed);
        producers
            .snapshots
            .keep(request.offset, &request.bytes, |it| segments.has_base(it));
    }

    /// A snapshot where a segment starts.
    pub(super) fn snapshot_at_roll(&mut self) -> Result<(), LogError> {
        self.take_snapshot()?;
        self.producers.unsynced.push(self.log_end_offset);
        Ok(())
    }

    fn take_snapshot(&mut self) -> Result<(), LogError> {
        let request = self.snapshot()?;
        request.sync()?;
        self.keep_snapshot(&request);
        Ok(())
    }

    /// Makes all durable, and the next opening quick. Nothing is appended afterwards.
    pub fn close(&mut self) -> Result<(), LogError> {
        self.flush()?;
        if self.producers.n_replayed > 0 {
            let done = self.take_snapshot();
            self.or_fail(done)?;
        }
        Ok(())
    }
}

/// Walks the batches in `from..to` and hands on those of producers, with their segment; says how
/// many batches there were.
fn replay(
    segments: &Segments,
    (from, to): (Offset, Offset),
    mut each: impl FnMut(Offset, &ProducerBatch) -> Result<(), LogError>,
) -> Result<u64, LogError> {
    let mut n_batches = 0;
    let ends = segments.iter().skip(1).map(Segment::base_offset);
    for (segment, end) in segments.iter().zip(ends.chain([to])) {
        if end <= from || segment.base_offset() >= to {
            continue;
        }
        for found in segment.headers(segment.start_for(from)?) {
            let Located {
                position, header, ..
            } = found?;
            if header.base_offset >= to {
                break;
            }
            if header.base_offset < from {
                continue;
            }
            n_batches += 1;
            // Only a control batch must be looked into.
            let bytes = if header.is_control() {
                segment.bytes_at(position, header.total_size())?
            } else {
                Bytes::new()
            };
            if let Some(batch) = ProducerBatch::of(&header, &bytes) {
                each(segment.base_offset(), &batch)?;
            }
        }
    }
    Ok(n_batches)
}
