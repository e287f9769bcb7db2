//! The small text files of a log and its directory.

use std::path::Path;

use crate::checkpoint;
use crate::error::{During, LogError};
use crate::fs::FileSystem;

/// No small file of ours comes near; a larger one is something else.
const SMALL_BYTES_MAX: u64 = 64 << 20;

/// The facts of a checkpoint file; none when there is no such file.
pub fn checkpoint(fs: &dyn FileSystem, path: &Path) -> Result<Vec<String>, LogError> {
    refuse_large(fs, path)?;
    Ok(checkpoint::read(fs, path)?.unwrap_or_default())
}

/// The lines of any text file.
pub fn lines(fs: &dyn FileSystem, path: &Path) -> Result<Vec<String>, LogError> {
    let bytes = small_file(fs, path)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().map(str::to_owned).collect())
}

/// A file that is held whole.
pub(super) fn small_file(fs: &dyn FileSystem, path: &Path) -> Result<Vec<u8>, LogError> {
    refuse_large(fs, path)?;
    crate::fs::read_file(fs, path).during("read", path)
}

fn refuse_large(fs: &dyn FileSystem, path: &Path) -> Result<(), LogError> {
    if !fs.exists(path).during("look for", path)? {
        return Ok(());
    }
    let file = fs.open_to_read(path).during("open", path)?;
    if file.size().during("look at", path)? <= SMALL_BYTES_MAX {
        return Ok(());
    }
    Err(LogError::BadFile {
        path: path.to_owned(),
        line: 1,
        fault: "more than 64 MiB are no small file of a log",
    })
}
