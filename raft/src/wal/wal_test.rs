use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;

use bytes::Bytes;

use crate::backend::{EncodedEntry, LogBackend, Recovered, Write};
use crate::disk::Disk;
use crate::disk::faulty::FaultyDisk;
use crate::stored::{LogIdV1, VoteV1};
use crate::wal::recover::segment_path;
use crate::wal::segment::{
    FRAME_HEAD_BYTES, FrameAt, HEADER_BYTES, Header, encode_frame, frame_at,
};
use crate::wal::segment::{put_committed, put_entry, put_purge, put_truncate, put_vote};
use crate::wal::{Wal, WalError};

pub(super) const FOLDER: &str = "/wal";
pub(super) const SEGMENT_BYTES: u64 = 4096;

pub(super) fn open(disk: &FaultyDisk) -> Result<(Wal, Recovered), WalError> {
    let salt = Arc::new(|| 0x5a17);
    Wal::open(
        Arc::new(disk.clone()),
        Path::new(FOLDER),
        SEGMENT_BYTES,
        salt,
    )
}

pub(super) fn entry(term: u64, index: u64, size: usize) -> EncodedEntry {
    let byte = u8::try_from(index % 251).unwrap();
    EncodedEntry {
        id: LogIdV1 { term, index },
        bytes: Bytes::from(vec![byte; size]),
    }
}

pub(super) fn vote(term: u64) -> VoteV1 {
    VoteV1 {
        term,
        voted_for: 9,
        committed: term.is_multiple_of(2),
    }
}

fn append(wal: &Wal, entries: Vec<EncodedEntry>) -> std::io::Result<()> {
    let (answer, answered) = channel();
    wal.submit(Write::Append {
        entries,
        done: Box::new(move |result| answer.send(result.map(|_| ())).unwrap()),
    });
    answered.recv().unwrap()
}

fn save_vote(wal: &Wal, vote: VoteV1) -> std::io::Result<()> {
    let (answer, answered) = channel();
    wal.submit(Write::Vote {
        vote,
        done: Box::new(move |result| answer.send(result).unwrap()),
    });
    answered.recv().unwrap()
}

fn ids(recovered: &Recovered) -> Vec<u64> {
    recovered
        .entries
        .iter()
        .map(|(it, _)| it.id.index)
        .collect()
}

fn segments(disk: &FaultyDisk) -> Vec<String> {
    disk.list(Path::new(FOLDER)).unwrap()
}

#[test]
fn what_was_written_is_found_again() {
    let disk = FaultyDisk::default();
    let (wal, recovered) = open(&disk).unwrap();
    assert!(recovered.entries.is_empty() && recovered.vote.is_none());
    save_vote(&wal, vote(3)).unwrap();
    append(
        &wal,
        vec![entry(3, 0, 10), entry(3, 1, 10), entry(3, 2, 10)],
    )
    .unwrap();
    let committed = LogIdV1 { term: 3, index: 1 };
    wal.submit(Write::Committed { committed });
    wal.submit(Write::Truncate { after: Some(1) });
    append(&wal, vec![entry(4, 2, 20)]).unwrap();
    wal.submit(Write::Purge {
        upto: LogIdV1 { term: 3, index: 0 },
    });
    drop(wal);
    let (_wal, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.vote, Some(vote(3)));
    assert_eq!(recovered.committed, Some(committed));
    assert_eq!(recovered.purged, Some(LogIdV1 { term: 3, index: 0 }));
    assert_eq!(ids(&recovered), [1, 2]);
    let (last, location) = recovered.entries.last().unwrap();
    assert_eq!(last.id.term, 4);
    assert_eq!(location.read().unwrap(), Bytes::from(vec![2; 20]));
}

#[test]
fn the_committed_hint_is_kept_by_an_orderly_stop() {
    let disk = FaultyDisk::default();
    let (wal, _) = open(&disk).unwrap();
    let committed = LogIdV1 { term: 1, index: 5 };
    wal.submit(Write::Committed { committed });
    drop(wal);
    assert_eq!(open(&disk).unwrap().1.committed, Some(committed));
}

