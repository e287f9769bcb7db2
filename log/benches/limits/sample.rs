//! What is written: batches of records of 1 KiB, not compressible, as a client would send them.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use drave_log::fs::RealFs;
use drave_log::{LogConfig, PartitionLog};
use drave_protocol::ids::Offset;
use drave_protocol::record::builder::BatchBuilder;
use tempfile::TempDir;

pub(crate) const KIB: usize = 1024;
pub(crate) const MIB: usize = 1024 * KIB;
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

const VALUE_BYTES: usize = KIB;
/// Of a record besides its key and value, and of a batch besides its records.
const RECORD_EXTRA: usize = 10;
const BATCH_EXTRA: usize = 61;

/// The same numbers each time, good enough to look like data.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn bytes(&mut self, n: usize) -> Vec<u8> {
        let words = (0..n.div_ceil(8)).flat_map(|_| self.next().to_le_bytes());
        words.take(n).collect()
    }
}

pub(crate) fn n_records(size: usize) -> usize {
    (size - BATCH_EXTRA) / (VALUE_BYTES + RECORD_EXTRA)
}

/// As many records as fit `size` bytes.
pub(crate) fn batch(size: usize) -> Bytes {
    let mut noise = Noise(42);
    let mut builder = BatchBuilder::new();
    for _ in 0..n_records(size) {
        builder = builder.value(NOW_MS, noise.bytes(VALUE_BYTES));
    }
    builder.build().freeze()
}

/// As [`batch`], with these keys.
pub(crate) fn keyed(keys: impl Iterator<Item = u64>, noise: &mut Noise) -> BytesMut {
    let mut builder = BatchBuilder::new();
    for key in keys {
        let key = key.to_be_bytes().to_vec();
        builder = builder.key_value(NOW_MS, key, noise.bytes(VALUE_BYTES - 8));
    }
    builder.build()
}

pub(crate) fn open(folder: &TempDir, config: LogConfig) -> PartitionLog {
    let dir = folder.path().join("bench-0");
    let (log, _) =
        PartitionLog::open(Arc::new(RealFs), &dir, config, Offset::ZERO, Offset::ZERO).unwrap();
    log
}
