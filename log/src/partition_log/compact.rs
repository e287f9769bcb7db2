//! Compaction as the log has part in it: what may be rewritten, and taking in what was.
//!
//! See [`crate::compaction`] for what happens in between, without the log.

use std::sync::Arc;

use drave_protocol::ids::Offset;

use crate::compaction::source::Source;
use crate::compaction::{CompactionPlan, Dirt, Pass, Rewritten, swap};
use crate::error::LogError;
use crate::partition_log::PartitionLog;
use crate::segment::Segment;

/// What became of rewritten segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swapped {
    In,
    /// The log was cut or its segments went meanwhile: nothing changed.
    Voided,
}

/// A sealed segment and where the next one starts.
type Sealed<'a> = (&'a Segment, Offset);

impl PartitionLog {
    /// Where the last compaction ended.
    pub fn first_dirty_offset(&self) -> Offset {
        let is_valid = (self.log_start_offset..=self.log_end_offset).contains(&self.compacted_upto);
        // A note from beyond the log's end is of a log that was: all of this one is dirty.
        if is_valid {
            self.compacted_upto
        } else {
            self.log_start_offset
        }
    }

    /// Takes up what was noted of earlier compactions.
    pub fn set_first_dirty_offset(&mut self, offset: Offset) {
        self.compacted_upto = offset;
    }

    /// How much there is to compact below `upper`, which is below the high watermark and the first
    /// transaction that is not decided. `None` for logs that are not compacted.
    pub fn dirt(&self, now_ms: i64, upper: Offset) -> Result<Option<Dirt>, LogError> {
        if !self.config.cleanup.compact || self.health.check().is_err() {
            return Ok(None);
        }
        let first_dirty_offset = self.first_dirty_offset();
        let mut dirt = Dirt {
            first_dirty_offset,
            first_uncleanable_offset: first_dirty_offset,
            clean_bytes: 0,
            cleanable_bytes: 0,
            is_overdue: false,
            min_cleanable_ratio: self.config.min_cleanable_dirty_ratio,
        };
        for (segment, next_offset) in self.sealed() {
            if next_offset <= first_dirty_offset {
                dirt.clean_bytes += segment.size();
                continue;
            }
            if next_offset > upper.min(self.recovery_point) || self.is_too_young(segment, now_ms)? {
                break;
            }
            dirt.first_uncleanable_offset = next_offset;
            dirt.cleanable_bytes += segment.size();
            dirt.is_overdue |= self.waits_too_long(segment, now_ms)?;
        }
        Ok(Some(dirt))
    }

    fn sealed(&self) -> impl Iterator<Item = Sealed<'_>> {
        let sealed = self.segments.sealed();
        let next = sealed.iter().skip(1).map(Segment::base_offset);
        sealed
            .iter()
            .zip(next.chain([self.segments.active().base_offset()]))
    }

    fn is_too_young(&self, segment: &Segment, now_ms: i64) -> Result<bool, LogError> {
        let lag_ms = self.config.min_compaction_lag_ms;
        Ok(lag_ms > 0 && segment.youngest_ms()? > now_ms.saturating_sub(lag_ms))
    }

    fn waits_too_long(&self, segment: &Segment, now_ms: i64) -> Result<bool, LogError> {
        let lag_ms = self.config.max_compaction_lag_ms;
        if lag_ms == i64::MAX {
            return Ok(false);
        }
        let began = segment.first_batch_timestamp()?.filter(|it| *it > 0);
        Ok(began.is_some_and(|it| it < now_ms.saturating_sub(lag_ms)))
    }

    /// What to rewrite now; `None` when nothing may be, or another plan is under way. Marks the log as
    /// one whose offsets may have holes.
    pub fn plan_compaction(
        &mut self,
        now_ms: i64,
        upper: Offset,
    ) -> Result<Option<CompactionPlan>, LogError> {
        let Some(dirt) = self.dirt(now_ms, upper)? else {
            return Ok(None);
        };
        if dirt.cleanable_bytes == 0 || self.compaction.upgrade().is_some() {
            return Ok(None);
        }
        self.allow_holes()?;
        // What is about to go may be the first batch of its epoch.
        self.write_down_epochs()?;
        swap::begin(self.fs.as_ref(), &self.dir)?;
        let cleanable = self
            .sealed()
            .take_while(|(_, next_offset)| *next_offset <= dirt.first_uncleanable_offset);
        let source = |(segment, next_offset): Sealed<'_>| Source {
            path: segment.path().to_owned(),
            base_offset: segment.base_offset(),
            next_offset,
            size: segment.size(),
        };
        let sources = cleanable.map(source).collect();
        let from = self.segments.first_base_offset();
        let claim = Arc::new(());
        self.compaction = Arc::downgrade(&claim);
        Ok(Some(CompactionPlan {
            fs: Arc::clone(&self.fs),
            dir: self.dir.clone(),
            config: self.config.clone(),
            sources,
            first_dirty_offset: dirt.first_dirty_offset,
            now_ms,
            last_records: self.last_producer_records(),
            aborted: self.aborted_transactions(from, dirt.first_uncleanable_offset)?,
            n_truncations: self.n_truncations,
            _claim: claim,
        }))
    }

    /// Puts rewritten segments in the place of their sources, unless these are no longer what they were.
    pub fn swap_in(&mut self, rewritten: &Rewritten) -> Result<Swapped, LogError> {
        if self.health.check().is_err() || !self.holds(rewritten) {
            return Ok(Swapped::Voided);
        }
        let Some(first) = rewritten.sources.first() else {
            return Ok(Swapped::Voided);
        };
        let bases: Vec<Offset> = rewritten.sources.iter().map(|it| it.base_offset).collect();
        let done = swap::run(self.fs.as_ref(), &self.dir, &bases);
        self.or_fail(done)?;
        let end = rewritten
            .sources
            .last()
            .map_or(first.next_offset, |it| it.next_offset);
        let new = Segment::existing(&self.fs, &self.dir, first.base_offset, rewritten.size);
        let run = first.base_offset..end;
        self.producers.compacted(&run, rewritten.n_aborted);
        self.segments.replace(run, new);
        Ok(Swapped::In)
    }

    /// Takes note that all groups of a pass are swapped in.
    pub fn compacted(&mut self, pass: &Pass) -> Result<(), LogError> {
        if self.health.check().is_err() || pass.n_truncations() != self.n_truncations {
            return Ok(());
        }
        self.compacted_upto = self.first_dirty_offset().max(pass.end());
        swap::discard(self.fs.as_ref(), &self.dir)
    }

    /// Whether all sources are there, one after another, and are what was read.
    fn holds(&self, rewritten: &Rewritten) -> bool {
        let sources = rewritten
            .sources
            .iter()
            .map(|it| (it.base_offset, it.size, it.next_offset));
        let first = rewritten.sources.first().map(|it| it.base_offset);
        let sealed = self
            .sealed()
            .skip_while(|(segment, _)| Some(segment.base_offset()) < first)
            .map(|(segment, next_offset)| (segment.base_offset(), segment.size(), next_offset));
        rewritten.n_truncations == self.n_truncations
            && sources.eq(sealed.take(rewritten.sources.len()))
    }
}
