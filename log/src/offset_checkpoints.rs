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
    /// Where the last compaction ended.
    Cleaner,
}

impl Checkpoint {
    /// In the order they are written: a log start may not be believed of records a recovery point
    /// does not cover.
    pub(crate) const ALL: [Self; 4] = [
        Self::RecoveryPoint,
        Self::LogStartOffset,
        Self::ReplicationOffset,
        Self::Cleaner,
    ];

    /// Kafka's file names; persisted, never renamed.
    fn file_name(self) -> &'static str {
        match self {
            Self::RecoveryPoint => "recovery-point-offset-checkpoint",
            Self::ReplicationOffset => "replication-offset-checkpoint",
            Self::LogStartOffset => "log-start-offset-checkpoint",
            Self::Cleaner => "cleaner-offset-checkpoint",
        }
    }
}

/// All of a directory's checkpoints: read once, kept, and written whole.
///
/// What was noted stays until it is noted anew or forgotten: a log that cannot be opened today is
/// judged tomorrow by what is known of it, not as if nothing had ever been durable.
#[derive(Clone, Debug, Default)]
pub struct Checkpoints {
    noted: BTreeMap<TopicPartition, NotedOffsets>,
    /// Of what was noted since it was written. At most one of each kind.
    changed: Vec<Checkpoint>,
}

/// What the checkpoints say of one log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotedOffsets {
    pub recovery_point: Offset,
    pub log_start_offset: Offset,
    pub high_watermark: Offset,
    /// Zero where nothing was compacted.
    pub first_dirty_offset: Offset,
}

impl NotedOffsets {
    fn of(self, checkpoint: Checkpoint) -> Offset {
        match checkpoint {
            Checkpoint::RecoveryPoint => self.recovery_point,
            Checkpoint::ReplicationOffset => self.high_watermark,
            Checkpoint::LogStartOffset => self.log_start_offset,
            Checkpoint::Cleaner => self.first_dirty_offset,
        }
    }

    fn set(&mut self, checkpoint: Checkpoint, offset: Offset) {
        match checkpoint {
            Checkpoint::RecoveryPoint => self.recovery_point = offset,
            Checkpoint::ReplicationOffset => self.high_watermark = offset,
            Checkpoint::LogStartOffset => self.log_start_offset = offset,
            Checkpoint::Cleaner => self.first_dirty_offset = offset,
        }
    }
}

impl Checkpoints {
    pub fn noted(&self, partition: &TopicPartition) -> NotedOffsets {
        self.noted.get(partition).copied().unwrap_or_default()
    }

    pub fn note(&mut self, partition: &TopicPartition, offsets: NotedOffsets) {
        if let Some(known) = self.noted.get_mut(partition) {
            let before = std::mem::replace(known, offsets);
            self.has_changed(|it| before.of(it) != offsets.of(it));
        } else {
            self.noted.insert(partition.clone(), offsets);
            self.has_changed(|_| true);
        }
    }

    /// The log is gone.
    pub fn forget(&mut self, partition: &TopicPartition) {
        if self.noted.remove(partition).is_some() {
            self.has_changed(|_| true);
        }
    }

    fn has_changed(&mut self, which: impl Fn(Checkpoint) -> bool) {
        for checkpoint in Checkpoint::ALL {
            if which(checkpoint) && !self.changed.contains(&checkpoint) {
                self.changed.push(checkpoint);
            }
        }
    }

    /// Whether a file says something else than this does.
    pub(crate) fn is_changed(&self, checkpoint: Checkpoint) -> bool {
        self.changed.contains(&checkpoint)
    }

    pub(crate) fn is_written(&mut self, checkpoint: Checkpoint) {
        self.changed.retain(|it| *it != checkpoint);
    }

    pub(crate) fn take_in(
        &mut self,
        checkpoint: Checkpoint,
        offsets: BTreeMap<TopicPartition, Offset>,
    ) {
        for (partition, offset) in offsets {
            self.noted
                .entry(partition)
                .or_default()
                .set(checkpoint, offset);
        }
    }

    pub(crate) fn of(&self, checkpoint: Checkpoint) -> Vec<String> {
        let line = |(at, noted): (&TopicPartition, &NotedOffsets)| line(at, noted.of(checkpoint));
        // Most logs are never compacted, and need no line.
        let is_wanted = |(_, noted): &(&TopicPartition, &NotedOffsets)| {
            checkpoint != Checkpoint::Cleaner || noted.first_dirty_offset > Offset::ZERO
        };
        self.noted.iter().filter(is_wanted).map(line).collect()
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
    lines: &[String],
) -> Result<(), LogError> {
    checkpoint::write(fs, &dir.join(checkpoint.file_name()), lines)
}

pub(crate) fn line(at: &TopicPartition, offset: Offset) -> String {
    format!("{} {} {offset}", at.topic, at.partition)
}
