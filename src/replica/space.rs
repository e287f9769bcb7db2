//! Room on the disks of the log directories.
//!
//! A directory without room takes no records, and goes on serving and deleting what it has. Its reserve is
//! given up then, for the small files that must be written all the same; records are let in again when
//! the reserve is whole and something is left beside it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use drave_log::{LogDir, LogError};
use tracing::{debug, error, info, warn};

use super::homes::Home;
use super::replicas::Replicas;

/// How often a directory is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Replicas that may be opened again are tried every so many looks.
const LOOKS_PER_RETRY: u32 = 5;
/// On a small disk the reserve is no more than one part in so many: records are what it is for.
const SHARE_OF_DISK: u64 = 32;
/// What must come free beside a reserve of nothing.
const FREE_MIN_BYTES: u64 = 1 << 20;

/// Whether a directory has room for records.
#[derive(Debug)]
pub(super) struct Space {
    reserve_bytes: u64,
    is_full: AtomicBool,
}

impl Space {
    /// A directory that is full from the start gives its reserve up before its logs are opened.
    pub(super) fn begin(dir: &LogDir, reserve_bytes: u64) -> Self {
        let total = dir.room().map_or(u64::MAX, |it| it.total);
        let space = Self {
            reserve_bytes: reserve_bytes.min(total / SHARE_OF_DISK),
            is_full: AtomicBool::new(false),
        };
        if !space.hold(dir, space.low_mark()) {
            space.found_none(dir);
        }
        space
    }

    /// So much is left when records are refused without having been tried: the metadata log on the same
    /// disk must find room, too.
    fn low_mark(&self) -> u64 {
        self.reserve_bytes / 16
    }

