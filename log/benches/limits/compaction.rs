//! A pass that drops half of the records, beside reading and summing the same bytes twice, and summing,
//! writing and syncing half of them: a pass learns the keys first, then rewrites.

use std::os::unix::fs::FileExt;

use bytes::{Bytes, BytesMut};
use drave_log::compaction::{FullSpeed, HashKey, OffsetMap};
use drave_log::config::CleanupPolicy;
use drave_log::{LogConfig, PartitionLog, Swapped};
use drave_protocol::ids::LeaderEpoch;
use drave_protocol::record::batch;

use crate::Extent;
use crate::contest::{self, Contender, Length, Turn};
use crate::place;
use crate::sample::{self, KIB, MIB, NOW_MS, Noise};

const BATCH_BYTES: usize = 16 * KIB;
const MAP_BYTES: usize = 64 * MIB;
const DAY_MS: i64 = 86_400_000;

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 64 * MIB as u64,
        cleanup: CleanupPolicy {
            delete: false,
            compact: true,
        },
        ..LogConfig::default()
    }
}

pub(crate) fn run(extent: Extent) {
    let n_bytes = extent.pick(64, 256) * MIB;
    let batches = batches(n_bytes);
    let length = Length {
        n_rounds: extent.pick(3, 9),
        n_turns: 1,
        bytes_per_turn: batches.iter().map(Bytes::len).sum(),
    };
    let contenders = vec![
        Contender::new("read, sum, pwrite, fdatasync", || copied(&batches)),
        Contender::new("compaction", || compacted(&batches)),
    ];
    let title = "batches of 16 KiB, keys and records of 1 KiB, half of them replaced";
    contest::run(title, length, contenders);
}

/// Of each key two, far apart.
fn batches(n_bytes: usize) -> Vec<Bytes> {
    let mut noise = Noise(7);
    let per_batch = sample::n_records(BATCH_BYTES) as u64;
    let n_batches = (n_bytes / BATCH_BYTES) as u64;
    let n_keys = n_batches * per_batch / 2;
    let one = |n: u64| {
        // Every second record of a batch is replaced, or replaces.
        let keys = (n * per_batch..(n + 1) * per_batch).map(|it| it * 7919 % n_keys);
        sample::keyed(keys, &mut noise).freeze()
    };
    (0..n_batches).map(one).collect()
}

fn written(batches: &[Bytes], log: &mut PartitionLog) {
    for batch in batches {
        let batch = BytesMut::from(&batch[..]);
        log.append_as_leader(batch, LeaderEpoch(0), NOW_MS).unwrap();
    }
    log.roll(NOW_MS).unwrap();
    log.flush().unwrap();
}

fn compacted(batches: &[Bytes]) -> Turn<'_> {
    let folder = place::folder();
    let mut log = sample::open(&folder, config());
    written(batches, &mut log);
    Box::new(move || {
        let _keeps = &folder;
        let upper = log.log_end_offset();
        let plan = log
            .plan_compaction(NOW_MS + DAY_MS, upper)
            .unwrap()
            .unwrap();
        let map = OffsetMap::new(MAP_BYTES, plan.n_keys_at_most(), HashKey([1, 2]));
        let mut pass = plan.start(map, &mut FullSpeed).unwrap();
        while let Some(rewritten) = pass.next_group(&mut FullSpeed).unwrap() {
            assert_eq!(log.swap_in(&rewritten).unwrap(), Swapped::In);
        }
        log.compacted(&pass).unwrap();
        let passed = pass.passed();
        let left = passed.bytes_after as f64 / passed.bytes_before as f64;
        assert!((0.45..0.55).contains(&left), "{left} is left");
    })
}

fn copied(batches: &[Bytes]) -> Turn<'_> {
    let folder = place::folder();
    let from = place::file(&folder);
    let mut n_bytes = 0;
    for batch in batches {
        from.write_all_at(batch, n_bytes).unwrap();
        n_bytes += batch.len() as u64;
    }
    from.sync_data().unwrap();
    let outcome = place::folder();
    let to = place::file(&outcome);
    let mut buffer = vec![0; MIB];
    Box::new(move || {
        let _keeps = (&folder, &outcome);
        for is_written in [false, true] {
            let mut out = 0;
            for position in (0..n_bytes).step_by(MIB) {
                let n = (n_bytes - position).min(MIB as u64) as usize;
                from.read_exact_at(&mut buffer[..n], position).unwrap();
                std::hint::black_box(batch::crc32c(&buffer[..n]));
                if is_written {
                    let half = &buffer[..n / 2];
                    std::hint::black_box(batch::crc32c(half));
                    to.write_all_at(half, out).unwrap();
                    out += half.len() as u64;
                }
            }
        }
        to.sync_data().unwrap();
    })
}
