//! What it would be worth to have a segment's blocks before they are written to.
//!
//! All copy, sum and write the same bytes: to a file that grows; to one whose blocks were taken beforehand,
//! with its size or without; over the blocks of an older file, whose pages are still in memory or are not.

use std::fs::File;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use drave_protocol::record::batch;
use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate};
use tempfile::TempDir;

use crate::Extent;
use crate::append::{SIZES, SUMMED_FROM};
use crate::contest::{self, Contender, Length, Turn};
use crate::place;
use crate::sample::{self, MIB};

const TURN_BYTES: usize = 8 * MIB;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Blocks {
    Grow,
    KeepSize,
    Full,
    RecycledWarm,
    RecycledCold,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Nothing,
    Sync,
}

const ALL: [(&str, Blocks); 5] = [
    ("grow", Blocks::Grow),
    ("fallocate, size kept", Blocks::KeepSize),
    ("fallocate, full size", Blocks::Full),
    ("recycled, in memory", Blocks::RecycledWarm),
    ("recycled, not in memory", Blocks::RecycledCold),
];

pub(crate) fn run(extent: Extent) {
    for (title, size) in SIZES {
        let sample = sample::batch(size);
        let n_batches = TURN_BYTES / size;
        let length = Length {
            n_rounds: extent.pick(3, 9),
            n_turns: extent.pick(8, 24),
            bytes_per_turn: n_batches * sample.len(),
        };
        contest(title, length, &sample, n_batches, Then::Nothing);
    }
    let title = "batches of 64 KiB, each synced";
    let sample = sample::batch(SIZES[1].1);
    let length = Length {
        n_rounds: extent.pick(3, 9),
        n_turns: extent.pick(100, 200),
        bytes_per_turn: sample.len(),
    };
    contest(title, length, &sample, 1, Then::Sync);
}

fn contest(title: &str, length: Length, sample: &Bytes, n_batches: usize, then: Then) {
    let contender = |(name, blocks): (&'static str, Blocks)| {
        let n_bytes = length.n_turns * length.bytes_per_turn;
        Contender::new(name, move || {
            written(sample, n_batches, (blocks, n_bytes as u64), then)
        })
    };
    contest::run(title, length, ALL.map(contender).into());
}

fn written(sample: &Bytes, n_batches: usize, of: (Blocks, u64), then: Then) -> Turn<'_> {
    let folder = place::folder();
    let file = place::file(&folder);
    recycled(&folder, &file, of);
    let mut buffer = vec![0; sample.len()];
    let mut position = 0;
    Box::new(move || {
        let _keeps = &folder;
        if position == 0 {
            allocated(&file, of);
        }
        for _ in 0..n_batches {
            buffer.copy_from_slice(sample);
            std::hint::black_box(batch::crc32c(&buffer[SUMMED_FROM..]));
            file.write_all_at(&buffer, position).unwrap();
            position += buffer.len() as u64;
        }
        if then == Then::Sync {
            file.sync_data().unwrap();
        }
    })
}

/// Part of the work: whoever wants the blocks must take them.
fn allocated(file: &File, (blocks, n_bytes): (Blocks, u64)) {
    match blocks {
        Blocks::KeepSize => fallocate(file, FallocateFlags::KEEP_SIZE, 0, n_bytes).unwrap(),
        Blocks::Full => fallocate(file, FallocateFlags::empty(), 0, n_bytes).unwrap(),
        Blocks::Grow | Blocks::RecycledWarm | Blocks::RecycledCold => {}
    }
}

/// What an older segment left.
fn recycled(folder: &TempDir, file: &File, (blocks, n_bytes): (Blocks, u64)) {
    if !matches!(blocks, Blocks::RecycledWarm | Blocks::RecycledCold) {
        return;
    }
    let piece = vec![7; MIB];
    for position in (0..n_bytes).step_by(MIB) {
        file.write_all_at(&piece, position).unwrap();
    }
    file.sync_data().unwrap();
    File::open(folder.path()).unwrap().sync_all().unwrap();
    if blocks == Blocks::RecycledCold {
        fadvise(file, 0, None, Advice::DontNeed).unwrap();
    }
}
