//! Whether the batches agree with what snapshots and transaction indexes say of producers.
//!
//! Of producers whose batches are long gone, and of those forgotten for their silence, the batches
//! say nothing: only what they can tell is compared.

use std::collections::VecDeque;
use std::path::PathBuf;

use drave_protocol::ids::{Offset, ProducerId};
use thiserror::Error;

use crate::error::LogError;
use crate::fs::FileSystem;
use crate::inspect::batches::{Body, FoundBatch};
use crate::inspect::check::{Check, Flaws};
use crate::inspect::entries::Rest;
use crate::inspect::place::{FileKind, PartitionFolder};
use crate::inspect::snapshots::Snapshot;
use crate::inspect::transactions::{TransactionEntries, TransactionEntry};
use crate::producer_state::{AbortedTransaction, ProducerBatch, ProducerStates, SnapshotError};

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Wrong {
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("the log ends at {end}, before this snapshot")]
    BeyondTheEnd { end: Offset },
    #[error(
        "producer {producer_id} last wrote {says:?} in epoch {says_epoch}, not {found:?} in epoch {found_epoch}"
    )]
    OtherLast {
        producer_id: ProducerId,
        says: Option<Offset>,
        says_epoch: i16,
        found: Option<Offset>,
        found_epoch: i16,
    },
    #[error("version {0} is not known, only 0 is")]
    EntryVersion(i16),
    #[error("the entry says {says:?} was aborted, the batches say {found:?}")]
    OtherTransaction {
        says: AbortedTransaction,
        found: AbortedTransaction,
    },
    #[error("no entry says that {0:?} was aborted")]
    NoEntry(AbortedTransaction),
    #[error("the entry says {0:?} was aborted, no batch does")]
    NoMarker(AbortedTransaction),
    #[error("the file ends inside an entry")]
    PartOfAnEntry,
}

/// Replays the producers of a log beside its batches.
#[derive(Debug)]
pub(super) struct ProducersCheck<'a> {
    fs: &'a dyn FileSystem,
    /// Yet to come, by offset.
    snapshots: VecDeque<(Offset, PathBuf)>,
    /// `None` when batches were missed.
    states: Option<ProducerStates>,
    /// Where what is known began.
    known_from: Offset,
    log: PathBuf,
    index: Option<TransactionEntries>,
    next: Option<TransactionEntry>,
    end: Offset,
}

impl<'a> ProducersCheck<'a> {
    pub(super) fn start(fs: &'a dyn FileSystem, folder: &PartitionFolder) -> Self {
        let snapshots = folder.files.iter().filter_map(|file| {
            let FileKind::ProducerSnapshot(offset) = file.kind else {
                return None;
            };
            Some((offset, folder.path_of(file)))
        });
        Self {
            fs,
            snapshots: snapshots.collect(),
            states: None,
            known_from: Offset(i64::MAX),
            log: PathBuf::new(),
            index: None,
            next: None,
            end: Offset::ZERO,
        }
    }

    /// Batches were missed: until a snapshot says more, nothing is known.
    pub(super) fn lose_track(&mut self) {
        self.states = None;
    }

    pub(super) fn enter(
        &mut self,
        log: PathBuf,
        base_offset: Offset,
        index: Option<TransactionEntries>,
        flaws: &mut Flaws,
    ) -> Result<(), LogError> {
        self.log = log;
        self.index = index;
        self.end = base_offset;
        self.advance(flaws)?;
        self.pass_snapshots(base_offset, flaws)?;
        if self.states.is_none() {
            self.states = Some(ProducerStates::default());
            self.known_from = base_offset;
        }
        Ok(())
    }

    fn advance(&mut self, flaws: &mut Flaws) -> Result<(), LogError> {
        self.next = match &mut self.index {
            Some(index) => index.entry()?,
            None => None,
        };
        if let (Some(entry), Some(index)) = (self.next, &self.index)
            && entry.version != 0
        {
            let wrong = Wrong::EntryVersion(entry.version);
            flaws.add(index.path(), entry.position, wrong);
        }
        Ok(())
    }

