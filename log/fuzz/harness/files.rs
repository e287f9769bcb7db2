//! Files as a disk may give them back.

use drave_log::LogError;
use drave_log::PartitionLog;
use drave_log::producer_state::ProducerStates;
use drave_protocol::ids::Offset;
use drave_protocol::record::batch::{self, BatchHeader};

use super::edits;
use super::sample::{NOW, Sample, dir, disk_of, open, read_all, write};

/// Of the index of each segment the log is independent: every offset is found, whatever it holds.
pub(crate) fn offset_index(data: &[u8]) {
    let Some(log) = with_one_file(".index", data) else {
        return;
    };
    let sample = Sample::get();
    assert_eq!(
        read_all(&log).expect("no index stops a reader"),
        sample.batches
    );
    for batch in &sample.batches {
        let header = BatchHeader::parse(batch).expect("it is our own");
        let last = header.last_offset();
        let found = log.read(last, sample.end, 1).expect("it is there");
        let found = BatchHeader::parse(&found).expect("a batch");
        assert_eq!(found.base_offset, header.base_offset);
    }
}

/// A damaged time index may hide a record; what is found is there, and late enough.
pub(crate) fn time_index(data: &[u8]) {
    let Some(log) = with_one_file(".timeindex", data) else {
        return;
    };
    assert_eq!(
        read_all(&log).expect("no index stops a reader"),
        Sample::get().batches
    );
    for time in (NOW - 1..NOW + 130).step_by(7) {
        let found = log.offset_for_timestamp(time).expect("a disk that works");
        assert!(found.is_none_or(|it| it.timestamp_ms >= time && it.offset < log.log_end_offset()));
    }
    let _ = log.max_timestamp().expect("a disk that works");
}

/// Of a transaction whose first records are gone, the index is all there is: what is wrong in it is said,
/// not read around.
pub(crate) fn transaction_index(data: &[u8]) {
    let log = match opened_with_one_file(".txnindex", data) {
        None => return,
        Some(Err(LogError::BadFile { path, .. })) => {
            assert_eq!(path.extension().expect("an index"), "txnindex");
            return;
        }
        Some(opened) => opened.expect("a disk that works"),
    };
    assert_eq!(
        read_all(&log).expect("no index stops a reader"),
        Sample::get().batches
    );
    let _ = log.aborted_transactions(Offset::ZERO, log.log_end_offset());
}

/// A snapshot reads back as what it was written from, and none stops a log from opening.
pub(crate) fn producer_snapshot(data: &[u8]) {
    if let Some(content) = data.get(2..)
        && let Ok(states) = ProducerStates::from_snapshot(content, 5)
    {
        let written = states.to_snapshot();
        let again = ProducerStates::from_snapshot(&written, 5).expect("it is our own");
        assert_eq!(again.to_snapshot(), written);
    }
    if let Some(log) = with_one_file(".snapshot", data) {
        assert_eq!(
            read_all(&log).expect("no snapshot stops a reader"),
            Sample::get().batches
        );
    }
}

/// The sample's log with other bytes in one file that can be made anew.
fn with_one_file(ending: &str, data: &[u8]) -> Option<PartitionLog> {
    let opened = opened_with_one_file(ending, data)?;
    Some(opened.expect("what can be made anew stops nobody"))
}

/// The sample's log with other bytes in one file. The first byte says in which, the second whether the
/// files are trusted.
fn opened_with_one_file(ending: &str, data: &[u8]) -> Option<Result<PartitionLog, LogError>> {
    let [which, trusted, content @ ..] = data else {
        return None;
    };
    let sample = Sample::get();
    let names = sample.names(ending);
    let name = names[usize::from(*which) % names.len()];
    let fs = disk_of(&sample.files);
    write(&fs, &dir().join(name), content);
    let recovery_point = if trusted % 2 == 1 {
        sample.end
    } else {
        Offset::ZERO
    };
    let opened = open(&fs, recovery_point);
    if let Ok(log) = &opened {
        assert_eq!(log.log_end_offset(), sample.end);
    }
    Some(opened)
}

/// Opens the sample's log after changes to its files. The first byte says whether they are trusted.
/// When they are not, what opens holds only batches that were written, and opens again unchanged.
pub(crate) fn recovery(data: &[u8]) {
    let Some((trusted, changes)) = data.split_first() else {
        return;
    };
    let sample = Sample::get();
    let mut files = sample.files.clone();
    edits::apply(&mut files, changes);
    let fs = disk_of(&files);
    let is_trusted = trusted % 2 == 1;
    let recovery_point = if is_trusted { sample.end } else { Offset::ZERO };
    let Ok(log) = open(&fs, recovery_point) else {
        return;
    };
    assert!(log.log_start_offset() <= log.log_end_offset());
    if is_trusted {
        return;
    }
    let batches = read_all(&log).expect("what was recovered is read");
    for found in &batches {
        assert!(batch::verify_crc(found));
        let checked = &found[21..];
        let is_ours = sample.batches.iter().any(|it| &it[21..] == checked);
        assert!(is_ours, "recovery made up a batch");
    }
    let end = log.log_end_offset();
    drop(log);
    let again = open(&fs, end).expect("what was recovered opens");
    assert_eq!(again.log_end_offset(), end);
    assert_eq!(
        read_all(&again).expect("what was recovered is read"),
        batches
    );
}