#[test]
fn a_disk_without_room_for_a_segment_is_waited_for() {
    let disk = FaultyDisk::default();
    let (wal, _) = open(&disk).unwrap();
    let before = segments(&disk).len();
    disk.be_full_for(2);
    for index in 0..20 {
        append(&wal, vec![entry(7, index, 400)]).unwrap();
    }
    assert!(segments(&disk).len() > before);
    drop(wal);
    let (_wal, recovered) = open(&disk).unwrap();
    assert_eq!(ids(&recovered), (0..20).collect::<Vec<_>>());
}

#[test]
fn purged_segments_go_and_the_vote_stays() {
    let disk = FaultyDisk::default();
    let (wal, _) = open(&disk).unwrap();
    save_vote(&wal, vote(7)).unwrap();
    for index in 0..100 {
        append(&wal, vec![entry(7, index, 400)]).unwrap();
    }
    let full = segments(&disk).len();
    assert!(full > 8, "{full} segments");
    wal.submit(Write::Purge {
        upto: LogIdV1 { term: 7, index: 94 },
    });
    append(&wal, vec![entry(7, 100, 10)]).unwrap();
    drop(wal);
    assert!(segments(&disk).len() <= 2, "{:?}", segments(&disk));
    let (_wal, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.vote, Some(vote(7)));
    assert_eq!(ids(&recovered), (95..=100).collect::<Vec<_>>());
}

#[test]
fn an_entry_larger_than_a_segment_gets_one_of_its_own() {
    let disk = FaultyDisk::default();
    let (wal, _) = open(&disk).unwrap();
    append(&wal, vec![entry(1, 0, 10)]).unwrap();
    append(&wal, vec![entry(1, 1, 20_000)]).unwrap();
    append(&wal, vec![entry(1, 2, 10)]).unwrap();
    drop(wal);
    let (_wal, recovered) = open(&disk).unwrap();
    assert_eq!(ids(&recovered), [0, 1, 2]);
    assert_eq!(recovered.entries[1].1.read().unwrap().len(), 20_000);
}

/// Writes three frames; returns the disk and where the last frame begins and ends.
fn three_frames() -> (FaultyDisk, usize, usize) {
    let disk = FaultyDisk::default();
    let (wal, _) = open(&disk).unwrap();
    save_vote(&wal, vote(2)).unwrap();
    append(&wal, vec![entry(2, 0, 30)]).unwrap();
    append(&wal, vec![entry(2, 1, 30)]).unwrap();
    drop(wal);
    let bytes = disk.bytes(&segment_path(Path::new(FOLDER), 1));
    let mut position = HEADER_BYTES;
    let mut last = position;
    while let FrameAt::Frame { next, .. } = frame_at(&bytes, position, 0x5a17) {
        last = position;
        position = next;
    }
    (disk, last, position)
}

fn copy(disk: &FaultyDisk) -> FaultyDisk {
    disk.after_power_cut(&mut || u64::MAX - 1)
}

#[test]
fn a_last_frame_torn_at_any_byte_is_cut_and_writing_goes_on() {
    let path = segment_path(Path::new(FOLDER), 1);
    let (disk, start, end) = three_frames();
    // The padding holds nothing, so a frame is whole without it.
    let whole = end - (end - start - FRAME_HEAD_BYTES - 55) % 8;
    let mut cut = 0;
    for torn_at in start..whole {
        let torn = copy(&disk);
        torn.zero_from(&path, torn_at);
        let (wal, recovered) = open(&torn).unwrap();
        if ids(&recovered) == [0, 1] {
            continue; // Only zeros were torn off.
        }
        cut += 1;
        assert_eq!(ids(&recovered), [0], "torn at {torn_at}");
        assert_eq!(recovered.vote, Some(vote(2)));
        append(&wal, vec![entry(3, 1, 5)]).unwrap();
        drop(wal);
        let (_wal, recovered) = open(&torn).unwrap();
        assert_eq!(ids(&recovered), [0, 1], "after going on at {torn_at}");
        assert_eq!(recovered.entries[1].0.id.term, 3);
    }
    assert!(cut > 50, "only {cut} cuts");
}

#[test]
fn a_last_frame_broken_at_any_byte_is_cut() {
    let path = segment_path(Path::new(FOLDER), 1);
    let (disk, start, end) = three_frames();
    for broken in start..end - 8 {
        let damaged = copy(&disk);
        damaged.corrupt(&path, broken);
        let (_wal, recovered) = open(&damaged).unwrap();
        assert_eq!(ids(&recovered), [0], "broken at {broken}");
    }
}