    /// So much must be free beside the reserve before records are let in again.
    fn high_mark(&self) -> u64 {
        if self.reserve_bytes == 0 {
            FREE_MIN_BYTES
        } else {
            self.reserve_bytes / 4
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// A write found no room.
    pub(super) fn found_none(&self, dir: &LogDir) {
        if !self.is_full.swap(true, Ordering::Relaxed) {
            self.give_up(dir);
        }
    }

    fn give_up(&self, dir: &LogDir) {
        warn!(
            dir = %dir.path().display(),
            reserve_bytes = self.reserve_bytes,
            "the disk is full: records are refused until there is room again"
        );
        if let Err(error) = dir.give_up_reserve() {
            error!(dir = %dir.path().display(), %error, "the reserve could not be given up");
        }
    }

    /// Looks at the disk; returns whether room came back.
    fn look(&self, dir: &LogDir) -> bool {
        if self.is_full() {
            let is_back = self.hold(dir, self.high_mark());
            self.is_full.store(!is_back, Ordering::Relaxed);
            return is_back;
        }
        if dir.room().is_ok_and(|it| it.free < self.low_mark()) {
            self.found_none(dir);
        }
        false
    }

    fn hold(&self, dir: &LogDir, beside: u64) -> bool {
        let held = dir.hold_reserve(self.reserve_bytes, beside);
        held.unwrap_or_else(|error| {
            debug!(dir = %dir.path().display(), %error, "the reserve could not be taken");
            false
        })
    }
}

pub(super) async fn run(replicas: Replicas) {
    let tasks = replicas.tasks().clone();
    let mut looks: u32 = 0;
    loop {
        tokio::select! {
            biased; // nothing to finish
            () = tasks.stopping() => return,
            () = replicas.clock().sleep_until(replicas.clock().now() + LOOK_EVERY) => {
                let looking = replicas.clone();
                let came_back = tasks.run_blocking(move || look(&looking)).await;
                looks = looks.wrapping_add(1);
                if came_back == Some(true) || looks.is_multiple_of(LOOKS_PER_RETRY) {
                    replicas.signals().tell_retry();
                }
            }
        }
    }
}

fn look(replicas: &Replicas) -> bool {
    let mut came_back = false;
    for home in replicas.homes().well() {
        if home.space.look(&home.dir) {
            info!(dir = %home.path().display(), "the disk has room again: records are taken");
            came_back = true;
        }
    }
    if came_back {
        replicas.fetchers().wake_all();
    }
    came_back
}

impl Home {
    /// Whether an error is a full disk, which passes. Then the reserve is given up.
    pub(super) fn takes_for_full(&self, error: &LogError) -> bool {
        if error.is_full() {
            self.found_full();
        }
        error.is_full()
    }

    /// A write found no room.
    pub(super) fn found_full(&self) {
        self.space.found_none(&self.dir);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use drave_log::fs::faulty::FaultyFs;
    use drave_log::fs::{FileSystem, replace_file};

    use super::*;

    const RESERVE: u64 = 16_000;
    /// So large that the reserve is not cut.
    const DISK: u64 = RESERVE * SHARE_OF_DISK;

    fn dir(fs: &FaultyFs) -> LogDir {
        LogDir::open(Arc::new(fs.clone()), Path::new("/data")).unwrap()
    }

    /// Leaves so much for the reserve and everything else.
    fn fill_but(fs: &FaultyFs, n: u64) {
        let held = fs
            .open(Path::new("/data/.reserve"))
            .map_or(0, |it| it.size().unwrap());
        let room = fs.room(Path::new("/data")).unwrap();
        let records = usize::try_from(room.free + held - n).unwrap();
        replace_file(fs, Path::new("/records"), &vec![1; records]).unwrap();
    }

    #[test]
    fn records_wait_until_the_reserve_is_whole_and_something_is_left() {
        let fs = FaultyFs::new();
        let dir = dir(&fs);
        fs.set_capacity(fs.used_bytes() + DISK);
        let space = Space::begin(&dir, RESERVE);
        assert!(!space.is_full());
        fill_but(&fs, 16_000);
        space.found_none(&dir);
        assert!(space.is_full());
        assert_eq!(dir.room().unwrap().free, RESERVE, "for small files");

        fs.remove_file(Path::new("/records")).unwrap();
        fill_but(&fs, 19_000);
        assert!(!space.look(&dir), "the reserve alone is not enough");
        assert_eq!(
            dir.room().unwrap().free,
            19_000,
            "and is not taken for a try"
        );
        fs.remove_file(Path::new("/records")).unwrap();
        fill_but(&fs, 21_000);
        assert!(space.look(&dir) && !space.is_full());
        assert_eq!(dir.room().unwrap().free, 5_000);
    }

    #[test]
    fn a_disk_nearly_full_is_found_before_a_write_finds_it() {
        let fs = FaultyFs::new();
        let dir = dir(&fs);
        fs.set_capacity(fs.used_bytes() + DISK);
        let space = Space::begin(&dir, RESERVE);
        fill_but(&fs, 18_000);
        assert!(!space.look(&dir) && !space.is_full());
        fs.remove_file(Path::new("/records")).unwrap();
        fill_but(&fs, 16_500);
        assert!(!space.look(&dir) && space.is_full());
    }

    #[test]
    fn a_start_on_a_full_disk_gives_the_reserve_up_first() {
        let fs = FaultyFs::new();
        let dir = dir(&fs);
        fs.set_capacity(fs.used_bytes() + DISK);
        Space::begin(&dir, RESERVE);
        fill_but(&fs, 16_000);
        let space = Space::begin(&dir, RESERVE);
        assert!(space.is_full());
        assert_eq!(dir.room().unwrap().free, RESERVE);
    }

    #[test]
    fn a_small_disk_is_not_all_reserve() {
        let fs = FaultyFs::new();
        let dir = dir(&fs);
        fs.set_capacity(RESERVE);
        let space = Space::begin(&dir, RESERVE);
        assert!(!space.is_full());
        assert_eq!(space.reserve_bytes, RESERVE / SHARE_OF_DISK);
    }

    #[test]
    fn without_a_reserve_a_full_disk_passes_all_the_same() {
        let fs = FaultyFs::new();
        let dir = dir(&fs);
        let space = Space::begin(&dir, 0);
        fs.set_capacity(fs.used_bytes());
        space.found_none(&dir);
        assert!(!space.look(&dir) && space.is_full());
        fs.set_capacity(fs.used_bytes() + FREE_MIN_BYTES);
        assert!(space.look(&dir) && !space.is_full());
    }
}
