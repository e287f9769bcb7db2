//! `.reserve`: room that is kept free of records, for what must be written when a disk is full.
//!
//! A full disk must not keep a node from noting that it truncates a log, that another leads, or how far
//! it got: small files, without which it could neither go on nor be stopped well. The room is given up
//! when an append finds none, and taken again before records may use what was freed.

use std::io;
use std::path::Path;

use crate::error::{During, LogError};
use crate::fs::FileSystem;

const FILE_NAME: &str = ".reserve";

/// Holds room for `n_bytes` if `beside` bytes stay free; returns whether it does.
pub(crate) fn hold(
    fs: &dyn FileSystem,
    dir: &Path,
    n_bytes: u64,
    beside: u64,
) -> Result<bool, LogError> {
    let path = dir.join(FILE_NAME);
    let free = fs.room(dir).during("measure", dir)?.free;
    let held = fs.open(&path).and_then(|it| it.size()).unwrap_or(0);
    if held == n_bytes {
        return Ok(free >= beside);
    }
    // First looked, then taken: room that is held for a moment only could be what others need.
    if free.saturating_add(held) < n_bytes.saturating_add(beside) {
        return Ok(false);
    }
    let file = fs.create(&path).during("create", &path)?;
    if let Err(error) = file.allocate(n_bytes) {
        give_up(fs, dir)?;
        return Err(error).during("allocate", &path);
    }
    Ok(true)
}

pub(crate) fn give_up(fs: &dyn FileSystem, dir: &Path) -> Result<(), LogError> {
    let path = dir.join(FILE_NAME);
    match fs.remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.during("remove", &path),
    }
}
