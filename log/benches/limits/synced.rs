//! Appends that are made durable one by one, beside writing and `fdatasync` alone.

use std::os::unix::fs::FileExt;

use bytes::{Bytes, BytesMut};
use drave_log::LogConfig;
use drave_protocol::ids::LeaderEpoch;

use crate::Extent;
use crate::append::SIZES;
use crate::contest::{self, Contender, Length, Turn};
use crate::place;
use crate::sample::{self, NOW_MS};

pub(crate) fn run(extent: Extent) {
    for (title, size) in SIZES {
        let sample = sample::batch(size);
        let length = Length {
            n_rounds: extent.pick(3, 9),
            n_turns: extent.pick(100, 300),
            bytes_per_turn: sample.len(),
        };
        let contenders = vec![
            Contender::new("pwrite, fdatasync", || written(&sample)),
            Contender::new("append, flush", || appended(&sample)),
        ];
        contest::run(title, length, contenders);
    }
}

fn written(sample: &Bytes) -> Turn<'_> {
    let folder = place::folder();
    let file = place::file(&folder);
    let mut position = 0;
    Box::new(move || {
        let _keeps = &folder;
        file.write_all_at(sample, position).unwrap();
        file.sync_data().unwrap();
        position += sample.len() as u64;
    })
}

fn appended(sample: &Bytes) -> Turn<'_> {
    let folder = place::folder();
    let mut log = sample::open(&folder, LogConfig::default());
    Box::new(move || {
        let _keeps = &folder;
        let batch = BytesMut::from(&sample[..]);
        log.append_as_leader(batch, LeaderEpoch(0), NOW_MS).unwrap();
        log.flush().unwrap();
    })
}
