//! `drave log verify`: what does not hold, by file and byte.

use std::path::Path;
use std::thread;
use std::time::Duration;

use drave_log::LogError;
use drave_log::fs::RealFs;
use drave_log::inspect::check::Flaw;
use drave_log::inspect::place::{PartitionFolder, Place};
use drave_log::inspect::verify::{self, Holes, Verified};
use serde_json::{Value, json};

use crate::cli::Exit;
use crate::cli::log::Verify;
use crate::cli::output::{self, Format};

/// Longer than any write takes: what is wrong before and after it is not being written just now.
const SECOND_LOOK_AFTER: Duration = Duration::from_millis(300);

impl Verify {
    pub(super) fn run(self, format: Format) -> anyhow::Result<Exit> {
        let holes = if self.allow_holes {
            Holes::Anywhere
        } else {
            Holes::WhereMarked
        };
        let mut told = Vec::new();
        let mut exit = Exit::Done;
        for folder in folders(&self.path)? {
            let verified = look_twice(&folder, holes)?;
            if !verified.is_flawless() {
                exit = Exit::Failed;
            }
            match format {
                Format::Table => say(&folder.path, &verified),
                Format::Json => told.push(as_json(&folder.path, &verified)),
            }
        }
        if format == Format::Json {
            let ok = exit == Exit::Done;
            output::say_json(&json!({ "ok": ok, "partitions": told }));
        }
        Ok(exit)
    }
}

/// The partitions a path means; of one file, its segment alone.
pub(super) fn folders(path: &Path) -> Result<Vec<PartitionFolder>, LogError> {
    Ok(match Place::of(&RealFs, path)? {
        Place::File(file) => vec![PartitionFolder::around(&RealFs, &file)?],
        Place::Partition(folder) => vec![folder],
        Place::Directory { partitions, .. } => partitions,
    })
}

/// A log that is written to changes under the eyes: only what is wrong twice is wrong.
fn look_twice(folder: &PartitionFolder, holes: Holes) -> Result<Verified, LogError> {
    let first = verify::partition(&RealFs, folder, holes)?;
    if first.is_flawless() {
        return Ok(first);
    }
    thread::sleep(SECOND_LOOK_AFTER);
    let folder = folder.listed_again(&RealFs)?;
    let second = verify::partition(&RealFs, &folder, holes)?;
    Ok(second.confirming(&first))
}

fn say(path: &Path, verified: &Verified) {
    let Verified {
        n_segments,
        n_batches,
        n_records,
        n_bytes,
        flaws,
    } = verified;
    let n_flaws = flaws.n_not_kept + flaws.found.iter().map(|_| 1).sum::<u64>();
    let verdict = match n_flaws {
        0 => "ok".to_owned(),
        1 => "1 flaw".to_owned(),
        n => format!("{n} flaws"),
    };
    output::say(&format!(
        "{}: {verdict}  ({n_segments} segments, {n_batches} batches, {n_records} records, \
         {n_bytes} bytes)",
        path.display()
    ));
    for flaw in &flaws.found {
        output::say(&format!("  {flaw}"));
    }
    if flaws.n_not_kept > 0 {
        output::say(&format!("  and {} more", flaws.n_not_kept));
    }
}

fn as_json(path: &Path, verified: &Verified) -> Value {
    let flaw = |it: &Flaw| {
        json!({
            "file": it.file.display().to_string(),
            "position": it.position,
            "of": it.wrong.of(),
            "fault": it.wrong.to_string(),
        })
    };
    json!({
        "path": path.display().to_string(),
        "segments": verified.n_segments,
        "batches": verified.n_batches,
        "records": verified.n_records,
        "bytes": verified.n_bytes,
        "flaws": verified.flaws.found.iter().map(flaw).collect::<Vec<Value>>(),
        "flaws_not_listed": verified.flaws.n_not_kept,
    })
}
