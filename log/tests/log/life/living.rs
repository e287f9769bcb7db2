//! A log on a disk, living through what a [`Model`] foresees.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use drave_log::fs::faulty::FaultyFs;
use drave_log::{AppendError, Checkpoint, LogConfig, LogDir, LogError, PartitionLog};
use drave_protocol::ids::{LeaderEpoch, Offset, TopicPartition};
use drave_protocol::record::batch;
use drave_protocol::record::compression::UnpackedLimit;
use drave_protocol::record::reader::RecordReader;

use crate::life::{Model, Op, Stored};
use crate::support::small;

pub(crate) struct Living {
    pub(crate) dir: LogDir,
    pub(crate) log: PartitionLog,
}

pub(crate) fn partition() -> TopicPartition {
    TopicPartition {
        topic: "orders".to_owned(),
        partition: 0,
    }
}

/// Segments end after a few batches or some seconds, and go after a minute or some more of them.
fn config() -> LogConfig {
    LogConfig {
        segment_ms: 20_000,
        retention_ms: Some(60_000),
        retention_bytes: Some(4_000),
        ..small()
    }
}

impl Living {
    pub(crate) fn open(fs: &FaultyFs) -> Result<Self, LogError> {
        let dir = LogDir::open(Arc::new(fs.clone()), Path::new("/data"))?;
        let (log, _) = dir.open_log(&partition(), config())?;
        Ok(Self { dir, log })
    }

    /// Does to the log what [`Model::after`] does to the model.
    pub(crate) fn apply(&mut self, op: &Op, model: &Model) -> Result<(), AppendError> {
        let after = model.after(op);
        let now_ms = after.now_ms;
        let new = after.batches.get(model.batches.len()..).unwrap_or_default();
        let bytes: Vec<u8> = new.iter().flat_map(|it| it.bytes.clone()).collect();
        let epoch = LeaderEpoch(after.epoch);
        let log = &mut self.log;
        match op {
            Op::Append(_) => {
                log.append_as_leader(bytes.as_slice().into(), epoch, now_ms)?;
            }
            Op::Follow(_) => {
                log.append_as_follower(&bytes, now_ms)?;
            }
            Op::FollowAfterHole { .. } => {
                log.allow_holes()?;
                log.append_as_follower(&bytes, now_ms)?;
            }
            Op::End { .. } => {
                log.append_own(bytes.as_slice().into(), epoch, now_ms)?;
            }
            Op::NewEpoch => log.start_leader_epoch(epoch)?,
            Op::Sync => log.flush()?,
            Op::Checkpoint => self.checkpoint()?,
            Op::Truncate { percent } => log.truncate_to(Offset(model.at(*percent)))?,
            Op::AdvanceStart { .. } => log.advance_log_start_offset(Offset(after.start))?,
            Op::Reset { .. } => log.reset_to(Offset(after.start))?,
            Op::Roll => log.roll(now_ms)?,
            Op::Wait { .. } => {}
            Op::Retain { .. } => {
                let mut n_calls = 0;
                while !log
                    .remove_old_segments(now_ms, Offset(after.start))?
                    .is_empty()
                {
                    n_calls += 1;
                    assert!(
                        n_calls < 100,
                        "the same segments are removed again and again"
                    );
                }
            }
        }
        Ok(())
    }

    pub(crate) fn checkpoint(&mut self) -> Result<(), LogError> {
        let offsets = |offset| BTreeMap::from([(partition(), offset)]);
        let points = offsets(self.log.recovery_point_to_note());
        self.dir
            .write_checkpoint(Checkpoint::RecoveryPoint, &points)?;
        let starts = offsets(self.log.log_start_offset());
        self.dir
            .write_checkpoint(Checkpoint::LogStartOffset, &starts)
    }

    /// Every batch the log gives out.
    pub(crate) fn contents(&self) -> Result<Vec<Stored>, String> {
        let end = self.log.log_end_offset();
        let mut next = self.log.log_start_offset();
        let mut found = Vec::new();
        while next < end {
            let read = self.log.read(next, end, 400);
            let bytes = read.map_err(|error| error.to_string())?;
            for one in batch::iter(&bytes) {
                let (_, header, bytes) = one.map_err(|error| error.to_string())?;
                next = header.next_offset();
                found.push(Stored {
                    base: header.base_offset.0,
                    next: next.0,
                    epoch: header.partition_leader_epoch.0,
                    bytes: bytes.to_vec(),
                });
            }
            if bytes.is_empty() {
                return Err(format!("nothing at {next}, below the end {end}"));
            }
        }
        Ok(found)
    }

    /// Whether records are found by time as walking all of `contents` finds them.
    pub(crate) fn check_times(&self, contents: &[Stored]) -> Result<(), String> {
        let start = self.log.log_start_offset();
        let all = times(contents, start);
        let first_at = |time| all.iter().find(|it| it.1 >= time).copied();
        let mut asked: Vec<i64> = all.iter().map(|it| it.1).collect();
        asked.sort_unstable();
        asked.extend(asked.last().map(|it| it + 1));
        for time in asked.iter().step_by(1 + asked.len() / 16).copied() {
            let found = self.log.offset_for_timestamp(time);
            let found = found.map_err(|error| error.to_string())?;
            let found = found.map(|it| (it.offset, it.timestamp_ms));
            if found != first_at(time) {
                let expected = first_at(time);
                return Err(format!("at {time} {found:?} is found, not {expected:?}"));
            }
        }
        Ok(())
    }
}

fn times(contents: &[Stored], start: Offset) -> Vec<(Offset, i64)> {
    let mut all = Vec::new();
    for stored in contents {
        let header = stored.header();
        let mut records = RecordReader::open(&stored.bytes, UnpackedLimit::default()).unwrap();
        while let Some(record) = records.next_record() {
            let record = record.unwrap();
            all.push((record.offset(&header), record.timestamp_ms(&header)));
        }
    }
    all.retain(|(offset, _)| *offset >= start);
    all
}
