//! One pass over a log: what may be dropped is learnt from the dirty part, then all of it is rewritten.
//!
//! Runs without the log's lock, on files nobody writes to. Invariant: what is handed out as rewritten
//! is on disk, whole, under names that mean nothing until the log swaps it in.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use drave_protocol::ids::{Offset, ProducerId};
use drave_protocol::record::compression::UnpackedLimit;
use drave_protocol::record::reader::RecordReader;
use drave_protocol::record::record::RecordError;

use crate::compaction::filter::{self, Filter, WhenEmpty};
use crate::compaction::grouping::{self, Bounds, Weight};
use crate::compaction::offset_map::OffsetMap;
use crate::compaction::output::Output;
use crate::compaction::source::{BatchReader, Source};
use crate::compaction::transactions::CleanedTransactions;
use crate::compaction::{CompactionError, Pace, swap};
use crate::config::{LogConfig, SEGMENT_BYTES_LIMIT};
use crate::error::During;
use crate::fs::{File, FileSystem, to_u64};
use crate::producer_state::{AbortedTransaction, LastRecord};

/// What to compact, decided under the log's lock. One at a time for each log.
#[derive(Debug)]
pub struct CompactionPlan {
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) dir: PathBuf,
    pub(crate) config: LogConfig,
    /// All segments that may be rewritten, oldest first.
    pub(crate) sources: Vec<Source>,
    pub(crate) first_dirty_offset: Offset,
    pub(crate) now_ms: i64,
    pub(crate) last_records: BTreeMap<ProducerId, LastRecord>,
    pub(crate) aborted: Vec<AbortedTransaction>,
    pub(crate) n_truncations: u64,
    /// Alive as long as the plan and what became of it.
    pub(crate) _claim: Arc<()>,
}

/// A plan under way: the map is made.
#[derive(Debug)]
pub struct Pass {
    plan: CompactionPlan,
    filter: Filter,
    n_done: usize,
    passed: Passed,
}

/// What a pass did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Bytes of the segments that were gone through.
    pub bytes_before: u64,
    /// What they are now.
    pub bytes_after: u64,
    pub n_keys: u64,
    /// Records that were dropped because they have no key.
    pub n_without_key: u64,
}

/// A group of segments, rewritten as one.
#[derive(Debug)]
pub struct Rewritten {
    pub(crate) sources: Vec<Source>,
    pub(crate) size: u64,
    /// Entries of its transaction index.
    pub(crate) n_aborted: u64,
    pub(crate) n_truncations: u64,
    /// While somebody holds the old files open, removing their names costs nothing.
    _held: Vec<Arc<dyn File>>,
}

impl CompactionPlan {
    /// No pass over this plan needs room for more keys.
    pub fn n_keys_at_most(&self) -> u64 {
        let end = self.sources.last().map(|it| it.next_offset);
        end.map_or(0, |end| {
            u64::try_from(end - self.first_dirty_offset).unwrap_or(0)
        })
    }

    /// Learns the last offset of each key in the dirty part, or of as many keys as there is room for.
    pub fn start(self, mut map: OffsetMap, pace: &mut dyn Pace) -> Result<Pass, CompactionError> {
        let mapped_upto = self.fill(&mut map, pace)?;
        let passed = Passed {
            n_keys: to_u64(map.len()),
            ..Passed::default()
        };
        let filter = Filter {
            map,
            mapped_upto,
            now_ms: self.now_ms,
            delete_retention_ms: self.config.delete_retention_ms,
            compression: self.config.compression,
            last_records: self.last_records.clone(),
            transactions: CleanedTransactions::new(self.aborted.clone()),
            n_without_key: 0,
        };
        Ok(Pass {
            plan: self,
            filter,
            n_done: 0,
            passed,
        })
    }

    /// Returns where the first key lies that had no room, or the end.
    fn fill(&self, map: &mut OffsetMap, pace: &mut dyn Pace) -> Result<Offset, CompactionError> {
        let is_dirty = |it: &&Source| it.next_offset > self.first_dirty_offset;
        let from = self.sources.iter().find(is_dirty).map(|it| it.base_offset);
        // Those that ended before would be taken for their producers' next ones.
        let mut aborted = self.aborted.clone();
        aborted.retain(|it| Some(it.last_offset) >= from);
        let mut transactions = CleanedTransactions::new(aborted);
        let mut mapped_upto = self.first_dirty_offset;
        for source in self.sources.iter().filter(is_dirty) {
            let file = self.fs.open(&source.path).during("open", &source.path)?;
            let mut reader = BatchReader::new(source, file);
            while let Some(batch) = reader.next_batch(pace)? {
                let header = batch.header;
                let is_of_interest = if header.is_control() {
                    transactions.is_spent(&header, filter::ended_by(&header, batch.bytes));
                    false
                } else {
                    !transactions.is_aborted(&header)
                };
                if is_of_interest
                    && let Some(full_at) = self
                        .map_batch(map, batch.bytes)
                        .map_err(|it| source.unreadable(header.base_offset, it))?
                {
                    return Ok(full_at);
                }
                mapped_upto = mapped_upto.max(header.next_offset());
            }
            mapped_upto = source.next_offset;
        }
        Ok(mapped_upto)
    }

