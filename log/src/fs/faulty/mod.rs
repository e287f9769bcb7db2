//! A file system in memory that can lose power, for tests of every crate above.
//!
//! Two worlds: what programs see (the page cache) and what the disk holds. Writes and truncations
//! reach the disk on [`File::sync_data`], names on [`FileSystem::sync_dir`] — and, at a crash, by
//! chance: each dirty block and each pending name change may or may not have made it, so a batch
//! larger than a block can tear and a file can come back longer, shorter or with holes.
//!
//! A [`FaultyFs`] is a handle: clones share the world. [`FaultyFs::crash`] cuts the power;
//! [`FaultyFs::stop_after`] makes every call after the n-th change fail, so that a test can cut the
//! power at each step of a program's life.

mod coin;
mod disk;
mod names;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::fs::faulty::coin::Coin;
use crate::fs::faulty::disk::{Inode, InodeId};
use crate::fs::faulty::names::{Names, Node};
use crate::fs::{
    Entry, EntryKind, File, FileLock, FileSystem, Room, allocate_by_writing, folder_of, to_u64,
};
use crate::planted::{Fault, is_planted};

/// What a crash takes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashLoss {
    /// The process died, the machine did not: the page cache stays.
    Nothing,
    /// Everything not synced.
    EverythingUnsynced,
    /// Each dirty block and pending name by the toss of a coin.
    ByChance { seed: u64 },
}

/// What befalls one change; those after it go on as if nothing had been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It fails with EIO. Of a write the first half was done; of a sync the dirty pages are
    /// forgotten, as Linux does: a later one succeeds without having written them.
    IoError,
    /// No space is left from here on, until [`FaultyFs::set_capacity`] gives some.
    FullDisk,
}

/// How often what costs most was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    pub lists: u32,
    pub opens: u32,
    pub syncs: u32,
}

#[derive(Clone, Debug)]
pub struct FaultyFs {
    world: Arc<Mutex<World>>,
}

#[derive(Debug)]
struct World {
    inodes: Vec<Inode>,
    names: Names,
    locked: BTreeSet<PathBuf>,
    /// Rises with each crash: handles from before are dead.
    life: u64,
    n_changes: u64,
    n_bytes_read: u64,
    calls: Calls,
    stop_after: Option<u64>,
    trouble: Option<(u64, Trouble)>,
    capacity_bytes: u64,
    fail_syncs: u32,
    now_ms: i64,
    /// Each open file holds one more.
    open_files: Arc<()>,
}

impl Default for FaultyFs {
    fn default() -> Self {
        Self::new()
    }
}

impl FaultyFs {
    /// A disk without limits, with blocks of 64 bytes: smaller than any batch, so batches can tear.
    pub fn new() -> Self {
        let world = World {
            inodes: Vec::new(),
            names: Names::new(),
            locked: BTreeSet::new(),
            life: 0,
            n_changes: 0,
            n_bytes_read: 0,
            calls: Calls::default(),
            stop_after: None,
            trouble: None,
            capacity_bytes: u64::MAX,
            fail_syncs: 0,
            now_ms: 0,
            open_files: Arc::new(()),
        };
        Self {
            world: Arc::new(Mutex::new(world)),
        }
    }

    /// Cuts the power (or kills the process) and starts the machine again.
    pub fn crash(&self, loss: CrashLoss) {
        let mut world = self.world();
        let mut coin = Coin::of(loss);
        for inode in &mut world.inodes {
            inode.crash(&mut coin);
        }
        world.names.crash(&mut coin);
        world.locked.clear();
        world.life += 1;
        world.stop_after = None;
        world.trouble = None;
        world.n_changes = 0;
    }

    /// How many changes (writes, syncs, renames, …) were asked for since the last crash.
    pub fn n_changes(&self) -> u64 {
        self.world().n_changes
    }

    /// Bytes all files together gave so far.
    pub fn n_bytes_read(&self) -> u64 {
        self.world().n_bytes_read
    }

    /// What was asked for since this was asked last.
    pub fn take_calls(&self) -> Calls {
        std::mem::take(&mut self.world().calls)
    }

    /// Lets `n` more changes happen; every call after them fails, as on a machine that is off.
    pub fn stop_after(&self, n: u64) {
        let mut world = self.world();
        world.stop_after = Some(world.n_changes.saturating_add(n));
    }

    /// Takes back what [`Self::stop_after`] and [`Self::trouble_after`] announced.
    pub fn never_stop(&self) {
        let mut world = self.world();
        world.stop_after = None;
        world.trouble = None;
    }

    /// Whether [`Self::stop_after`] stopped it.
    pub fn is_off(&self) -> bool {
        self.world().running().is_err()
    }

    /// Lets `n` more changes happen; the one after them meets with trouble.
    pub fn trouble_after(&self, n: u64, trouble: Trouble) {
        let mut world = self.world();
        world.trouble = Some((world.n_changes.saturating_add(n), trouble));
    }

