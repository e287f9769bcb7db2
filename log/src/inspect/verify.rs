//! Whether everything holds that must hold of a log, judged by its files alone.
//!
//! One pass over the batches, which every check sees as they go by; what a crash may leave is
//! called a flaw like anything else. A log that is written to meanwhile can look flawed where it is
//! only young: whoever asks of a live one asks twice and believes what was found both times.

use std::io;
use std::path::{Path, PathBuf};

use drave_protocol::ids::{LeaderEpoch, Offset};

use crate::config::SEGMENT_BYTES_LIMIT;
use crate::density::Density;
use crate::error::{Fault, LogError};
use crate::fs::{FileSystem, to_u64};
use crate::inspect::batches::{Batches, Body, FoundBatch};
use crate::inspect::check::{Check, Flaws, Wrong};
use crate::inspect::epochs::EpochsCheck;
use crate::inspect::offset_index::{OffsetEntries, OffsetIndexCheck};
use crate::inspect::place::{FileKind, PartitionFolder};
use crate::inspect::producers::ProducersCheck;
use crate::inspect::records::RecordsCheck;
use crate::inspect::time_index::{TimeEntries, TimeIndexCheck};
use crate::inspect::transactions::TransactionEntries;
use crate::listing::Listing;
use crate::segment;

/// Whether offsets may be missing, as they are after a compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holes {
    /// Where the folder carries the mark that says so.
    WhereMarked,
    /// Everywhere: other programs leave no mark.
    Anywhere,
}

/// What was looked at, and what does not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub n_segments: u64,
    pub n_batches: u64,
    pub n_records: u64,
    pub n_bytes: u64,
    pub flaws: Flaws,
}

impl Verified {
    pub fn is_flawless(&self) -> bool {
        self.flaws.found.is_empty() && self.flaws.n_not_kept == 0
    }

    /// The flaws that were found before, too.
    #[must_use]
    pub fn confirming(mut self, earlier: &Self) -> Self {
        let (found, before) = (&mut self.flaws.found, &earlier.flaws.found);
        found.retain(|it| before.contains(it));
        self.flaws.n_not_kept = self.flaws.n_not_kept.min(earlier.flaws.n_not_kept);
        self
    }
}

/// Verifies one partition. An error is one of the disk: the bytes' own faults are flaws.
pub fn partition(
    fs: &dyn FileSystem,
    folder: &PartitionFolder,
    holes: Holes,
) -> Result<Verified, LogError> {
    let mut verified = Verified::default();
    let epochs = match folder.find(FileKind::LeaderEpochs) {
        Some(path) => EpochsCheck::start(fs, &path, &mut verified.flaws)?,
        None => None,
    };
    let density = match holes {
        Holes::WhereMarked => Density::of(&Listing::of(fs, &folder.path)?),
        Holes::Anywhere => Density::Holes,
    };
    let mut walk = Walk {
        fs,
        verified,
        order: Order::new(density),
        epochs,
        producers: ProducersCheck::start(fs, folder),
    };
    let n_segments = folder.segments().count();
    for (place, (base_offset, file)) in folder.segments().enumerate() {
        let is_newest = place + 1 == n_segments;
        walk.segment(&folder.path_of(file), base_offset, is_newest)?;
    }
    walk.producers.finish(&mut walk.verified.flaws)?;
    Ok(walk.verified)
}

struct Walk<'a> {
    fs: &'a dyn FileSystem,
    verified: Verified,
    order: Order,
    epochs: Option<EpochsCheck>,
    producers: ProducersCheck<'a>,
}

