//! A disk of its own for one directory, which can fill up and which can break.
//!
//! Promises: what was mounted is unmounted when the test ends, however it ends.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::support::command::of_this_machine;

/// Stops an ext4 file system as a broken disk would: from then on every write and sync is an I/O error.
const BREAK: &str = "
import fcntl, os, sys
EXT4_IOC_SHUTDOWN, NOLOGFLUSH = 0x8004587d, b'\\x02\\x00\\x00\\x00'
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), EXT4_IOC_SHUTDOWN, NOLOGFLUSH)
";

#[derive(Debug)]
pub(crate) struct Disk {
    image: PathBuf,
    mounted_at: PathBuf,
}

impl Disk {
    /// An empty ext4 disk at `path`, or `None` (said aloud) where this process may not mount one.
    pub(crate) fn mount(path: &Path, mebibytes: u64) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skip("a disk can be mounted by root only");
            return None;
        }
        let image = path.with_extension("image");
        let file = std::fs::File::create(&image).expect("a disk image");
        file.set_len(mebibytes << 20).expect("a disk of that size");
        must_run("mkfs.ext4", &["-q", "-F", "-m", "0", &text(&image)]);
        let disk = Self {
            image,
            mounted_at: path.to_owned(),
        };
        if let Err(error) = disk.try_mount() {
            skip(&format!("loop devices cannot be mounted here: {error}"));
            return None;
        }
        Some(disk)
    }

    fn try_mount(&self) -> Result<(), String> {
        std::fs::create_dir_all(&self.mounted_at).expect("a place to mount at");
        run(
            "mount",
            &["-o", "loop", &text(&self.image), &text(&self.mounted_at)],
        )?;
        // An ext4 root is never empty; a log directory may hold what it likes.
        let lost_and_found = self.mounted_at.join("lost+found");
        drop(std::fs::remove_dir(lost_and_found));
        Ok(())
    }

    /// Every write and sync fails from here on.
    pub(crate) fn break_down(&self) {
        must_run("python3", &["-c", BREAK, &text(&self.mounted_at)]);
    }

    /// The disk works again, with what was synced on it. Nobody may have files open there.
    pub(crate) fn repair(&self) {
        must_run("umount", &[&text(&self.mounted_at)]);
        self.try_mount().expect("a journal that is replayed");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a node that is being killed may still hold files open.
        drop(run("umount", &["-l", &text(&self.mounted_at)]));
    }
}

/// Not a failure on a build server either: rights to mount are not a matter of installing something.
fn skip(reason: &str) {
    let test = std::thread::current();
    let name = test.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {reason}");
}

#[track_caller]
fn must_run(program: &str, arguments: &[&str]) {
    if let Err(error) = run(program, arguments) {
        panic!("{error}");
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = of_this_machine(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} {arguments:?}: {said}"))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
