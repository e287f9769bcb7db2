//! A leader's append beside copying, summing and writing the same bytes.

use std::os::unix::fs::FileExt;

use bytes::{Bytes, BytesMut};
use drave_log::LogConfig;
use drave_protocol::ids::LeaderEpoch;
use drave_protocol::record::batch;

use crate::Extent;
use crate::contest::{self, Contender, Length, Turn};
use crate::place;
use crate::sample::{self, KIB, MIB, NOW_MS};

const TURN_BYTES: usize = 8 * MIB;
/// Where the checksummed part of a batch begins.
pub(crate) const SUMMED_FROM: usize = 21;

pub(crate) const SIZES: [(&str, usize); 3] = [
    ("batches of 16 KiB", 16 * KIB),
    ("batches of 64 KiB", 64 * KIB),
    ("batches of 1 MiB", MIB),
];

pub(crate) fn run(extent: Extent) {
    for (title, size) in SIZES {
        let sample = sample::batch(size);
        let n_batches = TURN_BYTES / size;
        let length = Length {
            n_rounds: extent.pick(5, 15),
            n_turns: extent.pick(16, 32),
            bytes_per_turn: n_batches * sample.len(),
        };
        let contenders = vec![
            Contender::new("copy, sum, pwrite", || written(&sample, n_batches)),
            Contender::new("append", || appended(&sample, n_batches)),
        ];
        contest::run(title, length, contenders);
    }
}

fn written(sample: &Bytes, n_batches: usize) -> Turn<'_> {
    let folder = place::folder();
    let file = place::file(&folder);
    let mut buffer = vec![0; sample.len()];
    let mut position = 0;
    Box::new(move || {
        let _keeps = &folder;
        for _ in 0..n_batches {
            buffer.copy_from_slice(sample);
            std::hint::black_box(batch::crc32c(&buffer[SUMMED_FROM..]));
            file.write_all_at(&buffer, position).unwrap();
            position += buffer.len() as u64;
        }
    })
}

fn appended(sample: &Bytes, n_batches: usize) -> Turn<'_> {
    let folder = place::folder();
    let mut log = sample::open(&folder, LogConfig::default());
    let mut buffer = BytesMut::new();
    Box::new(move || {
        let _keeps = &folder;
        for _ in 0..n_batches {
            // As a connection does: its buffer is its own again once the batch was written.
            buffer.reserve(sample.len());
            buffer.extend_from_slice(sample);
            let batch = buffer.split();
            log.append_as_leader(batch, LeaderEpoch(0), NOW_MS).unwrap();
        }
    })
}
