//! What lies between two loads: the disk has written what the one before left, and memory is as full as a server's
//! that has run for a while.
//!
//! A virtual machine may hand free memory back to its host, and fetches each page from there again when it is first
//! touched: batches of 1 MB then cost twice as much. How much of that befalls a load depends on what was deleted
//! when. Where all memory holds pages of some file, new ones come from old ones.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;

const STEP: usize = 1024 * 1024;
/// How many steps are read before it is asked what they took.
const STEPS_AT_ONCE: u64 = 1024;
/// Of a file with nothing in it, and more than is ever read of it.
const FILLER_BYTES: u64 = 1 << 42;

#[derive(Debug)]
pub(crate) struct Rest {
    /// Of nothing: reading it takes pages, and no disk.
    filler: File,
    /// What was read lies before it. Nothing is read twice: the kernel would take it for what is needed, and drive out
    /// what a load wrote in its place.
    position: AtomicU64,
    /// Filling takes the better part of a minute where memory was never touched.
    is_filling: bool,
}

impl Rest {
    pub(crate) fn new(dir: &Path, is_filling: bool) -> anyhow::Result<Self> {
        let filler = tempfile::tempfile_in(dir)?;
        filler.set_len(FILLER_BYTES)?;
        Ok(Self {
            filler,
            position: AtomicU64::new(0),
            is_filling,
        })
    }

    pub(crate) fn take(&self) -> anyhow::Result<()> {
        self.write_out()?;
        if !self.is_filling {
            return Ok(());
        }
        let mut piece = vec![0; STEP];
        let step = u64::try_from(STEP)?;
        let at_once = STEPS_AT_ONCE * step;
        let total = memory("MemTotal")?;
        let mut free = memory("MemFree")?;
        for _ in 0..total.div_ceil(at_once) {
            for _ in 0..STEPS_AT_ONCE {
                let at = self.position.fetch_add(step, Ordering::Relaxed);
                self.filler.read_at(&mut piece, at)?;
            }
            let before = free;
            free = memory("MemFree")?;
            // The kernel keeps some free whatever happens; who reads on then takes pages from what was read.
            if free < total / 4 && free + at_once / 8 > before {
                break;
            }
        }
        Ok(())
    }

    /// What was written is on disk then, and not on its way there under the next load.
    pub(crate) fn write_out(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.filler)?)
    }
}

/// A line of `/proc/meminfo`, in bytes.
fn memory(name: &str) -> anyhow::Result<u64> {
    let known = std::fs::read_to_string("/proc/meminfo")?;
    let lines = known.lines().filter_map(|it| it.split_once(':'));
    let found = lines.filter(|(it, _)| *it == name).find_map(|(_, rest)| {
        let kib: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    });
    found.with_context(|| format!("/proc/meminfo has no {name}"))
}
