//! Opening a log after any end, clean or not.
//!
//! Below the recovery point everything was durable once: but for headers it is not read again, and where it
//! turns out to be missing or wrong, that is corruption, never cut. Above it each batch is checked; the
//! first one that is not whole, right and next in line ends the log there. Running recovery twice
//! gives what running it once gave.

use std::path::Path;
use std::sync::Arc;

use drave_protocol::ids::{LeaderEpoch, Offset};
use drave_protocol::record::batch::{self, BatchError, BatchHeader};
use tracing::warn;

use crate::batch_check::{check_batch, check_header};
use crate::config::LogConfig;
use crate::density::Density;
use crate::error::{Corruption, During, Fault, LogError};
use crate::fs::{self, FileSystem, NamedFile, to_u64};
use crate::leader_epochs::LeaderEpochs;
use crate::listing::Listing;
use crate::planted::{Fault as Planted, is_planted};
use crate::repair_report::{Repair, RepairReport};
use crate::segment::{self, Located, Segment};
use crate::segments::Segments;

/// Bytes read at once while scanning; a larger batch is read whole.
const SCAN_BYTES: usize = 1 << 20;
/// Headers in memory at once of those that are only passed.
const PASSED_AT_ONCE: usize = 1024;

/// What is known before the scan.
pub(crate) struct Recovery<'a> {
    pub(crate) fs: &'a Arc<dyn FileSystem>,
    pub(crate) dir: &'a Path,
    /// What the folder holds; nothing of it is half swapped in.
    pub(crate) listing: &'a Listing,
    pub(crate) config: &'a LogConfig,
    pub(crate) density: Density,
    /// Below it everything was durable.
    pub(crate) trusted_below: Offset,
    pub(crate) log_start_offset: Offset,
    /// As the file says, or `None` when it could not be read.
    pub(crate) epochs: Option<LeaderEpochs>,
}

/// A log as it is after recovery; all of it is durable once this is:
pub(crate) struct Recovered {
    pub(crate) unsynced: Unsynced,
    pub(crate) segments: Segments,
    pub(crate) log_start_offset: Offset,
    pub(crate) log_end_offset: Offset,
    pub(crate) epochs: LeaderEpochs,
    pub(crate) report: RepairReport,
}

/// What is left to be made durable of a log that was scanned.
#[derive(Debug, Default)]
pub(crate) struct Unsynced {
    /// Of the newest segment, and open since before it was looked at: an error of the disk is told to
    /// those who had the file open when it happened.
    pub(crate) file: Option<NamedFile>,
    /// Whether the segment's name may not be durable either.
    pub(crate) names: bool,
}

struct Scan<'a> {
    recovery: &'a Recovery<'a>,
    epochs: LeaderEpochs,
    report: RepairReport,
    unsynced: Unsynced,
    has_removed: bool,
}

impl Recovery<'_> {
    /// `None` when the folder holds no segment: then there is no log yet.
    pub(crate) fn run(&self) -> Result<Option<Recovered>, LogError> {
        let found = self.found_segments()?;
        if found.is_empty() {
            return Ok(None);
        }
        let mut scan = Scan {
            recovery: self,
            epochs: self.epochs.clone().unwrap_or_default(),
            report: RepairReport::default(),
            unsynced: Unsynced::default(),
            has_removed: false,
        };
        if self.epochs.is_none() {
            scan.report.repairs.push(Repair::LeaderEpochsRebuilt);
        }
        let (segments, log_end_offset) = scan.segments(&found)?;
        let recovered = scan.finish(segments, log_end_offset)?;
        for repair in &recovered.report.repairs {
            warn!(dir = %self.dir.display(), "log repaired: {repair}");
        }
        Ok(Some(recovered))
    }

    /// Base offset and size of each segment, oldest first. Half-replaced files are swept away.
    fn found_segments(&self) -> Result<Vec<(Offset, u64)>, LogError> {
        let mut found = Vec::new();
        for (name, size) in self.listing.files() {
            if fs::is_half_replaced(name) {
                let path = self.dir.join(name);
                self.fs.remove_file(&path).during("remove", &path)?;
            }
            found.extend(segment::base_offset_of(name).map(|base| (base, size)));
        }
        found.sort_unstable();
        if self.density == Density::Holes {
            self.remove_emptied(&mut found)?;
        }
        Ok(found)
    }

    /// Starting over empties the oldest segment and makes a new one: where no batch can tell that
    /// one does not follow the other, only the new one is the log.
    fn remove_emptied(&self, found: &mut Vec<(Offset, u64)>) -> Result<(), LogError> {
        while let [(base_offset, 0), _, ..] = found.as_slice() {
            Segment::existing(self.fs, self.dir, *base_offset, 0).remove()?;
            found.remove(0);
        }
        Ok(())
    }

    /// Where scanning starts: at the recovery point, or at the very start when the epochs are to be
    /// learnt from the batches.
    fn scan_from(&self) -> Offset {
        if self.epochs.is_some() {
            self.trusted_below
        } else {
            Offset::ZERO
        }
    }
}

