//! The machine's files.
#![allow(
    clippy::disallowed_methods,
    reason = "this is the door the others are sent to"
)]

use std::fs;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use rustix::buffer::spare_capacity;
use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate, syncfs};
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2};

use crate::fs::{Entry, EntryKind, File, FileLock, FileSystem, Room, allocate_by_writing, to_u64};
use crate::planted::{Fault, is_planted};

/// At least as large as a page of any machine this runs on.
const PAGE_BYTES: u64 = 64 * 1024;

#[derive(Clone, Copy, Debug, Default)]
pub struct RealFs;

impl FileSystem for RealFs {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(RealFile(fs::File::open(path)?)))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            // Names of ours are ASCII; another's file is none of our business.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            // A file may go between listing and asking: then it is not there.
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let kind = if metadata.is_dir() {
                EntryKind::Folder
            } else {
                EntryKind::File {
                    size: metadata.len(),
                }
            };
            entries.push(Entry { name, kind });
        }
        Ok(entries)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if is_planted(Fault::NoFolderSync) {
            return Ok(());
        }
        fs::File::open(path)?.sync_all()
    }

    fn sync_all(&self, path: &Path) -> io::Result<()> {
        if is_planted(Fault::NoFolderSync) || is_planted(Fault::NoFileSync) {
            return Ok(());
        }
        Ok(syncfs(fs::File::open(path)?)?)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn room(&self, path: &Path) -> io::Result<Room> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(Room {
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        let mut options = fs::OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(RealLock { _file: file })),
            Err(fs::TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

#[derive(Debug)]
struct RealFile(fs::File);

impl File for RealFile {
    fn read_at(&self, bytes: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(bytes, position)
    }

    fn read_cached_at(&self, bytes: &mut [u8], position: u64) -> io::Result<Option<usize>> {
        let mut bytes = [IoSliceMut::new(bytes)];
        match preadv2(&self.0, &mut bytes, position, ReadWriteFlags::NOWAIT) {
            Ok(n) => Ok(Some(n)),
            // A file system that cannot tell is one that may have to wait.
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn forget_cached(&self, position: u64, n: u64) {
        // Advice: one who does not take it only keeps the memory.
        let _ = fadvise(&self.0, position, NonZeroU64::new(n), Advice::DontNeed);
    }

    fn allocate(&self, n: u64) -> io::Result<()> {
        match fallocate(&self.0, FallocateFlags::empty(), 0, n) {
            Ok(()) => Ok(()),
            // A file system that cannot: written bytes take their room too.
            Err(Errno::OPNOTSUPP) => allocate_by_writing(self, n),
            Err(error) => Err(error.into()),
        }
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "what is timed is the disk, and this is its door"
    )]
    fn take_blocks(&self, position: u64, n: u64) -> io::Result<Duration> {
        let begun = Instant::now();
        fallocate(&self.0, FallocateFlags::KEEP_SIZE, position, n)?;
        Ok(begun.elapsed())
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    /// Into memory as it comes: clearing it first would cost as much as reading.
    fn append_to(&self, bytes: &mut Vec<u8>, position: u64, n: usize) -> io::Result<()> {
        let start = bytes.len();
        let end = start.saturating_add(n);
        bytes.reserve_exact(n);
        while bytes.len() < end {
            let position = position.saturating_add(to_u64(bytes.len() - start));
            match pread(&self.0, spare_capacity(bytes), position) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        bytes.truncate(end);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        self.0.write_at(bytes, position)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    fn modified_ms(&self) -> io::Result<i64> {
        let modified = self.0.metadata()?.modified()?;
        // Before 1970 is as old as 1970: nothing that lives is.
        let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn set_modified_ms(&self, modified_ms: i64) -> io::Result<()> {
        let since = Duration::from_millis(modified_ms.max(0).unsigned_abs());
        self.0.set_modified(UNIX_EPOCH + since)
    }

    fn read_anew(&self, position: u64) -> io::Result<()> {
        // Of a page that is dropped only in part, nothing is.
        let whole_pages = position - position % PAGE_BYTES;
        Ok(fadvise(&self.0, whole_pages, None, Advice::DontNeed)?)
    }

    fn sync_data(&self) -> io::Result<()> {
        if is_planted(Fault::NoFileSync) {
            return Ok(());
        }
        self.0.sync_data()
    }
}

/// The kernel drops the lock with the file, and with the process however it dies.
#[derive(Debug)]
struct RealLock {
    _file: fs::File,
}

impl FileLock for RealLock {}
