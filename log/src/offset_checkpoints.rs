//! What is remembered of all logs of a directory between two starts: one file per kind of offset.
//!
//! A reader sees the file before or after a replacement, never half of one. An offset that was not
//! noted is zero: nothing is known to be durable, deleted or committed.

use std::collections::BTreeMap;
use std::path::Path;

use drave_protocol::ids::{Offset, TopicPartition};

use crate::checkpoint;
use crate::error::LogError;
use crate::fs::FileSystem;

/// One of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    RecoveryPoint,
    ReplicationOffset,
    LogStartOffset,
}

impl Checkpoint {
    /// Kafka's file names; persisted, never renamed.
    fn file_name(self) -> &'static str {
        match self {
            Self::RecoveryPoint => "recovery-point-offset-checkpoint",
            Self::ReplicationOffset => "replication-offset-checkpoint",
            Self::LogStartOffset => "log-start-offset-checkpoint",
        }
    }
}

/// All of a directory's checkpoints, read once for as many logs as are opened.
#[derive(Clone, Debug, Default)]
pub struct Checkpoints {
    pub(crate) recovery_points: BTreeMap<TopicPartition, Offset>,
    pub(crate) log_start_offsets: BTreeMap<TopicPartition, Offset>,
    pub(crate) high_watermarks: BTreeMap<TopicPartition, Offset>,
}

/// What the checkpoints say of one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotedOffsets {
    pub recovery_point: Offset,
    pub log_start_offset: Offset,
    pub high_watermark: Offset,
}

impl Checkpoints {
    pub fn noted(&self, partition: &TopicPartition) -> NotedOffsets {
        let noted = |offsets: &BTreeMap<TopicPartition, Offset>| {
            offsets.get(partition).copied().unwrap_or(Offset::ZERO)
        };
        NotedOffsets {
            recovery_point: noted(&self.recovery_points),
            log_start_offset: noted(&self.log_start_offsets),
            high_watermark: noted(&self.high_watermarks),
        }
    }
}

pub(crate) fn read(
    fs: &dyn FileSystem,
    dir: &Path,
    checkpoint: Checkpoint,
) -> Result<BTreeMap<TopicPartition, Offset>, LogError> {
    let path = dir.join(checkpoint.file_name());
    let facts = checkpoint::read(fs, &path)?.unwrap_or_default();
    let parse = |fact: &str| {
        let mut fields = fact.rsplitn(3, ' ');
        let offset = Offset(fields.next()?.parse().ok()?);
        let partition = fields.next()?.parse().ok()?;
        let topic = fields.next()?.to_owned();
        Some((TopicPartition { topic, partition }, offset))
    };
    Ok(checkpoint::parse(&path, &facts, parse)?
        .into_iter()
        .collect())
}

pub(crate) fn written_ms(fs: &dyn FileSystem, dir: &Path, checkpoint: Checkpoint) -> Option<i64> {
    let file = fs.open(&dir.join(checkpoint.file_name())).ok()?;
    file.modified_ms().ok()
}

pub(crate) fn write(
    fs: &dyn FileSystem,
    dir: &Path,
    checkpoint: Checkpoint,
    offsets: &BTreeMap<TopicPartition, Offset>,
) -> Result<(), LogError> {
    let line = |(at, offset): (&TopicPartition, &Offset)| {
        format!("{} {} {offset}", at.topic, at.partition)
    };
    let facts: Vec<String> = offsets.iter().map(line).collect();
    checkpoint::write(fs, &dir.join(checkpoint.file_name()), &facts)
}
