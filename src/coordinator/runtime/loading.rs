//! A log into a shard: all of it, from its start to what is committed.

use std::collections::BTreeMap;

use bytes::Bytes;
use drave_protocol::ids::LeaderEpoch;
use drave_protocol::record::batch;
use drave_protocol::record::compression::UnpackedLimit;
use drave_protocol::record::reader::RecordReader;
use tracing::warn;

use crate::coordinator::group::GroupShard;
use crate::coordinator::records::{Decoded, GroupRecord};
use crate::coordinator::writer::{Extent, PartitionWriter, WriteError};

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::coordinator) struct Loaded {
    pub(in crate::coordinator) n_records: usize,
    pub(in crate::coordinator) n_bytes: usize,
    /// How many of each kind that is not known here.
    pub(in crate::coordinator) unknown_by_kind: BTreeMap<i16, usize>,
}

/// Replays what lies in `extent`. Blocks on the disk.
pub(in crate::coordinator) fn load(
    writer: &dyn PartitionWriter,
    epoch: LeaderEpoch,
    extent: Extent,
    wall_ms: i64,
) -> Result<(GroupShard, Loaded), WriteError> {
    let mut shard = GroupShard::default();
    let mut loaded = Loaded::default();
    let mut at = extent.log_start_offset;
    while at < extent.log_end_offset {
        let bytes = writer.read(epoch, at)?;
        if bytes.is_empty() {
            break; // the rest was compacted away
        }
        loaded.n_bytes += bytes.len();
        for found in batch::iter(&bytes) {
            // What is cut off at the end comes whole with the next read.
            let Ok((_, header, batch)) = found else { break };
            if !header.is_control() {
                replay_batch((&mut shard, &mut loaded), batch, wall_ms)?;
            }
            at = at.max(header.next_offset());
        }
    }
    Ok((shard, loaded))
}

fn replay_batch(
    (shard, loaded): (&mut GroupShard, &mut Loaded),
    batch: &[u8],
    wall_ms: i64,
) -> Result<(), WriteError> {
    let unreadable = |error: &dyn std::fmt::Display| WriteError::Unreadable(error.to_string());
    let mut reader =
        RecordReader::open(batch, UnpackedLimit::default()).map_err(|it| unreadable(&it))?;
    while let Some(record) = reader.next_record() {
        let record = record.map_err(|it| unreadable(&it))?;
        loaded.n_records += 1;
        let Some(key) = record.key else { continue };
        let key = Bytes::copy_from_slice(key);
        let value = record.value.map(Bytes::copy_from_slice);
        match GroupRecord::decode(&key, value.as_ref()) {
            Ok(Decoded::Record(record)) => shard.replay(&record, wall_ms),
            // A newer broker's, or of groups we do not serve: theirs to read.
            Ok(Decoded::UnknownKind(kind)) => {
                *loaded.unknown_by_kind.entry(kind).or_default() += 1;
            }
            Err(error) => warn!(%error, "a group's record cannot be read and is left out"),
        }
    }
    Ok(())
}
