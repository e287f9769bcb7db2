//! A disk in memory that forgets what was not synced: blocks of a write survive a power cut each on
//! its own, names only in the order they were given. Any operation can be made the last one.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "only compiled for tests, where a wrong disk should panic"
)]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::{Disk, DiskFile};

const BLOCK_BYTES: usize = 512;

#[derive(Clone, Debug, Default)]
pub(crate) struct FaultyDisk {
    world: Arc<Mutex<World>>,
}

#[derive(Debug, Default)]
struct World {
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    /// Changes of names not yet synced, in order.
    renaming: Vec<Naming>,
    files: BTreeMap<u64, Bytes>,
    next_file: u64,
    operations: u64,
    /// The operation during which the power fails.
    cut_at: Option<u64>,
    /// The sync that answers with an error, and loses what it should have written.
    failing_sync: Option<u64>,
    syncs: u64,
    /// So many writes that need room find none.
    writes_without_room: u32,
    dead: bool,
}

#[derive(Clone, Debug)]
enum Naming {
    Set(PathBuf, u64),
    Unset(PathBuf),
}

impl Naming {
    fn path(&self) -> &Path {
        match self {
            Self::Set(path, _) | Self::Unset(path) => path,
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Set(path, file) => names.insert(path.clone(), *file),
            Self::Unset(path) => names.remove(path),
        };
    }
}

#[derive(Clone, Debug, Default)]
struct Bytes {
    now: Vec<u8>,
    durable: Vec<u8>,
    dirty: Vec<(usize, Vec<u8>)>,
}

impl Bytes {
    fn after_power_cut(&self, dice: &mut impl FnMut() -> u64) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for (offset, written) in &self.dirty {
            let mut at = 0;
            while at < written.len() {
                // Blocks are of the file, not of the write.
                let place = offset + at;
                let size = (BLOCK_BYTES - place % BLOCK_BYTES).min(written.len() - at);
                if dice().is_multiple_of(2) {
                    put(&mut bytes, place, &written[at..at + size]);
                }
                at += size;
            }
        }
        bytes
    }
}

fn put(into: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if into.len() < offset + bytes.len() {
        into.resize(offset + bytes.len(), 0);
    }
    into[offset..offset + bytes.len()].copy_from_slice(bytes);
}

fn power_cut() -> io::Error {
    io::Error::other("the power is out")
}

impl World {
    fn step(&mut self) -> io::Result<()> {
        if self.dead {
            return Err(power_cut());
        }
        self.operations += 1;
        Ok(())
    }

    /// Called once the operation did what it could.
    fn survive(&mut self) -> io::Result<()> {
        if self.cut_at == Some(self.operations) {
            self.dead = true;
            return Err(power_cut());
        }
        Ok(())
    }

    fn name(&mut self, naming: Naming) {
        naming.apply(&mut self.names);
        self.renaming.push(naming);
    }
}

impl FaultyDisk {
    pub(crate) fn cut_at(&self, operation: u64) {
        self.world.lock().cut_at = Some(operation);
    }

    pub(crate) fn fail_sync(&self, sync: u64) {
        self.world.lock().failing_sync = Some(sync);
    }

    pub(crate) fn be_full_for(&self, writes: u32) {
        self.world.lock().writes_without_room = writes;
    }

    pub(crate) fn operations(&self) -> u64 {
        self.world.lock().operations
    }

    /// Flips one byte of what is stored, as a decaying medium does.
    pub(crate) fn corrupt(&self, path: &Path, offset: usize) {
        let mut world = self.world.lock();
        let file = world.names[path];
        world.files.get_mut(&file).unwrap().now[offset] ^= 0x55;
    }

    /// Overwrites from `offset` on with zeros: nothing after it ever reached the disk.
    pub(crate) fn zero_from(&self, path: &Path, offset: usize) {
        let mut world = self.world.lock();
        let file = world.names[path];
        world.files.get_mut(&file).unwrap().now[offset..].fill(0);
    }

