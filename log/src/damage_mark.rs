//! `damage`: a note in a log's folder that its bytes were found not to be what was written.
//!
//! Below the recovery point nothing is read again when a log is opened, so without the note a restart
//! would serve what was found corrupt before.

use std::path::{Path, PathBuf};

use crate::error::{During, LogError};
use crate::fs::{self, FileSystem};
use crate::listing::Listing;

const FILE_NAME: &str = "damage";

fn path_in(dir: &Path) -> PathBuf {
    dir.join(FILE_NAME)
}

/// Refuses a folder that carries the note.
pub(crate) fn check(fs: &dyn FileSystem, dir: &Path, listing: &Listing) -> Result<(), LogError> {
    if !listing.has(FILE_NAME) {
        return Ok(());
    }
    let mark = path_in(dir);
    let bytes = fs::read_file(fs, &mark).during("read", &mark)?;
    let what = String::from_utf8_lossy(&bytes).trim_end().to_owned();
    Err(LogError::MarkedCorrupt { what, mark })
}

/// Notes, durably, what was found. What was noted first stays.
pub(crate) fn write(fs: &dyn FileSystem, dir: &Path, what: &str) -> Result<(), LogError> {
    let mark = path_in(dir);
    if fs.exists(&mark).during("look for", &mark)? {
        return Ok(());
    }
    fs::replace_file(fs, &mark, format!("{what}\n").as_bytes()).during("replace", &mark)
}
