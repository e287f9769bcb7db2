//! Bytes that rotted are found; bytes that did not are not suspected.

use drave_log::error::Corruption;
use drave_log::fs::FileSystem;
use drave_log::{LogError, PartitionLog, ScrubFrom, Trouble};
use drave_protocol::ids::Offset;

use crate::support::*;

const PART_BYTES: usize = 300;

/// Looks at all that is durable; returns how many bytes it saw.
fn scrub(log: &PartitionLog) -> Result<u64, LogError> {
    let (mut from, mut seen) = (ScrubFrom::Within(Offset::ZERO), 0);
    while let Some(part) = log.scrub_part(from, log.recovery_point(), PART_BYTES)? {
        let scrubbed = part.check()?;
        assert!(scrubbed.next > from.offset(), "it goes on");
        from = ScrubFrom::Boundary(scrubbed.next);
        seen += scrubbed.bytes;
    }
    Ok(seen)
}

fn filled(fs: &drave_log::fs::faulty::FaultyFs) -> PartitionLog {
    let mut log = open(fs);
    for _ in 0..12 {
        append(&mut log, 3);
    }
    log.flush().unwrap();
    log
}

#[test]
fn a_log_as_it_was_written_passes_whole() {
    let fs = disk();
    let mut log = filled(&fs);
    let durable = log.size_bytes();
    assert_eq!(scrub(&log).unwrap(), durable);
    append(&mut log, 3);
    assert_eq!(
        scrub(&log).unwrap(),
        durable,
        "what is not durable yet waits"
    );
}

#[test]
fn every_flipped_byte_is_found_with_its_file() {
    let fs = disk();
    let mut log = filled(&fs);
    log.flush().unwrap();
    let mut n_segments = 0;
    for entry in fs.list(&dir()).unwrap() {
        if !entry.name.ends_with(".log") {
            continue;
        }
        n_segments += 1;
        let path = dir().join(&entry.name);
        let size = fs.open(&path).unwrap().size().unwrap();
        for position in 0..size {
            fs.flip_bit(&path, position);
            let found = scrub(&log);
            fs.flip_bit(&path, position);
            match found {
                Err(error @ LogError::Corrupt(_)) => {
                    assert_eq!(error.trouble(), Trouble::Damage);
                    let LogError::Corrupt(Corruption { file, .. }) = error else {
                        unreachable!()
                    };
                    assert_eq!(file, path, "byte {position}");
                }
                // The epoch of a batch is outside its checksum; one that rises is not told from another.
                Ok(_) => assert!(is_in_an_epoch(&fs, &path, position), "byte {position}"),
                Err(other) => panic!("byte {position}: {other}"),
            }
        }
    }
    assert!(n_segments > 2);
    scrub(&log).unwrap();
}

/// Whether a byte of a segment belongs to the epoch field of a batch.
fn is_in_an_epoch(
    fs: &drave_log::fs::faulty::FaultyFs,
    path: &std::path::Path,
    position: u64,
) -> bool {
    let bytes = drave_log::fs::read_file(fs, path).unwrap();
    drave_protocol::record::batch::iter(&bytes).any(|found| {
        let start = u64::try_from(found.unwrap().0).unwrap();
        (start + 12..start + 16).contains(&position)
    })
}

#[test]
fn a_part_that_was_cut_meanwhile_is_a_suspicion_only() {
    let fs = disk();
    let mut log = filled(&fs);
    let at = ScrubFrom::Boundary(Offset(27));
    let part = log
        .scrub_part(at, log.recovery_point(), PART_BYTES)
        .unwrap()
        .unwrap();
    log.truncate_to(Offset(27)).unwrap();
    assert!(part.check().is_err());
    let again = log.scrub_part(at, log.recovery_point(), PART_BYTES);
    assert!(
        again.unwrap().is_none(),
        "a second look finds nothing wrong"
    );
    scrub(&log).unwrap();
}

#[test]
fn what_was_deleted_is_not_looked_for() {
    let fs = disk();
    let mut log = filled(&fs);
    log.advance_log_start_offset(Offset(16)).unwrap();
    assert!(scrub(&log).unwrap() > 0);
}
