//! What may happen to a log, as data, and a model that says what the log must then hold.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use drave_log::fs::faulty::FaultyFs;
use drave_log::{AppendError, Checkpoint, LogDir, LogError, PartitionLog};
use drave_protocol::ids::{LeaderEpoch, Offset, TopicPartition};
use drave_protocol::record::batch::{self, BatchHeader};
use drave_protocol::record::builder::BatchBuilder;
use drave_protocol::record::record;
use proptest::prelude::*;

use crate::support::{NOW, small};

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Append {
        sizes: Vec<usize>,
    },
    Follow {
        batches: Vec<Vec<usize>>,
    },
    /// As from a leader whose log was compacted: offsets are missing before the batch.
    FollowAfterHole {
        missing: i64,
        sizes: Vec<usize>,
    },
    NewEpoch,
    Sync,
    /// Writes recovery point and log start to the log directory's checkpoints.
    Checkpoint,
    /// To this percentage of the log.
    Truncate {
        percent: i64,
    },
    AdvanceStart {
        percent: i64,
    },
    Reset {
        ahead: i64,
    },
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let sizes = || proptest::collection::vec(0..120_usize, 1..4);
    prop_oneof![
        12 => sizes().prop_map(|sizes| Op::Append { sizes }),
        4 => proptest::collection::vec(sizes(), 1..4).prop_map(|batches| Op::Follow { batches }),
        2 => Just(Op::NewEpoch),
        6 => Just(Op::Sync),
        2 => Just(Op::Checkpoint),
        2 => (40..110_i64).prop_map(|percent| Op::Truncate { percent }),
        1 => (0..80_i64).prop_map(|percent| Op::AdvanceStart { percent }),
        1 => (0..50_i64).prop_map(|ahead| Op::Reset { ahead }),
    ]
}

/// As [`op`], in a log that may get holes.
pub(crate) fn op_with_holes() -> impl Strategy<Value = Op> {
    let sizes = proptest::collection::vec(0..120_usize, 1..4);
    let after_hole =
        (1..9_i64, sizes).prop_map(|(missing, sizes)| Op::FollowAfterHole { missing, sizes });
    prop_oneof![8 => op(), 1 => after_hole]
}

/// One batch as it must lie in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) base: i64,
    pub(crate) next: i64,
    pub(crate) epoch: i32,
    pub(crate) bytes: Vec<u8>,
}

/// What the log holds, and how much of it is durable.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) batches: Vec<Stored>,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) synced: i64,
    pub(crate) epoch: i32,
    /// Where the first batch started, or will.
    origin: i64,
    may_have_holes: bool,
    n_built: usize,
}

impl Model {
    fn build(&mut self, sizes: &[usize]) -> Stored {
        let mut builder = BatchBuilder::new().base_offset(Offset(self.end));
        builder = builder.leader_epoch(LeaderEpoch(self.epoch));
        for size in sizes {
            self.n_built += 1;
            // Times rise and fall, and meet again.
            let time = i64::try_from(self.n_built * 37 % 101).unwrap();
            builder = builder.value(
                NOW + time,
                format!("{:06}{}", self.n_built, "x".repeat(*size)),
            );
        }
        let next = self.end + i64::try_from(sizes.len()).unwrap();
        let bytes = builder.build().to_vec();
        Stored {
            base: self.end,
            next,
            epoch: self.epoch,
            bytes,
        }
    }

    fn push(&mut self, stored: Stored) {
        self.end = stored.next;
        self.batches.push(stored);
    }

    fn at(&self, percent: i64) -> i64 {
        self.start + (self.end - self.start) * percent / 100
    }

    /// What the model is after an operation that succeeded.
    pub(crate) fn after(&self, op: &Op) -> Self {
        let mut next = self.clone();
        match op {
            Op::Append { sizes } => {
                let stored = next.build(sizes);
                next.push(stored);
            }
            Op::Follow { batches } => {
                for sizes in batches {
                    let stored = next.build(sizes);
                    next.push(stored);
                }
            }
            Op::FollowAfterHole { missing, sizes } => {
                if !self.may_have_holes {
                    // The log becomes durable before it may get the first one.
                    next.synced = self.end;
                    next.may_have_holes = true;
                }
                next.end += missing;
                let stored = next.build(sizes);
                next.push(stored);
            }
            Op::NewEpoch => next.epoch += 1,
            Op::Sync => next.synced = next.end,
            Op::Checkpoint => {}
            Op::Truncate { percent } => {
                let to = self.at(*percent);
                // The batch that holds the offset goes too.
                if let Some(at) = self.batches.iter().position(|stored| stored.next > to) {
                    next.end = match at.checked_sub(1) {
                        Some(before) => self.batches[before].next,
                        None => self.origin,
                    };
                    next.batches.truncate(at);
                    next.start = next.start.min(next.end);
                    next.synced = next.synced.min(next.end);
                }
            }
            Op::AdvanceStart { percent } => next.start = self.at(*percent).max(self.start),
            Op::Reset { ahead } => {
                next.batches.clear();
                next.start = self.end + ahead;
                next.end = next.start;
                next.origin = next.start;
                next.synced = next.start;
            }
        }
        next
    }
}

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

