//! One partition's log: append, read, truncate, make durable.
//!
//! Invariants, asserted always:
//! `log_start_offset <= log_end_offset`; `recovery_point <= log_end_offset`;
//! each batch starts at the log end offset of its moment, so offsets are dense;
//! leader epochs and their start offsets rise strictly; `log_start_offset` falls only with a cut
//! below it.
//! Below `recovery_point` every byte is durable: it rises only by a sync that succeeded.
//!
//! Nothing here blocks but on the disk, and nothing syncs on append: see [`crate::sync`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use drave_protocol::ids::{LeaderEpoch, Offset, TopicId};
use drave_protocol::record::attributes::TimestampType;
use drave_protocol::record::batch::{self, BatchHeader};

use crate::checkpoint;
use crate::config::{LogConfig, SEGMENT_BYTES_LIMIT};
use crate::error::{AppendError, During, Fault, LogError, ReadError};
use crate::fs::{self, FileSystem, to_u64};
use crate::leader_epochs::{EpochStart, LeaderEpochs};
use crate::partition_metadata;
use crate::recovery::{self, Recovered, Recovery};
use crate::recovery_limit::RecoveryLimit;
use crate::repair_report::RepairReport;
use crate::segments::Segments;
use crate::sync::{Health, SyncRequest, Synced};
use crate::timestamps::{self, TimestampedOffset};
use crate::validate;

const EPOCHS_FILE: &str = "leader-epoch-checkpoint";

#[derive(Debug)]
pub struct PartitionLog {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    config: LogConfig,
    topic_id: Option<TopicId>,
    segments: Segments,
    log_start_offset: Offset,
    log_end_offset: Offset,
    recovery_point: Offset,
    recovery_limit: Option<RecoveryLimit>,
    epochs: LeaderEpochs,
    n_truncations: u64,
    n_folder_changes: u64,
    n_folder_changes_synced: u64,
    health: Arc<Health>,
}

/// Where an append went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: Offset,
    pub last_offset: Offset,
    /// The broker's time, when the log stamps records with it.
    pub log_append_time_ms: Option<i64>,
}

