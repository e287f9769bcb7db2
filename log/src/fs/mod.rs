//! The only door to files: what the log asks of a file system, and no more.
//!
//! Writing and syncing are separate calls and mean different things: bytes written are in the page
//! cache and die with the power; a name created, renamed or removed is durable only after
//! [`FileSystem::sync_dir`] of its folder. [`RealFs`] is the machine's; [`faulty::FaultyFs`] keeps
//! both worlds apart in memory so tests can cut the power between any two calls.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

pub mod faulty;
mod real;

pub use real::RealFs;

/// Ends the name of a file that is about to replace another.
pub(crate) const TMP: &str = "tmp";

pub trait FileSystem: Send + Sync + fmt::Debug {
    /// Opens for reading and writing; `NotFound` when absent.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Opens for reading only, so that a file of somebody else's may be looked at.
    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Opens an empty file for reading and writing, emptying one that is there.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// What a folder holds, in no particular order.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;
    /// Replaces `to` when it is a file.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes names created, renamed and removed directly in this folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes all there is on the file system this folder lies on durable, contents and names: where much
    /// was made at once it costs what a few syncs do.
    fn sync_all(&self, path: &Path) -> io::Result<()>;
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// The room on the file system a folder lies on.
    fn room(&self, path: &Path) -> io::Result<Room>;
    /// Takes the exclusive lock on a file, creating it; `WouldBlock` when another holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>>;
}

/// An open file. Positions are explicit, so one handle serves readers and the writer.
pub trait File: Send + Sync + fmt::Debug {
    /// May read less than asked; 0 at the end.
    fn read_at(&self, bytes: &mut [u8], position: u64) -> io::Result<usize>;
    /// May write less than asked.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize>;
    fn size(&self) -> io::Result<u64>;
    fn set_size(&self, size: u64) -> io::Result<()>;
    /// When it was last written, in milliseconds since 1970.
    fn modified_ms(&self) -> io::Result<i64>;
    fn set_modified_ms(&self, modified_ms: i64) -> io::Result<()>;
    /// Makes contents and size durable. An error is final: the kernel forgets which pages failed,
    /// so a second call may succeed without having written them.
    fn sync_data(&self) -> io::Result<()>;

    /// Reads what lies beyond `position` from the disk again, as far as nothing waits to be written
    /// there: after a sync that failed the cache holds bytes that the disk does not.
    fn read_anew(&self, position: u64) -> io::Result<()>;

    /// As `read_at`, but only what is in memory: `None` when it would have to wait for the disk.
    fn read_cached_at(&self, bytes: &mut [u8], position: u64) -> io::Result<Option<usize>> {
        self.read_at(bytes, position).map(Some)
    }

    /// For the kernel to read from by itself; `None` when this is no file of the machine's.
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Says that these bytes will not be read again soon, so that the memory they take may go to others.
    fn forget_cached(&self, _position: u64, _n: u64) {}

    /// Takes blocks for `n` bytes from `position` on, and leaves the size as it is; says how long that took. A file
    /// system that has no such thing refuses.
    fn take_blocks(&self, _position: u64, _n: u64) -> io::Result<Duration> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Makes the file `n` bytes long and takes the room for all of them, or fails.
    fn allocate(&self, n: u64) -> io::Result<()>;

    /// Appends `n` bytes of the file to `bytes`, or `UnexpectedEof`.
    fn append_to(&self, bytes: &mut Vec<u8>, position: u64, n: usize) -> io::Result<()> {
        let start = bytes.len();
        bytes.resize(start.saturating_add(n), 0);
        self.read_exact_at(bytes.get_mut(start..).unwrap_or_default(), position)
    }

    fn write_all_at(&self, mut bytes: &[u8], mut position: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_at(bytes, position) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    bytes = bytes.get(n..).unwrap_or_default();
                    position = position.saturating_add(to_u64(n));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Fills `bytes`, or `UnexpectedEof`.
    fn read_exact_at(&self, mut bytes: &mut [u8], mut position: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.read_at(bytes, position) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    bytes = bytes.get_mut(n..).unwrap_or_default();
                    position = position.saturating_add(to_u64(n));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Room for `n` bytes where a file system has no better way: written bytes take theirs.
fn allocate_by_writing(file: &dyn File, n: u64) -> io::Result<()> {
    const ZEROS: &[u8] = &[0; 64 * 1024];
    let mut position = 0;
    while position < n {
        let left = usize::try_from(n - position).unwrap_or(usize::MAX);
        let zeros = ZEROS.get(..left).unwrap_or(ZEROS);
        file.write_all_at(zeros, position)?;
        position += to_u64(zeros.len());
    }
    Ok(())
}

/// A file with the path errors call it by.
pub(crate) type NamedFile = (PathBuf, Arc<dyn File>);

/// How large a file system is, and what may still be written to it, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub total: u64,
    pub free: u64,
}

/// Held as long as the lock is; dropping it gives the lock back.
pub trait FileLock: Send + Sync + fmt::Debug {}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub kind: EntryKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    File { size: u64 },
    Folder,
}

/// The whole of a small file.
pub fn read_file(fs: &dyn FileSystem, path: &Path) -> io::Result<Vec<u8>> {
    let file = fs.open_to_read(path)?;
    let size = usize::try_from(file.size()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Replaces a small file so that any crash leaves the old or the new one, whole.
///
/// The new bytes are synced before the rename (else the name could point at an empty file), the
/// folder after it (else the rename itself could be lost).
pub fn replace_file(fs: &dyn FileSystem, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path
        .file_name()
        .ok_or(io::ErrorKind::InvalidFilename)?
        .to_owned();
    name.push(".");
    name.push(TMP);
    let tmp = path.with_file_name(name);
    let file = fs.create(&tmp)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()?;
    fs.rename(&tmp, path)?;
    fs.sync_dir(folder_of(path))
}

/// Creates a folder and those above it, durably: a folder whose name is lost takes all with it.
pub fn create_folder(fs: &dyn FileSystem, path: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    for folder in path.ancestors() {
        if folder.as_os_str().is_empty() || fs.exists(folder)? {
            break;
        }
        missing.push(folder);
    }
    fs.create_dir_all(path)?;
    for folder in missing.into_iter().rev() {
        fs.sync_dir(folder_of(folder))?;
    }
    Ok(())
}

/// Whether a name is that of a file [`replace_file`] did not finish.
pub(crate) fn is_half_replaced(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|it| it == TMP)
}

/// The folder a path lies in; "." for a bare name.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}

/// Whether an error says the disk (or the quota) is full: the one error that passes.
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Whether an error comes from a shortage that ends by itself: space, file handles, memory.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    let errno = Errno::from_io_error(error);
    is_full(error) || errno.is_some_and(|it| shortages.contains(&it))
}

/// Whether the device could not do what it was asked.
pub(crate) fn is_device_error(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::IO)
}

pub(crate) fn to_u64(n: usize) -> u64 {
    u64::try_from(n).expect("a length in memory fits 64 bits")
}
