//! What Kafka remembered of its producers is what we make of its log, and of its files.
#![allow(
    clippy::disallowed_methods,
    reason = "looks at files that another program wrote"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use drave_log::ProducerStates;
use drave_log::producer_state::WINDOW;
use drave_protocol::ids::Offset;

use crate::written_by_kafka::{copy_of, fixtures, open_copy};

const FOLDERS: [&str; 3] = ["codecs-0", "transactions-0", "appendtime-0"];

/// Files of one kind, by the offset they are named after.
fn files(dir: &Path, extension: &str) -> BTreeMap<i64, PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|it| it.unwrap().path());
    let named = paths.filter(|it| it.extension().is_some_and(|it| it == extension));
    let offset = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    named.map(|path| (offset(&path), path)).collect()
}

fn contents(dir: &Path, extension: &str) -> BTreeMap<i64, Vec<u8>> {
    let files = files(dir, extension).into_iter();
    files
        .map(|(at, path)| (at, fs::read(path).unwrap()))
        .collect()
}

/// What Kafka's reader takes from a snapshot: of each producer the last entry.
fn as_kafka_reads(snapshot: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let entries = snapshot[10..].chunks(46);
    entries.map(|it| (it[..8].to_vec(), it.to_vec())).collect()
}

#[test]
fn kafkas_snapshots_are_read_and_written_byte_for_byte() {
    let mut n_read = 0;
    for name in ["codecs-0", "transactions-0", "appendtime-0", "compacted-0"] {
        for (at, bytes) in contents(&fixtures().join(name), "snapshot") {
            let states = ProducerStates::from_snapshot(&bytes, WINDOW).unwrap();
            assert_eq!(states.to_snapshot(), bytes, "{name} at {at}");
            n_read += 1;
        }
    }
    assert!(n_read > 8, "{n_read} snapshots");
}

#[test]
fn from_the_bare_log_come_the_producers_and_aborted_transactions_kafka_noted() {
    for name in FOLDERS {
        let copy = copy_of(name);
        let noted = contents(copy.path(), "snapshot");
        let aborted = contents(copy.path(), "txnindex");
        for extension in ["snapshot", "txnindex"] {
            for path in files(copy.path(), extension).into_values() {
                fs::remove_file(path).unwrap();
            }
        }
        let (mut log, _) = open_copy(&copy, 0);
        assert_eq!(contents(copy.path(), "txnindex"), aborted, "{name}");
        for (at, kafkas) in noted.iter().rev() {
            log.truncate_to(Offset(*at)).unwrap();
            assert_eq!(log.log_end_offset(), Offset(*at), "{name}");
            let mut ours = as_kafka_reads(&log.producer_states().to_snapshot());
            let kafkas = as_kafka_reads(kafkas);
            // When it started again, Kafka forgot producers whose records said they were years old.
            ours.retain(|id, _| name == "transactions-0" || kafkas.contains_key(id));
            assert_eq!(ours, kafkas, "{name} at {at}");
        }
    }
}

#[test]
fn from_kafkas_snapshots_come_the_same_producers_as_from_the_bare_log() {
    for name in FOLDERS {
        let copy = copy_of(name);
        let (kafkas, _) = open_copy(&copy, 0);
        let end = kafkas.log_end_offset();
        let newest = contents(copy.path(), "snapshot");
        let newest = newest.last_key_value().unwrap().1;
        let found = kafkas.producer_states().to_snapshot();
        assert_eq!(as_kafka_reads(&found), as_kafka_reads(newest), "{name}");

        let bare = copy_of(name);
        for path in files(bare.path(), "snapshot").into_values() {
            fs::remove_file(path).unwrap();
        }
        let (bare, _) = open_copy(&bare, 0);
        let all =
            |log: &drave_log::PartitionLog| log.aborted_transactions(Offset::ZERO, end).unwrap();
        assert_eq!(all(&kafkas), all(&bare), "{name}");
        let (kafkas, bare) = (kafkas.last_stable_offset(end), bare.last_stable_offset(end));
        assert_eq!(kafkas, bare, "{name}");
    }
}