    /// How many files are open.
    pub fn n_open_files(&self) -> usize {
        Arc::strong_count(&self.world().open_files) - 1
    }

    /// Bytes all files together may hold.
    pub fn set_capacity(&self, bytes: u64) {
        self.world().capacity_bytes = bytes;
    }

    pub fn used_bytes(&self) -> u64 {
        self.world().used_bytes()
    }

    /// The next `n` syncs of files fail with EIO, and as in Linux the dirty pages are forgotten: a
    /// later sync succeeds without having written them.
    pub fn fail_syncs(&self, n: u32) {
        self.world().fail_syncs = n;
    }

    /// What files written from here on say when asked when they were.
    pub fn set_now_ms(&self, now_ms: i64) {
        self.world().now_ms = now_ms;
    }

    /// Flips one bit of a file, in the cache and on the disk: bit rot.
    ///
    /// # Panics
    /// When there is no such byte.
    pub fn flip_bit(&self, path: &Path, position: u64) {
        let mut world = self.world();
        let id = world.file(path).expect("the file exists");
        world.inode(id).flip_bit(position);
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world
            .lock()
            .expect("no test panics while it holds the world")
    }

    fn handle(&self, id: InodeId, world: &World) -> Arc<dyn File> {
        Arc::new(FaultyFile {
            world: Arc::clone(&self.world),
            id,
            life: world.life,
            _open: Arc::clone(&world.open_files),
        })
    }
}

impl World {
    fn inode(&mut self, id: InodeId) -> &mut Inode {
        self.inodes.get_mut(id.0).expect("inodes are never removed")
    }