    /// Looks at the snapshots up to `offset`; the batches below it were seen.
    fn pass_snapshots(&mut self, offset: Offset, flaws: &mut Flaws) -> Result<(), LogError> {
        while self.snapshots.front().is_some_and(|it| it.0 <= offset) {
            let Some((_, path)) = self.snapshots.pop_front() else {
                return Ok(());
            };
            let snapshot = match Snapshot::read(self.fs, &path) {
                Ok(snapshot) => snapshot,
                Err(error) => {
                    flaws.take(error)?;
                    continue;
                }
            };
            match snapshot.states {
                Err(error) => flaws.add(&path, 0, Wrong::from(error)),
                Ok(says) => match &self.states {
                    None => self.states = Some(says),
                    Some(known) => compare(known, &says, |wrong| flaws.add(&path, 0, wrong)),
                },
            }
        }
        Ok(())
    }

    /// Holds what the index says against what a batch means.
    fn aborted(
        &mut self,
        found: &FoundBatch,
        means: Option<AbortedTransaction>,
        flaws: &mut Flaws,
    ) -> Result<(), LogError> {
        let place = (found.position, found.header.base_offset);
        while let (Some(entry), Some(index)) = (self.next, &self.index)
            && entry.aborted.last_offset < place.1
        {
            let wrong = Wrong::NoMarker(entry.aborted);
            flaws.add(index.path(), entry.position, wrong);
            self.advance(flaws)?;
        }
        let entry = self.next.filter(|it| it.aborted.last_offset == place.1);
        match (entry, means, &self.index) {
            (Some(entry), Some(means), Some(index)) if entry.aborted != means => {
                let says = entry.aborted;
                let wrong = Wrong::OtherTransaction { says, found: means };
                flaws.add(index.path(), entry.position, wrong);
            }
            // It began before what is known.
            (Some(entry), None, Some(index)) if entry.aborted.first_offset >= self.known_from => {
                flaws.add(index.path(), entry.position, Wrong::NoMarker(entry.aborted));
            }
            (None, Some(means), _) => flaws.add(&self.log, place.0, Wrong::NoEntry(means)),
            (_, _, _) => {}
        }
        if entry.is_some() {
            self.advance(flaws)?;
        }
        Ok(())
    }

    /// All segments were seen.
    pub(super) fn finish(&mut self, flaws: &mut Flaws) -> Result<(), LogError> {
        let end = self.end;
        self.pass_snapshots(end, flaws)?;
        for (_, path) in &self.snapshots {
            flaws.add(path, 0, Wrong::BeyondTheEnd { end });
        }
        Ok(())
    }
}

fn compare(known: &ProducerStates, says: &ProducerStates, mut wrong: impl FnMut(Wrong)) {
    let known = known.last_records();
    for (producer_id, says) in says.last_records() {
        let Some(found) = known.get(&producer_id).filter(|it| it.offset.is_some()) else {
            continue;
        };
        if (says.epoch, says.offset) != (found.epoch, found.offset) {
            wrong(Wrong::OtherLast {
                producer_id,
                says: says.offset,
                says_epoch: says.epoch,
                found: found.offset,
                found_epoch: found.epoch,
            });
        }
    }
}

impl Check for ProducersCheck<'_> {
    fn batch(
        &mut self,
        found: &FoundBatch,
        body: &Body<'_>,
        flaws: &mut Flaws,
    ) -> Result<(), LogError> {
        let header = &found.header;
        self.pass_snapshots(header.base_offset, flaws)?;
        self.end = header.next_offset();
        let batch = ProducerBatch::of(header, body.batch.unwrap_or_default());
        let states = self.states.get_or_insert_default();
        let means = batch.as_ref().and_then(|it| states.aborts(it));
        if let Some(batch) = &batch {
            states.apply(batch, header.max_timestamp);
        }
        self.aborted(found, means, flaws)
    }

    fn end(&mut self, flaws: &mut Flaws) -> Result<(), LogError> {
        while let (Some(entry), Some(index)) = (self.next, &self.index) {
            // One whose marker was not written is overwritten by the next.
            if entry.aborted.last_offset < self.end {
                flaws.add(index.path(), entry.position, Wrong::NoMarker(entry.aborted));
            }
            self.advance(flaws)?;
        }
        if let Some(index) = &mut self.index
            && index.rest()? == Rest::PartOfAnEntry
        {
            flaws.add(index.path(), index.end_position(), Wrong::PartOfAnEntry);
        }
        Ok(())
    }
}