impl Living {
    pub(crate) fn open(fs: &FaultyFs) -> Result<Self, LogError> {
        let dir = LogDir::open(Arc::new(fs.clone()), Path::new("/data"))?;
        let (log, _) = dir.open_log(&partition(), small())?;
        Ok(Self { dir, log })
    }

    /// Does to the log what [`Model::after`] does to the model.
    pub(crate) fn apply(&mut self, op: &Op, model: &Model) -> Result<(), AppendError> {
        let after = model.after(op);
        match op {
            Op::Append { .. } => {
                let stored = after.batches.last().unwrap();
                let epoch = LeaderEpoch(stored.epoch);
                self.log
                    .append_as_leader(stored.bytes.as_slice().into(), epoch, NOW)?;
            }
            Op::Follow { .. } => {
                let new = after.batches.iter().skip(model.batches.len());
                let bytes: Vec<u8> = new.flat_map(|stored| stored.bytes.clone()).collect();
                self.log.append_as_follower(&bytes, NOW)?;
            }
            Op::FollowAfterHole { .. } => {
                self.log.allow_holes()?;
                let new = after.batches.last().unwrap();
                self.log.append_as_follower(&new.bytes, NOW)?;
            }
            Op::NewEpoch => self.log.start_leader_epoch(LeaderEpoch(after.epoch))?,
            Op::Sync => self.log.flush()?,
            Op::Checkpoint => {
                let offsets = |offset| BTreeMap::from([(partition(), offset)]);
                let points = offsets(self.log.recovery_point());
                self.dir
                    .write_checkpoint(Checkpoint::RecoveryPoint, &points)?;
                let starts = offsets(self.log.log_start_offset());
                self.dir
                    .write_checkpoint(Checkpoint::LogStartOffset, &starts)?;
            }
            Op::Truncate { percent } => self.log.truncate_to(Offset(model.at(*percent)))?,
            Op::AdvanceStart { percent } => {
                self.log
                    .advance_log_start_offset(Offset(model.at(*percent)))?;
            }
            Op::Reset { .. } => self.log.reset_to(Offset(after.start))?,
        }
        Ok(())
    }

    /// Every batch the log gives out.
    pub(crate) fn contents(&self) -> Result<Vec<Stored>, String> {
        let end = self.log.log_end_offset();
        let mut next = self.log.log_start_offset();
        let mut found = Vec::new();
        while next < end {
            let bytes = self
                .log
                .read(next, end, 400)
                .map_err(|error| error.to_string())?;
            for one in batch::iter(&bytes) {
                let (_, header, bytes) = one.map_err(|error| error.to_string())?;
                if !batch::verify_crc(bytes) {
                    return Err(format!("torn batch at {}", header.base_offset));
                }
                let epoch = header.partition_leader_epoch;
                // `None`: forgotten, when the log start rose but its checkpoint was not written.
                let known = self.log.leader_epochs().epoch_at(header.last_offset());
                if known.is_some_and(|known| known != epoch) {
                    return Err(format!("epoch of {} is not {epoch}", header.last_offset()));
                }
                next = header.next_offset();
                let (base, next) = (header.base_offset.0, header.next_offset().0);
                found.push(Stored {
                    base,
                    next,
                    epoch: epoch.0,
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
        let mut all = Vec::new();
        for stored in contents {
            let header = BatchHeader::parse(&stored.bytes).unwrap();
            let header = BatchHeader {
                base_offset: Offset(stored.base),
                ..header
            };
            for record in record::iter(&stored.bytes).unwrap() {
                let record = record.unwrap();
                all.push((record.offset(&header), record.timestamp_ms(&header)));
            }
        }
        all.retain(|(offset, _)| *offset >= start);
        let first_at = |time| all.iter().find(|it| it.1 >= time).copied();
        for time in (NOW - 1..NOW + 102).step_by(6) {
            let found = self.log.offset_for_timestamp(time);
            let found = found.map_err(|error| error.to_string())?;
            let found = found.map(|it| (it.offset, it.timestamp_ms));
            if found != first_at(time) {
                return Err(format!(
                    "at {time} {found:?} is found, not {:?}",
                    first_at(time)
                ));
            }
        }
        Ok(())
    }
}
