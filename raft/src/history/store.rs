//! sled, on the history's own thread. Any failure of it ends the history, never the node.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use drave_protocol::ids::MetadataOffset;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::mpsc;

use crate::codec::{self, CodecError, checksum};
use crate::history::feed::{AppliedBatch, Checkpoint, Job};
use crate::history::keys::{Key, PARTS, RECORDS, about, place};
use crate::history::{Entity, HistoryRecord, HistoryStatus};
use crate::image::MetadataImage;
use crate::stored::AppliedV1;

/// sled keeps values of this size in its log; larger ones go to files it never syncs.
const PART_BYTES: usize = 48 << 10;
/// Oldest records leave in groups, so that trimming is not a cost of every batch.
const TRIM_RECORDS: u64 = 1000;
/// A predecessor in this process may still be closing the folder.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, Error)]
enum StoreError {
    #[error("{0}")]
    Sled(#[from] sled::Error),
    #[error("{0}")]
    Codec(#[from] CodecError),
    #[error("sled panicked")]
    Panicked,
}

#[derive(Serialize, Deserialize)]
struct RecordV1 {
    term: u64,
    wall_ms: i64,
    /// As `codec` writes a batch of one.
    record: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct CheckpointHeadV1 {
    generation: u64,
    parts: u32,
    checksum: u32,
    applied: AppliedV1,
}

pub(crate) struct Store {
    db: sled::Db,
    records_max: u64,
    records: u64,
    generation: u64,
}

impl Store {
    pub(crate) fn run(
        folder: &Path,
        records_max: u64,
        jobs: &mut mpsc::Receiver<Job>,
        status: &Mutex<HistoryStatus>,
    ) {
        let mut store = match Self::open_or_rebuild(folder, records_max) {
            Ok(store) => Some(store),
            Err(error) => {
                tracing::warn!(%error, "no metadata history");
                status.lock().unavailable = Some(error.to_string());
                None
            }
        };
        while let Some(job) = jobs.blocking_recv() {
            let closing = matches!(job, Job::Close(_));
            if let Some(open) = &mut store {
                let outcome = guarded(|| open.handle(job, status));
                if let Err(error) = outcome {
                    tracing::warn!(%error, "metadata history stopped");
                    status.lock().unavailable = Some(error.to_string());
                    store = None;
                }
            }
            if closing {
                return;
            }
        }
    }

    /// A folder sled cannot read is given up: everything in it can be rebuilt or missed.
    fn open_or_rebuild(folder: &Path, records_max: u64) -> Result<Self, StoreError> {
        match guarded(|| Self::open(folder, records_max)) {
            Ok(store) => Ok(store),
            Err(error @ (StoreError::Panicked | StoreError::Codec(_))) => {
                Self::rebuild(folder, records_max, &error)
            }
            Err(StoreError::Sled(error @ sled::Error::Corruption { .. })) => {
                Self::rebuild(folder, records_max, &StoreError::Sled(error))
            }
            Err(error @ StoreError::Sled(_)) => Err(error),
        }
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "sled keeps its own files; this only clears them away"
    )]
    fn rebuild(folder: &Path, records_max: u64, why: &StoreError) -> Result<Self, StoreError> {
        tracing::warn!(error = %why, "metadata history is unreadable, starting an empty one");
        std::fs::remove_dir_all(folder).map_err(sled::Error::from)?;
        guarded(|| Self::open(folder, records_max))
    }

    fn open(folder: &Path, records_max: u64) -> Result<Self, StoreError> {
        let config = sled::Config::new()
            .path(folder)
            .cache_capacity(16 << 20)
            .flush_every_ms(Some(1000));
        let mut tries = 0;
        let db = loop {
            match config.open() {
                Ok(db) => break db,
                Err(sled::Error::Io(error))
                    if tries < LOCK_TRIES && error.to_string().contains("lock") =>
                {
                    tries += 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(error) => return Err(error.into()),
            }
        };
        let records = u64::try_from(db.scan_prefix(RECORDS).count()).unwrap_or(u64::MAX);
        let head = db.get(Key::CheckpointHead.encode())?;
        let generation = match head {
            Some(head) => codec::decode::<CheckpointHeadV1>(&head)?.generation,
            None => 0,
        };
        Ok(Self {
            db,
            records_max,
            records,
            generation,
        })
    }

    fn handle(&mut self, job: Job, status: &Mutex<HistoryStatus>) -> Result<(), StoreError> {
        match job {
            Job::Applied(batch) => self.applied(*batch)?,
            Job::Reset(checkpoint) => {
                status.lock().skipped += 1;
                self.checkpoint(&checkpoint)?;
            }
            Job::Since {
                from,
                limit,
                answer,
            } => {
                let start = Key::Record {
                    offset: from,
                    position: 0,
                };
                let end = [RECORDS, &[0xff; 12]].concat();
                let mut found = Vec::new();
                for item in self.db.range(start.encode()..end).take(limit) {
                    let (key, value) = item?;
                    found.extend(decode_record(&key, &value)?);
                }
                drop(answer.send(found));
            }
            Job::About {
                entity,
                limit,
                answer,
            } => drop(answer.send(self.about(&entity, limit)?)),
            Job::LastCheckpoint(answer) => drop(answer.send(self.last_checkpoint()?)),
            Job::Close(checkpoint) => {
                self.checkpoint(&checkpoint)?;
                self.db.flush()?;
            }
        }
        let mut status = status.lock();
        status.records = self.records;
        let bound = |item: Option<sled::Result<(sled::IVec, sled::IVec)>>| {
            let (key, _) = item?.ok()?;
            place(&key).map(|(offset, _)| offset)
        };
        status.oldest = bound(self.db.scan_prefix(RECORDS).next());
        status.newest = bound(self.db.scan_prefix(RECORDS).next_back());
        Ok(())
    }

    fn applied(&mut self, batch: AppliedBatch) -> Result<(), StoreError> {
        let mut changes = sled::Batch::default();
        for (position, record) in (0..).zip(batch.records) {
            let offset = batch.offset;
            let entity = Entity::of(&record);
            let record = codec::encode_records(&[record])?.to_vec();
            let value = RecordV1 {
                term: batch.term,
                wall_ms: batch.wall_ms,
                record,
            };
            let key = Key::Record { offset, position }.encode();
            // Applied again after a restart: the same record under the same key.
            if !self.db.contains_key(&key)? {
                self.records += 1;
            }
            changes.insert(key, codec::encode(&value)?);
            let entity = &entity;
            let about = Key::About {
                entity,
                offset,
                position,
            };
            changes.insert(about.encode(), Vec::new());
        }
        self.db.apply_batch(changes)?;
        if self.records > self.records_max + TRIM_RECORDS {
            self.trim()?;
        }
        if let Some(checkpoint) = batch.checkpoint {
            self.checkpoint(&checkpoint)?;
        }
        Ok(())
    }

    fn trim(&mut self) -> Result<(), StoreError> {
        let surplus = self.records.saturating_sub(self.records_max);
        let surplus = usize::try_from(surplus).unwrap_or(usize::MAX);
        let mut changes = sled::Batch::default();
        for item in self.db.scan_prefix(RECORDS).take(surplus) {
            let (key, value) = item?;
            for record in decode_record(&key, &value)? {
                let about = Key::About {
                    entity: &Entity::of(&record.record),
                    offset: record.offset,
                    position: record.position,
                };
                changes.remove(about.encode());
            }
            changes.remove(key);
            self.records -= 1;
        }
        self.db.apply_batch(changes)?;
        Ok(())
    }

    fn about(&self, entity: &Entity, limit: usize) -> Result<Vec<HistoryRecord>, StoreError> {
        let mut found = Vec::new();
        for item in self.db.scan_prefix(about(entity)).rev().take(limit) {
            let (key, _) = item?;
            let Some((offset, position)) = place(&key) else {
                continue;
            };
            let key = Key::Record { offset, position }.encode();
            if let Some(value) = self.db.get(&key)? {
                found.extend(decode_record(&key, &value)?);
            }
        }
        Ok(found)
    }

    /// The parts first, then the head that names them, then the older parts go.
    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let image = checkpoint.image.to_bytes()?;
        let generation = self.generation + 1;
        let mut parts = 0;
        for bytes in image.chunks(PART_BYTES) {
            let part = parts;
            let key = Key::CheckpointPart { generation, part }.encode();
            self.db.insert(key, bytes)?;
            parts += 1;
        }
        let head = CheckpointHeadV1 {
            generation,
            parts,
            checksum: checksum(generation, &[&image]),
            applied: checkpoint.applied.clone(),
        };
        let key = Key::CheckpointHead.encode();
        self.db.insert(key, codec::encode(&head)?)?;
        self.generation = generation;
        let kept = Key::CheckpointPart {
            generation,
            part: 0,
        };
        for item in self.db.range(PARTS.to_vec()..kept.encode()) {
            let (key, _) = item?;
            self.db.remove(key)?;
        }
        Ok(())
    }

    fn last_checkpoint(&self) -> Result<Option<(AppliedV1, MetadataImage)>, StoreError> {
        let Some(head) = self.db.get(Key::CheckpointHead.encode())? else {
            return Ok(None);
        };
        let head: CheckpointHeadV1 = codec::decode(&head)?;
        let generation = head.generation;
        let mut image = Vec::new();
        for part in 0..head.parts {
            match self
                .db
                .get(Key::CheckpointPart { generation, part }.encode())?
            {
                Some(bytes) => image.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
        if checksum(generation, &[&image]) != head.checksum {
            return Ok(None);
        }
        Ok(Some((head.applied, MetadataImage::from_bytes(&image)?)))
    }
}

fn decode_record(key: &[u8], value: &[u8]) -> Result<Vec<HistoryRecord>, StoreError> {
    let (offset, position) = place(key).unwrap_or((MetadataOffset(0), 0));
    let value: RecordV1 = codec::decode(value)?;
    let records = codec::decode_records(&value.record)?;
    let records = records.into_iter().map(|record| HistoryRecord {
        offset,
        position,
        term: value.term,
        wall_ms: value.wall_ms,
        record,
    });
    Ok(records.collect())
}

/// sled panics where it meets damage; here that is an error like any other.
fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(StoreError::Panicked))
}