#[test]
fn damage_before_a_whole_frame_refuses_to_open() {
    let path = segment_path(Path::new(FOLDER), 1);
    let (disk, start, _) = three_frames();
    for broken in 0..start - 8 {
        let damaged = copy(&disk);
        damaged.corrupt(&path, broken);
        match open(&damaged) {
            Err(WalError::Corrupt { .. }) => {}
            // Reserved bytes of the header and padding of frames mean nothing.
            Ok((_, recovered)) => assert_eq!(ids(&recovered), [0, 1], "broken at {broken}"),
            Err(error) => panic!("{error} at {broken}"),
        }
    }
    let damaged = copy(&disk);
    damaged.corrupt(&path, HEADER_BYTES + FRAME_HEAD_BYTES);
    let error = open(&damaged).unwrap_err().to_string();
    assert!(error.contains("whole frame follows"), "{error}");
    assert!(error.contains("join as a new member"), "{error}");
}

#[test]
fn a_missing_or_broken_sealed_segment_refuses_to_open() {
    let disk = FaultyDisk::default();
    let (wal, _) = open(&disk).unwrap();
    for index in 0..60 {
        append(&wal, vec![entry(7, index, 400)]).unwrap();
    }
    drop(wal);
    let missing = copy(&disk);
    missing.remove(&segment_path(Path::new(FOLDER), 3)).unwrap();
    let error = open(&missing).unwrap_err();
    assert!(error.to_string().contains("are missing"), "{error}");
    let broken = copy(&disk);
    broken.zero_from(&segment_path(Path::new(FOLDER), 3), 2000);
    assert!(matches!(open(&broken), Err(WalError::Corrupt { .. })));
}

#[test]
fn after_a_failed_sync_nothing_is_answered_as_durable() {
    let disk = FaultyDisk::default();
    let (wal, _) = open(&disk).unwrap();
    append(&wal, vec![entry(1, 0, 10)]).unwrap();
    disk.fail_sync(3);
    assert!(append(&wal, vec![entry(1, 1, 10)]).is_err());
    // The next sync would succeed, and prove nothing about the pages the failed one dropped.
    assert!(append(&wal, vec![entry(1, 2, 10)]).is_err());
    assert!(save_vote(&wal, vote(5)).is_err());
}

#[test]
fn waiting_writes_share_one_sync() {
    let disk = FaultyDisk::default();
    let (wal, _) = open(&disk).unwrap();
    let before = disk.operations();
    let (answer, answered) = channel();
    for index in 0..500 {
        let answer = answer.clone();
        wal.submit(Write::Append {
            entries: vec![entry(1, index, 4)],
            done: Box::new(move |result| answer.send(result.is_ok()).unwrap()),
        });
    }
    for _ in 0..500 {
        assert!(answered.recv().unwrap());
    }
    assert!(
        disk.operations() - before < 1000,
        "one write and one sync for each"
    );
}

#[test]
fn bytes_on_disk_are_pinned() {
    let header = Header {
        number: 2,
        salt: 3,
        first_sequence: 4,
    };
    let mut operations = Vec::new();
    put_vote(&mut operations, vote(6));
    put_entry(&mut operations, &entry(7, 8, 2));
    put_truncate(&mut operations, Some(9));
    put_purge(&mut operations, LogIdV1 { term: 1, index: 2 });
    put_committed(&mut operations, LogIdV1 { term: 1, index: 1 });
    let hex = |bytes: &[u8]| {
        let hex = bytes.iter();
        hex.fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
    };
    assert_eq!(hex(&header.encode()), HEADER);
    assert_eq!(hex(&encode_frame(3, 4, &operations)), FRAME);
    assert_eq!(Header::decode(&header.encode()), Some(header));
}

const HEADER: &str = "647261766577616c010000000000000002000000000000000300000000000000\
                      0400000000000000035b4e5000000000";
const FRAME: &str = "4446524d590000000400000000000000370768ee000000000206000000000000000900\
                     000000000000010108000000000000000700000000000000020000001c6b10f4080803\
                     0109000000000000000401000000000000000200000000000000050100000000000000\
                     010000000000000000000000000000";