impl Scan<'_> {
    fn segments(&mut self, found: &[(Offset, u64)]) -> Result<(Segments, Offset), LogError> {
        let (fs, dir) = (self.recovery.fs, self.recovery.dir);
        let scan_from = self.recovery.scan_from();
        // The segment that ends at the recovery point may have been sealed after the last sync: its
        // batches are durable, its indexes may not be. Those of the last segment need not be: it is
        // written to, so whoever opens it next looks at them again.
        let n_trusted = found
            .partition_point(|(base, _)| *base < scan_from)
            .saturating_sub(1);
        let existing = |&(base, size): &(Offset, u64)| Segment::existing(fs, dir, base, size);
        let mut kept: Vec<Segment> = found.iter().take(n_trusted).map(existing).collect();
        let mut end: Option<Offset> = None;
        let mut density = self.recovery.density;
        let mut rest = found.iter().skip(n_trusted).map(existing);
        while let Some(mut segment) = rest.next() {
            let base_offset = segment.base_offset();
            let fits = end.is_none_or(|end| density.accepts(end, base_offset));
            if fits {
                if let Some(scanned) = kept.get_mut(n_trusted..).and_then(<[_]>::last_mut) {
                    scanned.seal()?;
                    sync_indexes(scanned)?;
                    self.sync_scanned()?;
                }
                let size = segment.size();
                end = Some(self.segment(&mut segment)?);
                if segment.size() < size {
                    // What was cut off here is no hole that compaction left.
                    density = Density::Dense;
                }
                kept.push(segment);
                continue;
            }
            let (end, last) = (end.unwrap_or(base_offset), kept.last().unwrap_or(&segment));
            if end < self.recovery.trusted_below {
                let fault = Fault::Gap {
                    next_segment: base_offset,
                };
                return Err(last.corrupt(last.size(), end, fault));
            }
            self.drop_segment(segment)?;
            for later in rest.by_ref() {
                self.drop_segment(later)?;
            }
        }
        let active = kept
            .pop()
            .expect("at least one segment was found, and the first one fits");
        let end = end.unwrap_or(active.base_offset());
        if end < self.recovery.trusted_below {
            let recovery_point = self.recovery.trusted_below;
            return Err(active.corrupt(active.size(), end, Fault::EndsEarly { recovery_point }));
        }
        let density = self.recovery.density;
        Ok((Segments::from_parts(fs, dir, density, kept, active), end))
    }

    /// Scans one segment from the recovery point on and cuts off what is not whole; says its end.
    fn segment(&mut self, segment: &mut Segment) -> Result<Offset, LogError> {
        segment.open_checked()?;
        let mut position = segment.start_for(self.recovery.scan_from())?;
        let mut end = segment.base_offset();
        if position > 0 {
            let first = segment.headers(position).next().transpose()?;
            end = first.map_or(end, |found| found.header.base_offset);
        }
        segment.forget_from(position)?;
        // From here on the batches themselves say which epoch starts where.
        self.epochs.truncate_from_end(end);
        (position, end) = self.pass_durable(segment, position, end)?;
        // An earlier process may have seen a sync fail here: what it wrote must not be believed durable
        // because it can still be read.
        let done = segment.file()?.read_anew(position);
        done.during("read anew", segment.path())?;
        let mut wanted = SCAN_BYTES;
        let mut fault = None;
        while fault.is_none() && position < segment.size() {
            let chunk = segment.bytes_at(position, wanted)?;
            wanted = SCAN_BYTES;
            let chunk_start = position;
            for found in batch::iter(&chunk) {
                let checked = match found {
                    Err(BatchError::Truncated { needed, .. })
                        if chunk_start + to_u64(chunk.len()) < segment.size() =>
                    {
                        // Cut by the chunk, not by a crash: read on from here.
                        wanted = needed.max(SCAN_BYTES);
                        break;
                    }
                    Err(error) => Err(error.into()),
                    Ok((_, header, bytes)) => self.batch(&header, bytes, end).map(|()| header),
                };
                match checked {
                    Ok(header) => {
                        let n_bytes = header.total_size();
                        let interval = self.recovery.config.index_interval_bytes;
                        segment.note(position, &header, n_bytes, interval)?;
                        position += to_u64(n_bytes);
                        end = header.next_offset();
                    }
                    Err(found) => {
                        fault = Some(found);
                        break;
                    }
                }
            }
        }
        self.settle(segment, position, end, fault)?;
        Ok(end)
    }

    /// From where the index says up to the recovery point: nothing there is in doubt, so headers tell enough.
    /// They are few where there is an index.
    fn pass_durable(
        &mut self,
        segment: &mut Segment,
        mut position: u64,
        mut end: Offset,
    ) -> Result<(u64, Offset), LogError> {
        let scan_from = self.recovery.scan_from();
        let interval = self.recovery.config.index_interval_bytes;
        loop {
            // One that cannot be read is for the scan to judge, and so is what lies behind the recovery point,
            // whatever offsets it says it has: torn, it may say any.
            let whole = segment.headers(position).map_while(Result::ok);
            let mut upto = end;
            let durable = whole.take_while(|it| {
                let next = it.header.next_offset();
                let is_durable = upto < scan_from && next <= scan_from;
                upto = next;
                is_durable
            });
            let passed: Vec<Located> = durable.take(PASSED_AT_ONCE).collect();
            for Located { header, .. } in &passed {
                let learnt = self.header(header, end);
                learnt.map_err(|fault| segment.corrupt(position, end, fault))?;
                segment.note(position, header, header.total_size(), interval)?;
                position += to_u64(header.total_size());
                end = header.next_offset();
            }
            if passed.len() < PASSED_AT_ONCE {
                return Ok((position, end));
            }
        }
    }

    /// Checks one batch against its place, and learns its epoch.
    fn batch(&mut self, header: &BatchHeader, bytes: &[u8], expected: Offset) -> Result<(), Fault> {
        if header.base_offset >= self.recovery.trusted_below {
            self.report.scanned_bytes += to_u64(bytes.len());
        }
        self.recovery.density.check(expected, header.base_offset)?;
        check_batch(header, bytes, self.epochs.latest_epoch())?;
        self.learn_epoch(header, expected);
        Ok(())
    }

    /// As [`Self::batch`], where the header is all there is to be checked.
    fn header(&mut self, header: &BatchHeader, expected: Offset) -> Result<(), Fault> {
        self.recovery.density.check(expected, header.base_offset)?;
        check_header(header, self.epochs.latest_epoch())?;
        self.learn_epoch(header, expected);
        Ok(())
    }

    fn learn_epoch(&mut self, header: &BatchHeader, expected: Offset) {
        if header.partition_leader_epoch >= LeaderEpoch(0) {
            self.epochs.assign(header.partition_leader_epoch, expected);
        }
    }

    /// Only the newest segment's sync is left for later: a log's open files are few.
    fn sync_scanned(&mut self) -> Result<(), LogError> {
        if let Some((path, file)) = self.unsynced.file.take() {
            file.sync_data().during("sync", &path)?;
        }
        Ok(())
    }

    /// Cuts off what is not kept of a scanned segment, and notes what is to be made durable.
    fn settle(
        &mut self,
        segment: &mut Segment,
        position: u64,
        end: Offset,
        fault: Option<Fault>,
    ) -> Result<(), LogError> {
        let recovery_point = self.recovery.trusted_below;
        if let Some(fault) = fault {
            if end < recovery_point {
                return Err(segment.corrupt(position, end, fault));
            }
            self.report.repairs.push(Repair::TailCut {
                file: segment.path().to_owned(),
                from_offset: end,
                position,
                bytes: segment.size() - position,
                fault,
            });
            if !is_planted(Planted::TornTailKept) {
                segment.truncate(position)?;
            }
        }
        let scan_from = self.recovery.scan_from();
        if end > scan_from {
            self.unsynced.file = Some((segment.path().to_owned(), segment.file()?));
            // With the first sync of a segment its name became durable too.
            self.unsynced.names |= segment.base_offset() >= scan_from;
        }
        Ok(())
    }

    /// Epochs are written down by one who may have let go of more records than the checkpoint says yet: then those
    /// that are back have to say who wrote them.
    fn learn_first_epochs(
        &mut self,
        segments: &Segments,
        log_start_offset: Offset,
    ) -> Result<(), LogError> {
        let known = self.epochs.entries().first().copied();
        let Some(known) = known.filter(|it| it.start_offset > log_start_offset) else {
            return Ok(());
        };
        let mut first = LeaderEpochs::default();
        let mut next = log_start_offset;
        while next < known.start_offset {
            let Some((_, Located { header, .. })) = segments.locate(next)? else {
                break;
            };
            let epoch = header.partition_leader_epoch;
            if epoch < LeaderEpoch(0) || epoch > known.epoch || first.latest_epoch() > Some(epoch) {
                // Of a log that is older than epochs are.
                return Ok(());
            }
            first.assign(epoch, next);
            next = header.next_offset();
        }
        for entry in self.epochs.entries() {
            first.assign(entry.epoch, entry.start_offset);
        }
        self.epochs = first;
        Ok(())
    }

    fn drop_segment(&mut self, segment: Segment) -> Result<(), LogError> {
        self.has_removed = true;
        self.report.repairs.push(Repair::SegmentDropped {
            file: segment.path().to_owned(),
            base_offset: segment.base_offset(),
            bytes: segment.size(),
        });
        segment.remove()
    }

    fn finish(
        mut self,
        mut segments: Segments,
        mut log_end_offset: Offset,
    ) -> Result<Recovered, LogError> {
        let dir = self.recovery.dir;
        let log_start_offset = self
            .recovery
            .log_start_offset
            .max(segments.first_base_offset());
        if log_start_offset > log_end_offset {
            segments.reset(log_start_offset)?;
            log_end_offset = log_start_offset;
            self.report
                .repairs
                .push(Repair::StartedOver { log_start_offset });
            self.has_removed = true;
            // Nothing is left of what was scanned.
            self.unsynced.file = None;
        }
        segments.remove_before(log_start_offset)?;
        if self.has_removed {
            self.recovery.fs.sync_dir(dir).during("sync", dir)?;
            self.unsynced.names = false;
        }
        // In this order: of an empty log no epoch is left.
        self.epochs.begin_at(log_start_offset);
        self.epochs.truncate_from_end(log_end_offset);
        self.learn_first_epochs(&segments, log_start_offset)?;
        Ok(Recovered {
            unsynced: self.unsynced,
            segments,
            log_start_offset,
            log_end_offset,
            epochs: self.epochs,
            report: self.report,
        })
    }
}

fn sync_indexes(segment: &Segment) -> Result<(), LogError> {
    for (path, file) in segment.index_files()? {
        file.sync_data().during("sync", &path)?;
    }
    Ok(())
}

/// The error for a folder whose epochs say there was a log, and whose segments are gone.
pub(crate) fn vanished(dir: &Path, log_start_offset: Offset, recovery_point: Offset) -> LogError {
    let fault = Fault::EndsEarly { recovery_point };
    Corruption {
        file: dir.to_owned(),
        position: 0,
        offset: log_start_offset,
        fault,
    }
    .into()
}
