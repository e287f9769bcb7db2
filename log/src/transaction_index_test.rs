use std::path::PathBuf;

use super::*;
use crate::fs;
use crate::fs::faulty::FaultyFs;

fn entry(first_offset: i64, last_offset: i64, last_stable_offset: i64) -> AbortedTransaction {
    AbortedTransaction {
        producer_id: ProducerId(7),
        first_offset: Offset(first_offset),
        last_offset: Offset(last_offset),
        last_stable_offset: Offset(last_stable_offset),
    }
}

fn dir() -> PathBuf {
    PathBuf::from("/t-0")
}

fn disk() -> FaultyFs {
    let fs = FaultyFs::new();
    fs.create_dir_all(&dir()).unwrap();
    fs
}

fn open(fs: &FaultyFs) -> TransactionIndex {
    let fs: Arc<dyn FileSystem> = Arc::new(fs.clone());
    let listing = Listing::of(fs.as_ref(), &dir()).unwrap();
    TransactionIndex::open(&fs, &dir(), &listing, Offset::ZERO).unwrap()
}

fn note(index: &mut TransactionIndex, segment: i64, entry: &AbortedTransaction) {
    index.write(Offset(segment), entry).unwrap();
    index.keep(Offset(segment));
}

/// Transactions of two records each, every other one aborted, with segments of a hundred.
fn filled(fs: &FaultyFs, n: i64) -> TransactionIndex {
    let mut index = open(fs);
    for at in (0..n).map(|it| it * 6) {
        note(&mut index, at / 100 * 100, &entry(at, at + 2, at + 3));
    }
    index
}

fn found(index: &TransactionIndex, from: i64, upper: i64) -> Vec<i64> {
    let found = index.overlapping(Offset(from), Offset(upper)).unwrap();
    found.iter().map(|it| it.first_offset.0).collect()
}

#[test]
fn an_entry_is_kafkas_34_bytes() {
    let fs = disk();
    note(&mut open(&fs), 0, &entry(1, 2, 3));
    let mut expected = vec![0, 0];
    for number in [7_i64, 1, 2, 3] {
        expected.extend(number.to_be_bytes());
    }
    let path = dir().join("00000000000000000000.txnindex");
    assert_eq!(fs::read_file(&fs, &path).unwrap(), expected);
}

#[test]
fn a_reader_gets_what_touches_his_range_across_segments() {
    let fs = disk();
    let index = filled(&fs, 2_000);
    for from in [0, 1, 2, 3, 95, 101, 600, 11_990, 20_000] {
        for upper in [from, from + 1, from + 7, from + 650, 30_000] {
            let all = (0..2_000).map(|it| it * 6);
            let expected: Vec<i64> = all.filter(|it| it + 2 >= from && *it < upper).collect();
            assert_eq!(found(&index, from, upper), expected, "{from}..{upper}");
        }
    }
    assert_eq!(found(&open(&fs), 0, 30_000).len(), 2_000);
}

#[test]
fn a_transaction_that_ends_far_behind_is_found_from_its_first_record() {
    let fs = disk();
    let mut index = open(&fs);
    note(&mut index, 0, &entry(20, 30, 10));
    note(&mut index, 100, &entry(10, 150, 151));
    assert_eq!(found(&index, 0, 15), [10]);
    assert_eq!(found(&index, 0, 25), [20, 10]);
    assert_eq!(found(&index, 40, 50), [10]);
}

#[test]
fn truncation_takes_what_ended_at_or_after_it() {
    let fs = disk();
    for at in [0, 2, 3, 8, 99, 100, 104, 700] {
        let mut index = filled(&fs, 100);
        index.truncate(Offset(at)).unwrap();
        let expected: Vec<i64> = (0..100).map(|it| it * 6).filter(|it| it + 2 < at).collect();
        for index in [&index, &open(&fs)] {
            assert_eq!(found(index, 0, 10_000), expected, "at {at}");
        }
        index.truncate(Offset::ZERO).unwrap();
    }
}

#[test]
fn an_entry_whose_marker_was_not_written_is_overwritten() {
    let fs = disk();
    let mut index = open(&fs);
    index.write(Offset(0), &entry(1, 5, 6)).unwrap();
    note(&mut index, 0, &entry(2, 7, 8));
    assert_eq!(found(&index, 0, 100), [2]);
}

#[test]
fn damage_is_seen_and_never_read_around() {
    let fs = disk();
    let index = filled(&fs, 100);
    assert_eq!(index.first_damaged().unwrap(), None);
    let path = dir().join("00000000000000000300.txnindex");
    fs.flip_bit(&path, 34);
    let read = index.overlapping(Offset(300), Offset(10_000));
    assert!(matches!(read, Err(LogError::BadFile { .. })), "{read:?}");
    // Opening looks at the last entry only.
    fs.flip_bit(&path, 16 * 34);
    assert_eq!(open(&fs).first_damaged().unwrap(), Some(Offset(300)));
    fs.create(&dir().join("00000000000000000100.txnindex"))
        .unwrap();
    assert_eq!(open(&fs).first_damaged().unwrap(), Some(Offset(100)));
}
