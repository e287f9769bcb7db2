//! What holds of every log at every moment, whatever befell it: the promises of the log among the
//! invariants of replication, asked from outside.

use drave_log::ReadError;
use drave_log::fs::faulty::FaultyFs;
use drave_log::inspect::check::{Flaw, Wrong};
use drave_log::inspect::place::{FileKind, PartitionFolder};
use drave_log::inspect::producers;
use drave_log::inspect::verify::{self, Holes};
use drave_protocol::ids::Offset;
use drave_protocol::record::batch;

use crate::life::Living;
use crate::support::dir;

pub(crate) fn check(living: &Living, fs: &FaultyFs) -> Result<(), String> {
    bounds(living)?;
    epochs(living)?;
    start(living)?;
    files(living, fs)
}

/// What is committed can never be more than what is there, nor what is durable.
fn bounds(living: &Living) -> Result<(), String> {
    let log = &living.log;
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    let durable = log.recovery_point();
    if start > end || durable > end {
        return Err(format!("start {start}, durable {durable}, end {end}"));
    }
    Ok(())
}

/// Epochs and their starts rise strictly, and batches are of the epoch they lie in.
fn epochs(living: &Living) -> Result<(), String> {
    let log = &living.log;
    let entries = log.leader_epochs().entries();
    let rise = entries.is_sorted_by(|a, b| a.epoch < b.epoch && a.start_offset < b.start_offset);
    if !rise {
        return Err(format!("epochs do not rise: {entries:?}"));
    }
    for stored in living.contents()? {
        // `None`: forgotten, when the log start rose but its checkpoint was not written.
        let known = log.leader_epochs().epoch_at(Offset(stored.base));
        if known.is_some_and(|known| known.0 != stored.epoch) {
            return Err(format!(
                "{known:?} wrote {}, not {}",
                stored.base, stored.epoch
            ));
        }
        if !batch::verify_crc(&stored.bytes) {
            return Err(format!("the batch at {} is torn", stored.base));
        }
    }
    Ok(())
}

/// Whoever asks for what is gone is told so.
fn start(living: &Living) -> Result<(), String> {
    let log = &living.log;
    let start = log.log_start_offset();
    let below = log.read(start + -1, log.log_end_offset(), 1_000);
    match below {
        Err(ReadError::OffsetOutOfRange { .. }) => Ok(()),
        other => Err(format!("below the start {start} a read gives {other:?}")),
    }
}

/// The files are what they must be, and nothing lies about that belongs to nobody.
fn files(living: &Living, fs: &FaultyFs) -> Result<(), String> {
    let folder = PartitionFolder::list(fs, &dir()).map_err(|error| error.to_string())?;
    let verified = verify::partition(fs, &folder, Holes::WhereMarked);
    let verified = verified.map_err(|error| error.to_string())?;
    // Snapshots are a cache that is written without a sync: one may be torn, none may be wrong.
    let is_torn = |it: &&Flaw| matches!(it.wrong, Wrong::Producers(producers::Wrong::Snapshot(_)));
    if let Some(flaw) = verified.flaws.found.iter().find(|it| !is_torn(it)) {
        return Err(flaw.to_string());
    }
    if verified.n_bytes != living.log.size_bytes() {
        let (files, known) = (verified.n_bytes, living.log.size_bytes());
        return Err(format!(
            "the files hold {files} bytes, the log knows {known}"
        ));
    }
    let stray = folder
        .files
        .iter()
        .find(|it| it.kind == FileKind::Other && it.name != "offset-holes-allowed");
    match stray {
        Some(stray) => Err(format!("{} belongs to nobody", stray.name)),
        None => Ok(()),
    }
}