    /// Returns the offset of the first record whose key had no room.
    fn map_batch(&self, map: &mut OffsetMap, bytes: &[u8]) -> Result<Option<Offset>, RecordError> {
        let mut reader = RecordReader::open(bytes, UnpackedLimit::default())?;
        let header = *reader.header();
        if header.last_offset() < self.first_dirty_offset {
            return Ok(None);
        }
        while let Some(record) = reader.next_record() {
            let record = record?;
            let offset = record.offset(&header);
            if let Some(key) = record.key
                && offset >= self.first_dirty_offset
                && !map.put(key, offset)
            {
                return Ok(Some(offset));
            }
        }
        Ok(None)
    }
}

impl Pass {
    /// Where the next pass begins, once all groups of this one are swapped in.
    pub fn end(&self) -> Offset {
        self.filter.mapped_upto
    }

    pub fn passed(&self) -> Passed {
        Passed {
            n_without_key: self.filter.n_without_key,
            ..self.passed
        }
    }

    pub(crate) fn n_truncations(&self) -> u64 {
        self.plan.n_truncations
    }

    /// Rewrites the next segments of which something goes; `None` when there are no more. To be swapped
    /// in before the next is asked for. After an error nothing is left on the disk.
    pub fn next_group(
        &mut self,
        pace: &mut dyn Pace,
    ) -> Result<Option<Rewritten>, CompactionError> {
        while let Some(group) = self.take_group() {
            let rewritten = self.rewrite(group, pace);
            if rewritten.is_err() {
                // What cannot be removed now is when the log is opened, or compacted next.
                let _ = swap::discard(self.plan.fs.as_ref(), &self.plan.dir);
            }
            if let Some(rewritten) = rewritten? {
                return Ok(Some(rewritten));
            }
        }
        Ok(None)
    }

    fn take_group(&mut self) -> Option<Vec<Source>> {
        let rest = self.plan.sources.get(self.n_done..)?;
        let rest = rest
            .iter()
            .take_while(|it| it.base_offset < self.filter.mapped_upto);
        let weight = |it: &Source| Weight {
            base_offset: it.base_offset,
            next_offset: it.next_offset,
            size: it.size,
            index_size: it.index_size(self.plan.fs.as_ref()),
        };
        let weights: Vec<Weight> = rest.map(weight).collect();
        let bounds = Bounds {
            size: self.plan.config.segment_bytes.min(SEGMENT_BYTES_LIMIT),
            index_size: self.plan.config.segment_index_bytes,
        };
        let n = grouping::first_group(&weights, bounds);
        let group = self.plan.sources.get(self.n_done..self.n_done + n)?;
        self.n_done += n;
        (!group.is_empty()).then(|| group.to_vec())
    }

    /// `None` when all of it stays as it is.
    fn rewrite(
        &mut self,
        group: Vec<Source>,
        pace: &mut dyn Pace,
    ) -> Result<Option<Rewritten>, CompactionError> {
        let fs = Arc::clone(&self.plan.fs);
        let mut held = Vec::new();
        let mut output = Output::new(&fs, &self.plan.dir, &self.plan.config, &group);
        let mut left: u64 = group.iter().map(|it| it.size).sum();
        self.passed.bytes_before += left;
        for source in &group {
            let file = fs.open(&source.path).during("open", &source.path)?;
            held.push(Arc::clone(&file));
            let mut reader = BatchReader::new(source, file);
            while let Some(batch) = reader.next_batch(pace)? {
                left -= to_u64(batch.bytes.len());
                let when_empty = match left {
                    0 => WhenEmpty::Keep,
                    _ => WhenEmpty::Drop,
                };
                let kept = self.filter.batch(&batch.header, batch.bytes, when_empty);
                let kept = kept.map_err(|it| source.unreadable(batch.header.base_offset, it))?;
                output.put(kept, batch.bytes, left, pace)?;
            }
        }
        // Of transactions whose records went, readers in the middle of them still want to know.
        let mut aborted = self.filter.transactions.take_kept();
        aborted.sort_unstable_by_key(|it| it.last_offset);
        let size = output.finish(&held, &aborted, pace)?;
        self.passed.bytes_after += size.unwrap_or_else(|| group.iter().map(|it| it.size).sum());
        let Some(size) = size else { return Ok(None) };
        Ok(Some(Rewritten {
            sources: group,
            size,
            n_aborted: to_u64(aborted.len()),
            n_truncations: self.plan.n_truncations,
            _held: held,
        }))
    }
}
