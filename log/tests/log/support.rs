//! A log on a faulty disk, and short words for what tests do with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use drave_log::fs::FileSystem;
use drave_log::fs::faulty::{CrashLoss, FaultyFs};
use drave_log::repair_report::RepairReport;
use drave_log::{Appended, LogConfig, LogError, PartitionLog};
use drave_protocol::ids::{LeaderEpoch, Offset};
use drave_protocol::record::batch::{self, BatchHeader};
use drave_protocol::record::builder::BatchBuilder;

pub(crate) const NOW: i64 = 1_700_000_000_000;

/// Segments of a few batches and an index entry for each second one.
pub(crate) fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 700,
        index_interval_bytes: 100,
        ..LogConfig::default()
    }
}

pub(crate) fn dir() -> PathBuf {
    PathBuf::from("/data/orders-0")
}

pub(crate) fn segment_path(base_offset: i64) -> PathBuf {
    dir().join(format!("{base_offset:020}.log"))
}

pub(crate) fn disk() -> FaultyFs {
    FaultyFs::new()
}

pub(crate) fn open_at(
    fs: &FaultyFs,
    recovery_point: i64,
) -> Result<(PartitionLog, RepairReport), LogError> {
    let fs = Arc::new(fs.clone());
    PartitionLog::open(fs, &dir(), small(), Offset(recovery_point), Offset::ZERO)
}

pub(crate) fn open(fs: &FaultyFs) -> PartitionLog {
    open_at(fs, 0).unwrap().0
}

/// Cuts the power and opens what is left, trusting what was durable.
pub(crate) fn crash(
    fs: &FaultyFs,
    mut log: PartitionLog,
    loss: CrashLoss,
) -> (PartitionLog, RepairReport) {
    let recovery_point = log.recovery_point_to_note();
    drop(log);
    fs.crash(loss);
    open_at(fs, recovery_point.0).unwrap()
}

/// A batch of `n` records with some 20 bytes each.
pub(crate) fn batch(n: i32) -> BytesMut {
    let mut builder = BatchBuilder::new();
    for i in 0..n {
        builder = builder.value(NOW + i64::from(i), format!("record number {i:04}"));
    }
    builder.build()
}

pub(crate) fn append(log: &mut PartitionLog, n: i32) -> Appended {
    append_in(log, n, 0)
}

pub(crate) fn append_in(log: &mut PartitionLog, n: i32, epoch: i32) -> Appended {
    log.append_as_leader(batch(n), LeaderEpoch(epoch), NOW)
        .unwrap()
}

/// Every batch from the log's start to its end.
pub(crate) fn read_all(log: &PartitionLog) -> Vec<(BatchHeader, Vec<u8>)> {
    let mut found = Vec::new();
    let mut next = log.log_start_offset();
    while next < log.log_end_offset() {
        let bytes = log.read(next, log.log_end_offset(), 200).unwrap();
        let before = next;
        for one in batch::iter(&bytes) {
            let (_, header, bytes) = one.unwrap();
            next = header.next_offset();
            found.push((header, bytes.to_vec()));
        }
        assert!(
            next > before,
            "a read at {before} below the log's end must return something"
        );
    }
    found
}

/// First offsets of the batches in `bytes`.
pub(crate) fn bases(bytes: &Bytes) -> Vec<i64> {
    batch::iter(bytes)
        .map(|one| one.unwrap().1.base_offset.0)
        .collect()
}

pub(crate) fn names(fs: &FaultyFs, path: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs
        .list(path)
        .unwrap()
        .into_iter()
        .map(|it| it.name)
        .collect();
    names.sort();
    names
}