    fn file(&self, path: &Path) -> io::Result<InodeId> {
        match self.names.get(path) {
            Some(Node::File(id)) => Ok(id),
            Some(Node::Folder) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn folder(&self, path: &Path) -> io::Result<()> {
        match self.names.get(path) {
            Some(Node::Folder) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Bytes of files that still have a name.
    fn used_bytes(&self) -> u64 {
        let sizes = self
            .names
            .files()
            .map(|id| self.inodes.get(id.0).map_or(0, Inode::size));
        sizes.sum()
    }

    fn running(&self) -> io::Result<()> {
        match self.stop_after {
            Some(limit) if self.n_changes > limit => Err(io::Error::other("the machine is off")),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether the next change is the one that fails.
    fn fails_next(&self) -> bool {
        self.trouble == Some((self.n_changes, Trouble::IoError))
    }

    /// Counts a change, and refuses it when the machine is off or trouble is due.
    fn change(&mut self) -> io::Result<()> {
        let due = self.trouble.filter(|(at, _)| *at == self.n_changes);
        self.n_changes += 1;
        self.running()?;
        match due {
            None => Ok(()),
            Some((_, Trouble::IoError)) => Err(io::Error::other("input/output error")),
            Some((_, Trouble::FullDisk)) => {
                self.capacity_bytes = self.used_bytes();
                Ok(())
            }
        }
    }

    fn free_bytes(&self) -> u64 {
        // Counting takes a walk over all names: a disk without a limit is spared it.
        if self.capacity_bytes == u64::MAX {
            return u64::MAX;
        }
        self.capacity_bytes.saturating_sub(self.used_bytes())
    }
}

impl FileSystem for FaultyFs {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut world = self.world();
        world.calls.opens += 1;
        world.running()?;
        Ok(self.handle(world.file(path)?, &world))
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.open(path)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut world = self.world();
        world.change()?;
        world.folder(folder_of(path))?;
        let id = match world.file(path) {
            Ok(id) => {
                world.inode(id).set_size(0);
                id
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if world.free_bytes() == 0 {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                let id = InodeId(world.inodes.len());
                world.inodes.push(Inode::default());
                world.names.put(path, Some(Node::File(id)));
                id
            }
            Err(error) => return Err(error),
        };
        Ok(self.handle(id, &world))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.change()?;
        let mut missing: Vec<&Path> = path
            .ancestors()
            .take_while(|it| world.names.get(it).is_none())
            .collect();
        missing.reverse();
        for folder in missing {
            world.names.put(folder, Some(Node::Folder));
        }
        world.folder(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut world = self.world();
        world.calls.lists += 1;
        world.running()?;
        world.folder(path)?;
        let mut entries = Vec::new();
        for (name, node) in world.names.children(path) {
            let kind = match node {
                Node::Folder => EntryKind::Folder,
                Node::File(id) => EntryKind::File {
                    size: world.inode(id).size(),
                },
            };
            entries.push(Entry { name, kind });
        }
        Ok(entries)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.change()?;
        world.folder(folder_of(to))?;
        world.names.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.change()?;
        world.file(path)?;
        world.names.put(path, None);
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.change()?;
        world.folder(path)?;
        world.names.remove_tree(path);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.calls.syncs += 1;
        world.change()?;
        world.folder(path)?;
        if !is_planted(Fault::NoFolderSync) {
            world.names.sync(path);
        }
        Ok(())
    }

    fn sync_all(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.calls.syncs += 1;
        let fails = world.fails_next() || world.fail_syncs > 0;
        let done = world.change();
        if fails {
            world.fail_syncs = world.fail_syncs.saturating_sub(1);
            world.inodes.iter_mut().for_each(Inode::forget_dirty);
            return Err(io::Error::other("input/output error"));
        }
        done?;
        world.folder(path)?;
        if !is_planted(Fault::NoFileSync) {
            world.inodes.iter_mut().for_each(Inode::sync);
        }
        if !is_planted(Fault::NoFolderSync) {
            world.names.sync_all();
        }
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let world = self.world();
        world.running()?;
        Ok(world.names.get(path).is_some())
    }

    fn room(&self, _path: &Path) -> io::Result<Room> {
        let world = self.world();
        world.running()?;
        let total = world.capacity_bytes;
        let free = total.saturating_sub(world.used_bytes());
        Ok(Room { total, free })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        if !self.exists(path)? {
            self.create(path)?;
        }
        let mut world = self.world();
        if !world.locked.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let (path, life) = (path.to_owned(), world.life);
        Ok(Box::new(FaultyLock {
            world: Arc::clone(&self.world),
            path,
            life,
        }))
    }
}

#[derive(Debug)]
struct FaultyFile {
    world: Arc<Mutex<World>>,
    id: InodeId,
    life: u64,
    _open: Arc<()>,
}

impl FaultyFile {
    fn world(&self) -> io::Result<MutexGuard<'_, World>> {
        let world = self
            .world
            .lock()
            .expect("no test panics while it holds the world");
        if world.life == self.life {
            Ok(world)
        } else {
            Err(io::Error::other("this handle is from before the crash"))
        }
    }
}

impl File for FaultyFile {
    fn read_at(&self, bytes: &mut [u8], position: u64) -> io::Result<usize> {
        let mut world = self.world()?;
        world.running()?;
        let n_read = world.inode(self.id).read(bytes, position);
        world.n_bytes_read += to_u64(n_read);
        Ok(n_read)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        let mut world = self.world()?;
        let fails = world.fails_next();
        let done = world.change();
        let (free, now_ms) = (world.free_bytes(), world.now_ms);
        let inode = world.inode(self.id);
        if fails {
            inode.write(bytes.get(..bytes.len() / 2).unwrap_or_default(), position);
        }
        done?;
        let overwritten = inode.size().saturating_sub(position);
        let writable = overwritten.saturating_add(free).min(to_u64(bytes.len()));
        let writable = usize::try_from(writable).unwrap_or(bytes.len());
        if writable == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        inode.write(bytes.get(..writable).unwrap_or(bytes), position);
        inode.set_modified_ms(now_ms);
        Ok(writable)
    }

    fn size(&self) -> io::Result<u64> {
        let mut world = self.world()?;
        world.running()?;
        Ok(world.inode(self.id).size())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        let mut world = self.world()?;
        world.change()?;
        world.inode(self.id).set_size(size);
        Ok(())
    }

    fn allocate(&self, n: u64) -> io::Result<()> {
        allocate_by_writing(self, n)
    }

    fn modified_ms(&self) -> io::Result<i64> {
        let mut world = self.world()?;
        world.running()?;
        Ok(world.inode(self.id).modified_ms())
    }

    fn set_modified_ms(&self, modified_ms: i64) -> io::Result<()> {
        let mut world = self.world()?;
        world.running()?;
        world.inode(self.id).set_modified_ms(modified_ms);
        Ok(())
    }

    fn read_anew(&self, position: u64) -> io::Result<()> {
        let mut world = self.world()?;
        world.running()?;
        world.inode(self.id).read_anew(position);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut world = self.world()?;
        world.calls.syncs += 1;
        let fails = world.fails_next() || world.fail_syncs > 0;
        let done = world.change();
        if fails {
            world.fail_syncs = world.fail_syncs.saturating_sub(1);
            world.inode(self.id).forget_dirty();
            return Err(io::Error::other("input/output error"));
        }
        done?;
        if !is_planted(Fault::NoFileSync) {
            world.inode(self.id).sync();
        }
        Ok(())
    }
}

#[derive(Debug)]
struct FaultyLock {
    world: Arc<Mutex<World>>,
    path: PathBuf,
    life: u64,
}

impl FileLock for FaultyLock {}

impl Drop for FaultyLock {
    fn drop(&mut self) {
        if let Ok(mut world) = self.world.lock()
            && world.life == self.life
        {
            world.locked.remove(&self.path);
        }
    }
}

#[cfg(test)]
#[path = "faulty_test.rs"]
mod tests;
