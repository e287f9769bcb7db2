//! Time indexes as Kafka's reader checks them, after any end, and when they are gone.

use std::path::{Path, PathBuf};

use bytes::BytesMut;
use drave_log::PartitionLog;
use drave_log::fs::faulty::{CrashLoss, FaultyFs};
use drave_log::fs::{self, FileSystem};
use drave_protocol::ids::LeaderEpoch;
use drave_protocol::record::batch::{self, BatchHeader};
use drave_protocol::record::builder::BatchBuilder;

use crate::support::*;

fn at(time: i64) -> BytesMut {
    BatchBuilder::new().value(NOW + time, "v").build()
}

/// Four full segments and more, an entry for every second batch, times that rise and fall.
fn filled(fs: &FaultyFs) -> PartitionLog {
    let mut log = open(fs);
    for n in 0..45 {
        let time = n * 10 - (n % 3) * 25;
        log.append_as_leader(at(time), LeaderEpoch(0), NOW).unwrap();
    }
    log
}

fn files(fs: &FaultyFs, ending: &str) -> Vec<PathBuf> {
    let names = names(fs, &dir());
    let of_them = names.iter().filter(|it| it.ends_with(ending));
    of_them.map(|it| dir().join(it)).collect()
}

fn batches(fs: &FaultyFs, log_path: &Path) -> Vec<(usize, BatchHeader)> {
    let bytes = fs::read_file(fs, log_path).unwrap();
    let found = batch::iter(&bytes).map(|it| it.unwrap());
    found.map(|(at, header, _)| (at, header)).collect()
}

#[test]
fn the_indexes_of_a_sealed_segment_pass_kafkas_checks() {
    let fs = disk();
    let _log = filled(&fs);
    let sealed = files(&fs, ".log");
    let (_, sealed) = sealed.split_last().unwrap();
    assert!(sealed.len() >= 4);
    for path in sealed {
        let batches = batches(&fs, path);
        let base = batches[0].1.base_offset;
        let index = fs::read_file(&fs, &path.with_extension("index")).unwrap();
        assert!(index.len() >= 16 && index.len().is_multiple_of(8));
        for entry in index.chunks(8) {
            let relative = i64::from(u32::from_be_bytes(entry[..4].try_into().unwrap()));
            let position = u32::from_be_bytes(entry[4..].try_into().unwrap());
            let there = |it: &&(usize, BatchHeader)| it.0 == usize::try_from(position).unwrap();
            let header = batches.iter().find(there).unwrap().1;
            assert_eq!(header.last_offset(), base + relative);
        }
        let times = fs::read_file(&fs, &path.with_extension("timeindex")).unwrap();
        let mut newest = -1;
        for entry in times.chunks(12) {
            let time = i64::from_be_bytes(entry[..8].try_into().unwrap());
            let relative = i64::from(u32::from_be_bytes(entry[8..].try_into().unwrap()));
            let there = |it: &&(usize, BatchHeader)| it.1.last_offset() == base + relative;
            let header = batches.iter().find(there).unwrap().1;
            assert_eq!(header.max_timestamp, time);
            assert!(time > newest, "{time} follows {newest}");
            newest = time;
        }
        let largest = batches.iter().map(|it| it.1.max_timestamp).max();
        assert_eq!(largest, Some(newest));
    }
}

#[test]
fn the_indexes_of_a_sealed_segment_are_as_durable_as_its_records() {
    let fs = disk();
    let mut log = filled(&fs);
    log.flush().unwrap();
    let of_all = |fs: &FaultyFs| -> Vec<Vec<u8>> {
        let paths = [files(fs, ".index"), files(fs, ".timeindex")];
        // But those of the segment that is written to, if there are any.
        let n_sealed = files(fs, ".log").len() - 1;
        let sealed = paths.iter().flat_map(|it| it.iter().take(n_sealed));
        sealed
            .map(|path| fs::read_file(fs, path).unwrap())
            .collect()
    };
    let before = of_all(&fs);
    let (_log, _) = crash(&fs, log, CrashLoss::EverythingUnsynced);
    assert_eq!(of_all(&fs), before);
}

#[test]
fn a_sealed_segment_is_not_read_to_say_its_largest_time() {
    let fs = disk();
    let mut log = filled(&fs);
    log.flush().unwrap();
    let newest = log.max_timestamp().unwrap();
    let recovery_point = log.recovery_point().0;
    drop(log);
    for path in files(&fs, ".log").split_last().unwrap().1 {
        let (at, _) = batches(&fs, path)[1];
        // The format's number: whoever reads this header stops here.
        fs.flip_bit(path, u64::try_from(at + 16).unwrap());
    }
    let (log, _) = open_at(&fs, recovery_point).unwrap();
    assert_eq!(log.max_timestamp().unwrap(), newest);
}

#[test]
fn an_index_that_is_gone_or_anothers_is_made_anew() {
    for damage in ["gone", "empty", "garbage", "zeros at the end"] {
        let fs = disk();
        let mut log = filled(&fs);
        log.flush().unwrap();
        let expected: Vec<_> = (-50..450)
            .map(|time| log.offset_for_timestamp(NOW + time).unwrap())
            .collect();
        let recovery_point = log.recovery_point().0;
        drop(log);
        let paths = files(&fs, ".timeindex");
        let before: Vec<_> = paths
            .iter()
            .map(|it| fs::read_file(&fs, it).unwrap())
            .collect();
        for path in &paths {
            let file = fs.open(path).unwrap();
            match damage {
                "gone" => fs.remove_file(path).unwrap(),
                "empty" => file.set_size(0).unwrap(),
                "garbage" => file.write_all_at(&[7; 60], 0).unwrap(),
                _ => file.set_size(1200).unwrap(),
            }
        }
        let (log, _) = open_at(&fs, recovery_point).unwrap();
        for (time, expected) in (-50..450).zip(&expected) {
            let found = log.offset_for_timestamp(NOW + time).unwrap();
            assert_eq!(found, *expected, "{damage}, {time}");
        }
        let (_, sealed) = before.split_last().unwrap();
        for (path, before) in paths.iter().zip(sealed) {
            let anew = fs::read_file(&fs, path).unwrap();
            // Entries may be fewer; the last one counts.
            assert_eq!(
                anew.last_chunk::<12>(),
                before.last_chunk::<12>(),
                "{damage}"
            );
        }
    }
}

#[test]
fn a_disk_too_full_for_an_index_costs_the_index_alone() {
    let fs = disk();
    let mut log = open(&fs);
    append(&mut log, 2);
    let first_size = fs.used_bytes();
    append(&mut log, 2);
    append(&mut log, 2);
    fs.set_capacity(first_size);
    // The roll has no room for what waits to be written to the indexes.
    let refused = log.append_as_leader(batch(9), LeaderEpoch(0), NOW);
    assert!(refused.is_err());
    fs.set_capacity(u64::MAX);
    append(&mut log, 9);
    append(&mut log, 9);
    log.flush().unwrap();
    let newest = log.max_timestamp().unwrap();
    let (log, _) = crash(&fs, log, CrashLoss::EverythingUnsynced);
    assert_eq!(log.max_timestamp().unwrap(), newest);
    assert_eq!(log.offset_for_timestamp(NOW).unwrap().unwrap().offset.0, 0);
    assert_eq!(read_all(&log).len(), 5);
}