    pub(crate) fn bytes(&self, path: &Path) -> Vec<u8> {
        let world = self.world.lock();
        world.files[&world.names[path]].now.clone()
    }

    /// What a machine that comes up again finds; `dice` decides the fate of what was not synced.
    pub(crate) fn after_power_cut(&self, dice: &mut impl FnMut() -> u64) -> Self {
        let world = self.world.lock();
        let mut names = world.durable_names.clone();
        let kept = usize::try_from(dice()).unwrap() % (world.renaming.len() + 1);
        for naming in &world.renaming[..kept] {
            naming.apply(&mut names);
        }
        let files = world.files.iter().map(|(id, file)| {
            let survived = file.after_power_cut(dice);
            let file = Bytes {
                now: survived.clone(),
                durable: survived,
                dirty: Vec::new(),
            };
            (*id, file)
        });
        let after = World {
            names: names.clone(),
            durable_names: names,
            files: files.collect(),
            next_file: world.next_file,
            ..World::default()
        };
        Self {
            world: Arc::new(Mutex::new(after)),
        }
    }
}

impl Disk for FaultyDisk {
    fn create_dir_all(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let world = self.world.lock();
        let inside = world.names.keys().filter(|it| it.parent() == Some(path));
        let names = inside.filter_map(|it| it.file_name()?.to_str().map(str::to_owned));
        Ok(names.collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.world.lock();
        world.step()?;
        let file = world.next_file;
        world.next_file += 1;
        world.files.insert(file, Bytes::default());
        world.name(Naming::Set(path.to_path_buf(), file));
        world.survive()?;
        drop(world);
        self.open(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let world = self.world.lock();
        let file = *world.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(FaultyFile {
            file,
            disk: self.clone(),
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world.lock();
        world.step()?;
        let file = *world.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        world.name(Naming::Set(to.to_path_buf(), file));
        world.name(Naming::Unset(from.to_path_buf()));
        world.survive()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world.lock();
        world.step()?;
        if !world.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        world.name(Naming::Unset(path.to_path_buf()));
        world.survive()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world.lock();
        world.step()?;
        // Cut during a sync: nothing of it happened, the worst case.
        world.survive()?;
        let (synced, kept) = std::mem::take(&mut world.renaming)
            .into_iter()
            .partition(|it| it.path().parent() == Some(path));
        let synced: Vec<Naming> = synced;
        for naming in synced {
            naming.apply(&mut world.durable_names);
        }
        world.renaming = kept;
        Ok(())
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: u64,
    disk: FaultyDisk,
}

impl DiskFile for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        let world = self.disk.world.lock();
        Ok(u64::try_from(world.files[&self.file].now.len()).unwrap())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut world = self.disk.world.lock();
        world.step()?;
        let offset = usize::try_from(offset).unwrap();
        let grows = offset + bytes.len() > world.files[&self.file].now.len();
        if grows && world.writes_without_room > 0 {
            world.writes_without_room -= 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = world.files.get_mut(&self.file).unwrap();
        put(&mut file.now, offset, bytes);
        file.dirty.push((offset, bytes.to_vec()));
        world.survive()
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let world = self.disk.world.lock();
        let offset = usize::try_from(offset).unwrap();
        let bytes = world.files[&self.file].now.get(offset..offset + into.len());
        into.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut world = self.disk.world.lock();
        world.step()?;
        world.survive()?;
        world.syncs += 1;
        let failing = world.failing_sync == Some(world.syncs);
        let file = world.files.get_mut(&self.file).unwrap();
        let dirty = std::mem::take(&mut file.dirty);
        if failing {
            // As Linux does: the pages are marked clean although they never arrived.
            return Err(io::Error::other("input/output error"));
        }
        for (offset, bytes) in dirty {
            put(&mut file.durable, offset, &bytes);
        }
        Ok(())
    }
}
