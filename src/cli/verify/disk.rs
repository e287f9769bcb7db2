//! A disk for one node: a file with an ext4 on it, mounted. It can fill up, stall and lose its power.
//!
//! Promise: what was mounted is unmounted when this is dropped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Ends all writing as a cut of the power would: what is not on the disk yet never will be. The number is
/// ext4's and XFS's; 2 leaves the journal unwritten.
///
/// Processes stand still first, all of their threads, but for those that wait for a disk: a journal that was
/// cut off lets a sync under way end as if it had been done, and who lost its power tells nobody of it.
const CUT_POWER: &str = "
import fcntl, os, signal, struct, sys, time
pids = [int(pid) for pid in sys.argv[1].split(',') if pid]
disks = [os.open(path, os.O_RDONLY) for path in sys.argv[2:]]
def states(pid):
    try:
        for task in os.listdir(f'/proc/{pid}/task'):
            with open(f'/proc/{pid}/task/{task}/stat') as stat:
                yield stat.read().rsplit(')', 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        pass
for pid in pids:
    try:
        os.kill(pid, signal.SIGSTOP)
    except ProcessLookupError:
        pass
deadline = time.monotonic() + 30
while any(state in 'RS' for pid in pids for state in states(pid)):
    if time.monotonic() > deadline:
        sys.exit('a node does not stand still')
for disk in disks:
    fcntl.ioctl(disk, 0x8004587d, struct.pack('I', 2))
";

#[derive(Debug)]
pub(super) struct Disk {
    image: PathBuf,
    mounted_at: PathBuf,
    ballast: Option<PathBuf>,
    is_frozen: bool,
}

/// Why disks cannot be mounted here.
pub(super) fn cannot_be_mounted() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("a disk can be mounted by root only".to_owned());
    }
    let missing = ["mkfs.ext4", "mount", "umount", "fsfreeze", "python3"].into_iter();
    let missing: Vec<&str> = missing
        .filter(|it| run(it, &["--version"]).is_err_and(is_missing))
        .collect();
    (!missing.is_empty()).then(|| format!("{} is not installed", missing.join(", ")))
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "fits the place it is called from"
)]
fn is_missing(error: anyhow::Error) -> bool {
    error
        .root_cause()
        .downcast_ref::<std::io::Error>()
        .is_some()
}

impl Disk {
    #[allow(clippy::disallowed_methods, reason = "the image of a disk")]
    pub(super) fn mount(path: &Path, mebibytes: u64) -> anyhow::Result<Self> {
        let image = path.with_extension("image");
        let file = File::create(&image).and_then(|it| it.set_len(mebibytes << 20));
        file.with_context(|| format!("cannot create {}", image.display()))?;
        run("mkfs.ext4", &["-q", "-F", "-m", "0", &text(&image)])?;
        let disk = Self {
            image,
            mounted_at: path.to_owned(),
            ballast: None,
            is_frozen: false,
        };
        disk.attach()?;
        Ok(disk)
    }

    fn attach(&self) -> anyhow::Result<()> {
        let (image, at) = (text(&self.image), text(&self.mounted_at));
        run("mount", &["-o", "loop", &image, &at])
    }

    /// Nobody may have files open here.
    pub(super) fn come_back(&self) -> anyhow::Result<()> {
        run("umount", &[&text(&self.mounted_at)])?;
        self.attach()
    }

    /// Takes all the room there is.
    #[allow(clippy::disallowed_methods, reason = "ballast on a disk of this run")]
    pub(super) fn fill(&mut self) -> anyhow::Result<()> {
        let path = self.mounted_at.join("ballast");
        let file = File::create(&path)?;
        self.ballast = Some(path);
        let mut piece: u64 = 64 << 20;
        let mut taken = 0;
        while piece >= 4096 {
            let flags = rustix::fs::FallocateFlags::empty();
            match rustix::fs::fallocate(&file, flags, taken, piece) {
                Ok(()) => taken += piece,
                Err(rustix::io::Errno::NOSPC) => piece /= 2,
                Err(error) => return Err(error).context("cannot fill a disk"),
            }
        }
        Ok(())
    }

    #[allow(clippy::disallowed_methods, reason = "ballast on a disk of this run")]
    pub(super) fn make_room(&mut self) -> anyhow::Result<()> {
        match self.ballast.take() {
            Some(path) => std::fs::remove_file(path).context("cannot make room on a disk"),
            None => Ok(()),
        }
    }

    /// Whoever writes waits.
    pub(super) fn freeze(&mut self) -> anyhow::Result<()> {
        self.is_frozen = true;
        run("fsfreeze", &["-f", &text(&self.mounted_at)])
    }

    pub(super) fn thaw(&mut self) -> anyhow::Result<()> {
        if std::mem::take(&mut self.is_frozen) {
            run("fsfreeze", &["-u", &text(&self.mounted_at)])?;
        }
        Ok(())
    }
}

/// All of them, and of these processes, within a few milliseconds: one process, one loop.
pub(super) fn cut_power(disks: &[&Disk], pids: &[u32]) -> anyhow::Result<()> {
    let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
    let pids = pids.join(",");
    let paths: Vec<String> = disks.iter().map(|it| text(&it.mounted_at)).collect();
    let mut arguments = vec!["-c", CUT_POWER, &pids];
    arguments.extend(paths.iter().map(String::as_str));
    run("python3", &arguments)
}

impl Drop for Disk {
    #[allow(clippy::disallowed_methods, reason = "the image of a disk")]
    fn drop(&mut self) {
        let _ = self.thaw();
        // Lazily: a process that is being killed may still hold files open.
        let _ = run("umount", &["-l", &text(&self.mounted_at)]);
        let _ = std::fs::remove_file(&self.image);
    }
}

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    let ran = command.args(arguments).stdin(Stdio::null()).output();
    let output = ran.with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {arguments:?}: {}", said.trim());
    }
    Ok(())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
