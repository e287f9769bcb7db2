//! The door to files for the write-ahead log and snapshots: a real one, and for tests one that
//! forgets what was not synced.
//!
//! Invariants every form keeps: a write is durable only after the file's `sync_data`; a created,
//! renamed or removed name is durable only after the folder's `sync_dir`.

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(test)]
pub(crate) mod faulty;
mod real;

pub(crate) use real::RealDisk;

pub(crate) trait Disk: Send + Sync + Debug {
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Names of the entries of a folder, sorted.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// A new empty file, open for reading and writing; replaces one of that name.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// An existing file, open for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
}

pub(crate) trait DiskFile: Send + Sync + Debug {
    fn len(&self) -> io::Result<u64>;
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Fills `into` whole, or fails.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()>;
    /// Everything written before is durable when this returns, the length included.
    fn sync_data(&self) -> io::Result<()>;
}

pub(crate) fn read_whole(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let length = usize::try_from(file.len()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Puts a whole file in place so that a crash leaves the old one or the new one, never a mixture:
/// the bytes are durable before they get the name, the name before this returns.
pub(crate) fn replace_file(
    disk: &dyn Disk,
    folder: &Path,
    name: &str,
    parts: &[&[u8]],
) -> io::Result<PathBuf> {
    let path = folder.join(name);
    let temporary = folder.join(format!("{name}.tmp"));
    if let Err(error) = write_new(disk, &temporary, parts) {
        // On a full disk its half would keep the next try from its room. It has no name that counts.
        drop(disk.remove(&temporary));
        return Err(error);
    }
    disk.rename(&temporary, &path)?;
    disk.sync_dir(folder)?;
    Ok(path)
}

fn write_new(disk: &dyn Disk, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let file = disk.create(path)?;
    let mut offset = 0;
    for part in parts {
        file.write_at(part, offset)?;
        offset += u64::try_from(part.len()).map_err(io::Error::other)?;
    }
    file.sync_data()
}
