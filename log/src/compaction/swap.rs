//! Putting a rewritten segment in the place of its sources.
//!
//! ```text
//! cleaned/<base>.log .index .timeindex     being written; means nothing
//! <base>.index.swap .timeindex.swap        durable, and mean nothing without:
//! <base>.log.swap                          durable: from here on the segment is the log
//! (sources gone, indexes under their own names)
//! <base>.log                               done
//! ```
//! Each line is durable before the next begins, so opening a log after any crash finds the sources
//! whole, or the new segment whole and finishes what was begun. The names are Kafka's, which does the
//! same. A rewritten segment ends with the last batch of its sources: so its own last offset says which
//! they were.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drave_protocol::ids::Offset;

use crate::compaction::source::{BatchReader, Source};
use crate::compaction::{CompactionError, FullSpeed};
use crate::error::{During, LogError};
use crate::fs::{Entry, EntryKind, FileSystem};
use crate::listing::Listing;
use crate::segment::{base_offset_of, log_path};
use crate::transaction_index::TRANSACTIONS;

const FOLDER: &str = "cleaned";
const SWAP: &str = ".swap";
/// What belongs to a segment besides its log.
const COMPANIONS: [&str; 3] = ["index", "timeindex", TRANSACTIONS];

/// Where segments are written.
pub(crate) fn folder(dir: &Path) -> PathBuf {
    dir.join(FOLDER)
}

/// Makes an empty folder for what will be written. Under the log's lock: of a log that is being
/// deleted it would bring the folder back.
pub(crate) fn begin(fs: &dyn FileSystem, dir: &Path) -> Result<(), LogError> {
    discard(fs, dir)?;
    fs.create_dir_all(&folder(dir)).during("create", dir)
}

/// Removes what was written and not swapped in.
pub(crate) fn discard(fs: &dyn FileSystem, dir: &Path) -> Result<(), LogError> {
    let folder = folder(dir);
    if fs.exists(&folder).during("look for", &folder)? {
        fs.remove_dir_all(&folder).during("remove", &folder)?;
    }
    Ok(())
}

/// Brings the indexes of a segment that is whole and synced to where the swap finds them.
pub(crate) fn stage(fs: &dyn FileSystem, dir: &Path, base: Offset) -> Result<(), LogError> {
    let from = log_path(&folder(dir), base);
    for extension in COMPANIONS {
        let to = swap_path(&log_path(dir, base).with_extension(extension));
        rename_if_there(fs, &from.with_extension(extension), &to)?;
    }
    sync(fs, dir)
}

/// Swaps a staged segment in for those that start at `bases`. On an error the log is in between: only
/// opening it anew settles that.
pub(crate) fn run(fs: &dyn FileSystem, dir: &Path, bases: &[Offset]) -> Result<(), LogError> {
    let [base, others @ ..] = bases else {
        return Ok(());
    };
    let from = log_path(&folder(dir), *base);
    let to = swap_path(&log_path(dir, *base));
    fs.rename(&from, &to).during("rename", &from)?;
    sync(fs, dir)?;
    finish(fs, dir, *base, others)
}

fn finish(
    fs: &dyn FileSystem,
    dir: &Path,
    base: Offset,
    others: &[Offset],
) -> Result<(), LogError> {
    for other in others {
        let log = log_path(dir, *other);
        for path in [log.clone()]
            .into_iter()
            .chain(COMPANIONS.map(|it| log.with_extension(it)))
        {
            remove_if_there(fs, &path)?;
        }
    }
    let log = log_path(dir, base);
    for extension in COMPANIONS {
        let path = log.with_extension(extension);
        let staged = swap_path(&path);
        if extension == TRANSACTIONS && is_empty(fs, &staged)? {
            // No transaction is left, and a segment without any has no file.
            remove_if_there(fs, &path)?;
            remove_if_there(fs, &staged)?;
        }
        rename_if_there(fs, &staged, &path)?;
    }
    sync(fs, dir)?;
    fs.rename(&swap_path(&log), &log).during("rename", &log)?;
    sync(fs, dir)
}

/// Whether a folder with these entries holds more or less than its segments.
pub(crate) fn is_unfinished(listing: &Listing) -> bool {
    listing.entries().any(|(name, kind)| match kind {
        EntryKind::Folder => name == FOLDER,
        EntryKind::File { .. } => name.ends_with(SWAP),
    })
}

/// Finishes or undoes what a crash left; before the folder's segments are looked for.
pub(crate) fn recover(fs: &Arc<dyn FileSystem>, dir: &Path) -> Result<(), LogError> {
    discard(fs.as_ref(), dir)?;
    let entries = fs.list(dir).during("list", dir)?;
    for Entry { name, kind } in &entries {
        let EntryKind::File { size } = kind else {
            continue;
        };
        let Some(base) = name.strip_suffix(SWAP).and_then(base_offset_of) else {
            continue;
        };
        let end = end_of(fs, dir, base, *size)?;
        let bases = entries.iter().filter_map(|it| base_offset_of(&it.name));
        let others: Vec<Offset> = bases.filter(|it| *it > base && *it < end).collect();
        finish(fs.as_ref(), dir, base, &others)?;
    }
    // Indexes whose log was never swapped in.
    for Entry { name, .. } in fs.list(dir).during("list", dir)? {
        if name.ends_with(SWAP) {
            remove_if_there(fs.as_ref(), &dir.join(name))?;
        }
    }
    Ok(())
}

/// Where a segment that waits to be swapped in ends.
fn end_of(
    fs: &Arc<dyn FileSystem>,
    dir: &Path,
    base: Offset,
    size: u64,
) -> Result<Offset, LogError> {
    let path = swap_path(&log_path(dir, base));
    let file = fs.open(&path).during("open", &path)?;
    let source = Source {
        path,
        base_offset: base,
        next_offset: base,
        size,
    };
    let mut reader = BatchReader::new(&source, file);
    let mut end = base;
    loop {
        match reader.next_batch(&mut FullSpeed) {
            Ok(Some(batch)) => end = batch.header.next_offset(),
            Ok(None) | Err(CompactionError::Stopped) => return Ok(end),
            Err(CompactionError::Storage(error)) => return Err(error),
            Err(CompactionError::Unreadable { .. } | CompactionError::Gone) => {
                unreachable!("the file is open, and its records are not looked at")
            }
        }
    }
}

fn swap_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(SWAP);
    name.into()
}

fn sync(fs: &dyn FileSystem, dir: &Path) -> Result<(), LogError> {
    fs.sync_dir(dir).during("sync", dir)
}

fn is_empty(fs: &dyn FileSystem, path: &Path) -> Result<bool, LogError> {
    match fs.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        opened => Ok(opened.and_then(|it| it.size()).during("open", path)? == 0),
    }
}

fn rename_if_there(fs: &dyn FileSystem, from: &Path, to: &Path) -> Result<(), LogError> {
    match fs.rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.during("rename", from),
    }
}

fn remove_if_there(fs: &dyn FileSystem, path: &Path) -> Result<(), LogError> {
    match fs.remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.during("remove", path),
    }
}