impl Walk<'_> {
    fn segment(
        &mut self,
        path: &Path,
        base_offset: Offset,
        is_newest: bool,
    ) -> Result<(), LogError> {
        // The indexes first: what is appended meanwhile must not be missing from the batches.
        let mut checks = self.index_checks(path, base_offset, is_newest)?;
        let Some(mut batches) = found(Batches::whole(self.fs, path))? else {
            // Retention took it since the folder was listed.
            self.lose_track();
            return Ok(());
        };
        let transactions = path.with_extension("txnindex");
        let transactions = found(TransactionEntries::open(self.fs, &transactions))?;
        checks.push(Box::new(RecordsCheck::of(path.to_owned())));
        let Verified { flaws, .. } = &mut self.verified;
        self.order.enter(path, base_offset, flaws);
        let log = path.to_owned();
        self.producers
            .enter(log, base_offset, transactions, flaws)?;
        if let Some(epochs) = &mut self.epochs {
            epochs.enter(path);
        }
        self.verified.n_segments += 1;
        self.verified.n_bytes += batches.size();
        if batches.size() > SEGMENT_BYTES_LIMIT {
            let wrong = Wrong::TooLarge(batches.size());
            self.verified.flaws.add(path, SEGMENT_BYTES_LIMIT, wrong);
        }
        if self.batches(&mut batches, &mut checks)? {
            let flaws = &mut self.verified.flaws;
            for check in &mut checks {
                check.end(flaws)?;
            }
            self.producers.end(flaws)?;
        }
        Ok(())
    }

    fn index_checks(
        &self,
        log: &Path,
        base_offset: Offset,
        is_newest: bool,
    ) -> Result<Vec<Box<dyn Check>>, LogError> {
        let mut checks: Vec<Box<dyn Check>> = Vec::new();
        let path = segment::index_path(log);
        if let Some(entries) = found(OffsetEntries::open(self.fs, &path, base_offset))? {
            checks.push(Box::new(OffsetIndexCheck::start(entries, is_newest)?));
        }
        let path = segment::time_index_path(log);
        if let Some(entries) = found(TimeEntries::open(self.fs, &path, base_offset))? {
            checks.push(Box::new(TimeIndexCheck::start(entries)?));
        }
        Ok(checks)
    }

    fn lose_track(&mut self) {
        self.order.lose_track();
        self.producers.lose_track();
    }

    /// Whether all of them could be read to the end.
    fn batches(
        &mut self,
        batches: &mut Batches,
        checks: &mut [Box<dyn Check>],
    ) -> Result<bool, LogError> {
        while let Some(found) = batches.next() {
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    self.lose_track();
                    self.verified.flaws.take(error)?;
                    return Ok(false);
                }
            };
            let body = match batches.body(&found) {
                Ok(body) => body,
                Err(error) => {
                    self.lose_track();
                    self.verified.flaws.take(error)?;
                    return Ok(false);
                }
            };
            self.verified.n_batches += 1;
            self.verified.n_records += u64::try_from(found.header.records_count).unwrap_or(0);
            let flaws = &mut self.verified.flaws;
            self.order.batch(&found, &body, flaws)?;
            self.producers.batch(&found, &body, flaws)?;
            if let Some(epochs) = &mut self.epochs {
                epochs.batch(&found, &body, flaws)?;
            }
            for check in &mut *checks {
                check.batch(&found, &body, flaws)?;
            }
        }
        Ok(true)
    }
}

/// `None` when there is no such file (any more).
fn found<T>(opened: Result<T, LogError>) -> Result<Option<T>, LogError> {
    match opened {
        Ok(opened) => Ok(Some(opened)),
        Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Each batch is right by itself and stands where the one before it ended.
#[derive(Debug)]
struct Order {
    density: Density,
    log: PathBuf,
    /// `None` when what came before could not be read.
    expected: Option<Offset>,
    /// Where the batch before ended, for faults between two segments.
    end_position: u64,
    epoch: LeaderEpoch,
}

impl Order {
    fn new(density: Density) -> Self {
        Self {
            density,
            log: PathBuf::new(),
            expected: None,
            end_position: 0,
            epoch: LeaderEpoch::UNKNOWN,
        }
    }

    fn lose_track(&mut self) {
        self.expected = None;
    }

    fn enter(&mut self, log: &Path, base_offset: Offset, flaws: &mut Flaws) {
        let end = self.expected.unwrap_or(base_offset);
        if base_offset < end {
            flaws.add(log, 0, Wrong::Overlap { base_offset, end });
        } else if !self.density.accepts(end, base_offset) {
            let next_segment = base_offset;
            flaws.add(&self.log, self.end_position, Fault::Gap { next_segment });
        }
        log.clone_into(&mut self.log);
        self.expected = Some(base_offset);
        self.end_position = 0;
    }

    fn faults(&self, found: &FoundBatch, body: &Body<'_>) -> [Option<Fault>; 4] {
        let header = &found.header;
        let got = header.base_offset;
        let place = self
            .expected
            .filter(|expected| !self.density.accepts(*expected, got))
            .map(|expected| Fault::NotNext { expected, got });
        let delta = header.last_offset_delta;
        let epoch = header.partition_leader_epoch;
        let fell = Fault::EpochFell {
            previous: self.epoch.0,
            got: epoch.0,
        };
        [
            (!body.checksum_is_right).then_some(Fault::Checksum),
            place,
            (delta < 0).then_some(Fault::BadOffsetDelta(delta)),
            (epoch < self.epoch).then_some(fell),
        ]
    }
}

impl Check for Order {
    fn batch(
        &mut self,
        found: &FoundBatch,
        body: &Body<'_>,
        flaws: &mut Flaws,
    ) -> Result<(), LogError> {
        for fault in self.faults(found, body).into_iter().flatten() {
            flaws.add(&self.log, found.position, fault);
        }
        let header = &found.header;
        self.expected = Some(header.next_offset());
        self.epoch = header.partition_leader_epoch;
        self.end_position = found.position + to_u64(header.total_size());
        Ok(())
    }
}