impl PartitionLog {
    /// Opens the log in `dir`, or creates it there, starting at `log_start_offset`.
    ///
    /// `recovery_point` and `log_start_offset` come from the log directory's checkpoints. After
    /// opening, everything the log holds is durable.
    pub fn open(
        fs: Arc<dyn FileSystem>,
        dir: &Path,
        config: LogConfig,
        recovery_point: Offset,
        log_start_offset: Offset,
    ) -> Result<(Self, RepairReport), LogError> {
        if !fs.exists(dir).during("look for", dir)? {
            fs::create_folder(fs.as_ref(), dir).during("create", dir)?;
        }
        let mut limit = RecoveryLimit::read(fs.as_ref(), dir)?;
        let trusted = limit.map_or(recovery_point, |it| it.ceiling.min(recovery_point));
        let epochs_on_disk = read_epochs(fs.as_ref(), dir)?;
        let recovery = Recovery {
            fs: &fs,
            dir,
            config: &config,
            recovery_point: trusted,
            log_start_offset,
            epochs: epochs_on_disk.clone(),
        };
        let recovered = match recovery.run()? {
            Some(recovered) => recovered,
            None => {
                let had_records = epochs_on_disk
                    .as_ref()
                    .is_some_and(|it| it.latest().is_some());
                if had_records && trusted > log_start_offset {
                    return Err(recovery::vanished(dir, log_start_offset, trusted));
                }
                // A checkpoint may still speak of an earlier log in a folder of this name.
                if recovery_point > log_start_offset {
                    let lowered = RecoveryLimit::lowered(limit, log_start_offset, recovery_point);
                    lowered.write(fs.as_ref(), dir)?;
                    limit = Some(lowered);
                }
                created(&fs, dir, log_start_offset)?
            }
        };
        let topic_id = partition_metadata::read(fs.as_ref(), dir)?;
        let Recovered {
            segments,
            log_start_offset,
            log_end_offset,
            epochs,
            report,
        } = recovered;
        let epochs_changed = epochs_on_disk.as_ref() != Some(&epochs);
        let mut log = Self {
            health: Arc::new(Health::new(dir.to_owned())),
            fs,
            dir: dir.to_owned(),
            config,
            topic_id,
            segments,
            log_start_offset,
            log_end_offset,
            recovery_point: log_end_offset,
            recovery_limit: limit,
            epochs,
            n_truncations: 0,
            // The first segment's name may not be durable yet; one sync of the folder settles it.
            n_folder_changes: 1,
            n_folder_changes_synced: 0,
        };
        if epochs_changed {
            log.write_epochs()?;
        }
        log.lift_recovery_limit()?;
        log.check_invariants();
        Ok((log, report))
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Applies from the next append on.
    pub fn set_config(&mut self, config: LogConfig) {
        self.config = config;
    }

    pub fn topic_id(&self) -> Option<TopicId> {
        self.topic_id
    }

    /// Notes, durably, whose log this is.
    pub fn assign_topic_id(&mut self, topic_id: TopicId) -> Result<(), LogError> {
        partition_metadata::write(self.fs.as_ref(), &self.dir, topic_id)?;
        self.topic_id = Some(topic_id);
        Ok(())
    }

    pub fn log_start_offset(&self) -> Offset {
        self.log_start_offset
    }

    pub fn log_end_offset(&self) -> Offset {
        self.log_end_offset
    }

    /// Below it everything is durable.
    pub fn recovery_point(&self) -> Offset {
        self.recovery_point
    }

    pub fn leader_epochs(&self) -> &LeaderEpochs {
        &self.epochs
    }

    /// Bytes of all segments, indexes not counted.
    pub fn size_bytes(&self) -> u64 {
        self.segments.size()
    }

    /// Whether a disk error ended this log's writing.
    pub fn is_failed(&self) -> bool {
        self.health.is_failed()
    }

    /// Appends a client's batch: checks it, gives it the next offsets and this leader's epoch.
    ///
    /// # Panics
    /// When `leader_epoch` is below one that wrote already: then somebody else leads.
    pub fn append_as_leader(
        &mut self,
        mut bytes: BytesMut,
        leader_epoch: LeaderEpoch,
        now_ms: i64,
    ) -> Result<Appended, AppendError> {
        self.health.check()?;
        validate::validate(&bytes, &self.config, now_ms)?;
        self.append_validated(&mut bytes, leader_epoch, now_ms)
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
        recovery::check_batch(&header, &bytes, header.base_offset, None)?;
        self.append_validated(&mut bytes, leader_epoch, now_ms)
    }

    fn append_validated(
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
        self.write(bytes, &header)?;
        let (base_offset, last_offset) = (header.base_offset, header.last_offset());
        Ok(Appended {
            base_offset,
            last_offset,
            log_append_time_ms,
        })
    }

    /// Appends batches as they came from the leader, epochs and all. All of them are checked before
    /// the first is written; when the disk fills up in between, the log end offset tells how many
    /// stayed.
    pub fn append_as_follower(&mut self, bytes: &[u8]) -> Result<Appended, AppendError> {
        self.health.check()?;
        let base_offset = self.log_end_offset;
        let mut expected = base_offset;
        let mut epoch = self.epochs.latest_epoch();
        let mut batches = Vec::new();
        for found in batch::iter(bytes) {
            let (_, header, one) = found.map_err(Fault::from)?;
            if header.base_offset != expected {
                return Err(AppendError::NotNext {
                    expected,
                    got: header.base_offset,
                });
            }
            recovery::check_batch(&header, one, expected, epoch)?;
            expected = header.next_offset();
            epoch = epoch.max(Some(header.partition_leader_epoch));
            batches.push((header, one));
        }
        for (header, one) in &batches {
            let epoch = header.partition_leader_epoch;
            if epoch >= LeaderEpoch(0) {
                self.start_leader_epoch(epoch).map_err(full_or_storage)?;
            }
            self.write(one, header)?;
        }
        let last_offset = self.log_end_offset + -1;
        Ok(Appended {
            base_offset,
            last_offset,
            log_append_time_ms: None,
        })
    }

    /// The one place where bytes enter the log.
    fn write(&mut self, bytes: &[u8], header: &BatchHeader) -> Result<(), AppendError> {
        assert_eq!(
            header.base_offset, self.log_end_offset,
            "a batch starts at {}, the log ends at {}",
            header.base_offset, self.log_end_offset
        );
        self.roll_for(bytes.len(), header)
            .map_err(|error| self.full_or_failed(error))?;
        let interval = self.config.index_interval_bytes;
        if let Err(error) = self.segments.active_mut().append(bytes, interval) {
            // The bytes that did fit must go, or the next batch would follow half of this one.
            if let Err(error) = self.segments.active().cut_overhang() {
                self.health.fail(&error);
            }
            return Err(self.full_or_failed(error));
        }
        self.log_end_offset = header.next_offset();
        self.check_invariants();
        Ok(())
    }

    fn roll_for(&mut self, n_bytes: usize, header: &BatchHeader) -> Result<(), LogError> {
        let active = self.segments.active();
        let limit = self.config.segment_bytes.min(SEGMENT_BYTES_LIMIT);
        let is_full = active.size().saturating_add(to_u64(n_bytes)) > limit
            || active.index_size() >= self.config.segment_index_bytes
            || header.last_offset() - active.base_offset() > i64::from(i32::MAX);
        if active.size() == 0 || !is_full {
            return Ok(());
        }
        self.segments.roll(self.log_end_offset)?;
        self.n_folder_changes += 1;
        Ok(())
    }

    /// A full disk passes; any other error while writing ends the log's life.
    fn full_or_failed(&self, error: LogError) -> AppendError {
        let answer = full_or_storage(error);
        if let AppendError::Storage(error) = &answer {
            self.health.fail(error);
        }
        answer
    }

    /// Whole batches from the one that holds `from`, each ending before `upper`: at most
    /// `max_bytes`, but one batch at least. Empty when there is none yet.
    pub fn read(&self, from: Offset, upper: Offset, max_bytes: usize) -> Result<Bytes, ReadError> {
        if from < self.log_start_offset || from > self.log_end_offset {
            return Err(ReadError::OffsetOutOfRange {
                offset: from,
                log_start_offset: self.log_start_offset,
                log_end_offset: self.log_end_offset,
            });
        }
        if from >= upper.min(self.log_end_offset) {
            return Ok(Bytes::new());
        }
        let segment = self
            .segments
            .holding(from)
            .unwrap_or(self.segments.active());
        Ok(segment.read(from, upper, max_bytes)?)
    }

    /// The first record at or after a time; for compressed batches, the batch that holds it.
    pub fn offset_for_timestamp(
        &self,
        timestamp_ms: i64,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        let found = timestamps::first_at(&self.segments, timestamp_ms, self.log_start_offset)?;
        Ok(found)
    }

    /// The first record with the largest timestamp.
    pub fn max_timestamp(&self) -> Result<Option<TimestampedOffset>, ReadError> {
        let Some(largest) = timestamps::largest(&self.segments)? else {
            return Ok(None);
        };
        self.offset_for_timestamp(largest)
    }

    /// Cuts the log so that it ends at `offset`, or before it when that lies inside a batch.
    pub fn truncate_to(&mut self, offset: Offset) -> Result<(), LogError> {
        self.health.check()?;
        if offset >= self.log_end_offset {
            return Ok(());
        }
        if offset < self.log_start_offset {
            return self.reset_to(offset);
        }
        let (cut, position) = self.cut_for(offset)?;
        self.lower_recovery_point(cut)?;
        self.n_truncations += 1;
        let done = self.segments.truncate(cut, position);
        self.or_fail(done)?;
        self.log_end_offset = cut;
        self.n_folder_changes += 1;
        self.epochs.truncate_from_end(cut);
        self.log_start_offset = self.log_start_offset.min(cut);
        self.check_invariants();
        self.write_epochs()
    }

    fn cut_for(&self, offset: Offset) -> Result<(Offset, u64), LogError> {
        let active = self.segments.active();
        let segment = self.segments.holding(offset).unwrap_or(active);
        match segment.locate(offset)? {
            Some(found) => Ok((found.header.base_offset, found.position)),
            None => Ok((segment.base_offset(), 0)),
        }
    }

    /// Drops everything and starts again, empty, at `offset`.
    pub fn reset_to(&mut self, offset: Offset) -> Result<(), LogError> {
        self.health.check()?;
        // All the way down: a crash in the middle may leave any part of the old log, and every
        // part of it may be cut.
        self.lower_recovery_point(Offset::ZERO)?;
        self.n_truncations += 1;
        let done = self.segments.reset(offset);
        self.or_fail(done)?;
        self.epochs.clear();
        self.log_start_offset = offset;
        self.log_end_offset = offset;
        self.recovery_point = offset;
        self.n_folder_changes += 1;
        let done = self.fs.sync_dir(&self.dir).during("sync", &self.dir);
        self.or_fail(done)?;
        self.check_invariants();
        self.write_epochs()
    }

    /// Raises the first readable offset and removes segments that lie below it; never lowers it.
    /// The caller's checkpoint makes it durable.
    ///
    /// # Panics
    /// When `offset` is beyond the log's end.
    pub fn advance_log_start_offset(&mut self, offset: Offset) -> Result<(), LogError> {
        self.health.check()?;
        assert!(
            offset <= self.log_end_offset,
            "the log cannot start at {offset}, it ends at {}",
            self.log_end_offset
        );
        if offset <= self.log_start_offset {
            return Ok(());
        }
        self.log_start_offset = offset;
        let done = self.segments.remove_before(offset);
        self.or_fail(done)?;
        self.check_invariants();
        if self.epochs.truncate_from_start(offset) {
            self.write_epochs()
        } else {
            Ok(())
        }
    }

    /// Notes, durably, that `epoch` leads from the log's end on. Nothing happens when it is known.
    ///
    /// # Panics
    /// When a newer epoch is known.
    pub fn start_leader_epoch(&mut self, epoch: LeaderEpoch) -> Result<(), LogError> {
        self.health.check()?;
        if self.epochs.latest_epoch() == Some(epoch) {
            return Ok(());
        }
        let before = self.epochs.clone();
        self.epochs.assign(epoch, self.log_end_offset);
        let done = self.write_epochs();
        if done.is_err() {
            self.epochs = before;
        }
        done
    }

    fn write_epochs(&self) -> Result<(), LogError> {
        let line = |it: &EpochStart| format!("{} {}", it.epoch, it.start_offset);
        let facts: Vec<String> = self.epochs.entries().iter().map(line).collect();
        let done = checkpoint::write(self.fs.as_ref(), &self.dir.join(EPOCHS_FILE), &facts);
        self.or_fail(done)
    }

    /// What must be synced for everything appended so far to be durable; `None` when it is. Of a
    /// failed log the request fails too.
    pub fn prepare_sync(&mut self) -> Option<SyncRequest> {
        if self.recovery_point == self.log_end_offset {
            return None;
        }
        let files = self
            .segments
            .files_from(self.recovery_point)
            .unwrap_or_else(|error| {
                self.health.fail(&error);
                Vec::new()
            });
        let folder = (self.n_folder_changes > self.n_folder_changes_synced)
            .then(|| (self.dir.clone(), Arc::clone(&self.fs)));
        let synced = Synced {
            upto: self.log_end_offset,
            n_truncations: self.n_truncations,
            n_folder_changes: self.n_folder_changes,
        };
        let health = Arc::clone(&self.health);
        Some(SyncRequest {
            files,
            folder,
            synced,
            health,
        })
    }

    /// Takes note of a sync that succeeded. One from before a truncation says nothing any more.
    pub fn synced(&mut self, synced: Synced) {
        if synced.n_truncations != self.n_truncations || self.health.is_failed() {
            return;
        }
        self.recovery_point = self.recovery_point.max(synced.upto);
        self.n_folder_changes_synced = self.n_folder_changes_synced.max(synced.n_folder_changes);
        self.check_invariants();
        // A limit that stays costs a longer scan after a crash, nothing else.
        let _ = self.lift_recovery_limit();
    }

    /// Syncs here and now: for shutdown, and where nobody waits.
    pub fn flush(&mut self) -> Result<(), LogError> {
        if let Some(request) = self.prepare_sync() {
            let synced = request.run()?;
            self.synced(synced);
        }
        Ok(())
    }

    /// Before a cut: no recovery point checkpointed so far may be believed above `offset`.
    fn lower_recovery_point(&mut self, offset: Offset) -> Result<(), LogError> {
        if offset >= self.recovery_point {
            return Ok(());
        }
        let limit = RecoveryLimit::lowered(self.recovery_limit, offset, self.recovery_point);
        limit.write(self.fs.as_ref(), &self.dir)?;
        self.recovery_limit = Some(limit);
        self.recovery_point = offset;
        Ok(())
    }

    fn lift_recovery_limit(&mut self) -> Result<(), LogError> {
        match self.recovery_limit {
            Some(limit) if self.recovery_point >= limit.until => {
                RecoveryLimit::remove(self.fs.as_ref(), &self.dir)?;
                self.recovery_limit = None;
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Deletes the log from the disk. The folder is renamed first: a crash leaves the whole log or
    /// a folder whose name says that it goes. The log must not be used afterwards.
    pub fn delete(&mut self) -> Result<(), LogError> {
        let mut name = self.dir.file_name().unwrap_or_default().to_owned();
        name.push(DELETED_SUFFIX);
        let doomed = self.dir.with_file_name(name);
        if self.fs.exists(&doomed).during("look for", &doomed)? {
            self.fs.remove_dir_all(&doomed).during("remove", &doomed)?;
        }
        self.fs
            .rename(&self.dir, &doomed)
            .during("rename", &self.dir)?;
        let parent = fs::folder_of(&self.dir);
        self.fs.sync_dir(parent).during("sync", parent)?;
        self.fs.remove_dir_all(&doomed).during("remove", &doomed)
    }

    /// After a half-done change nothing is known of what lies on the disk.
    fn or_fail<T>(&self, done: Result<T, LogError>) -> Result<T, LogError> {
        if let Err(error) = &done {
            self.health.fail(error);
        }
        done
    }

    fn check_invariants(&self) {
        let (start, end) = (self.log_start_offset, self.log_end_offset);
        assert!(
            start <= end,
            "log start offset {start} above log end offset {end}"
        );
        let synced = self.recovery_point;
        assert!(
            synced <= end,
            "recovery point {synced} above log end offset {end}"
        );
    }
}

/// Ends the name of a folder that is being deleted.
pub(crate) const DELETED_SUFFIX: &str = "-delete";

fn full_or_storage(error: LogError) -> AppendError {
    match error {
        LogError::Io { source, .. } if fs::is_full(&source) => AppendError::Full,
        error => AppendError::Storage(error),
    }
}

fn created(
    fs: &Arc<dyn FileSystem>,
    dir: &Path,
    log_start_offset: Offset,
) -> Result<Recovered, LogError> {
    Ok(Recovered {
        segments: Segments::create(fs, dir, log_start_offset)?,
        log_start_offset,
        log_end_offset: log_start_offset,
        epochs: LeaderEpochs::default(),
        report: RepairReport::default(),
    })
}

/// `None` when the file is damaged: the batches know their epochs too.
fn read_epochs(fs: &dyn FileSystem, dir: &Path) -> Result<Option<LeaderEpochs>, LogError> {
    let path = dir.join(EPOCHS_FILE);
    let parse = |fact: &str| {
        let (epoch, start_offset) = fact.split_once(' ')?;
        let (epoch, start_offset) = (epoch.parse().ok()?, start_offset.parse().ok()?);
        Some(EpochStart {
            epoch: LeaderEpoch(epoch),
            start_offset: Offset(start_offset),
        })
    };
    let read = checkpoint::read(fs, &path)
        .and_then(|facts| checkpoint::parse(&path, &facts.unwrap_or_default(), parse));
    match read {
        Ok(entries) => Ok(LeaderEpochs::from_entries(entries).ok()),
        Err(LogError::BadFile { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
