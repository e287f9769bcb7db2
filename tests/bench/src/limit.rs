//! What the machine can do, measured in the same run.

use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::system::now;

const FOR: Duration = Duration::from_secs(1);
const PIECE: usize = 64 * 1024;
/// A file is begun anew there: its pages should not drive out others.
const FILE_MAX: u64 = 1 << 30;

#[derive(Clone, Debug)]
pub(crate) struct Limit {
    pub(crate) name: &'static str,
    pub(crate) mb_per_second: f64,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:.0} MB/s", self.name, self.mb_per_second)
    }
}

pub(crate) fn measure(dir: &Path) -> anyhow::Result<Vec<Limit>> {
    Ok(vec![
        Limit {
            name: "CRC-32C and pwrite of 64 KiB, one core",
            mb_per_second: written(dir, None)?,
        },
        Limit {
            name: "the same, fdatasync after each 1 MiB",
            mb_per_second: written(dir, Some(16))?,
        },
        Limit {
            name: "loopback, 64 KiB at once, one connection",
            mb_per_second: sent()?,
        },
    ])
}

fn written(dir: &Path, sync_every: Option<u32>) -> anyhow::Result<f64> {
    let file = tempfile::tempfile_in(dir)?;
    let piece = vec![7; PIECE];
    let started = now();
    let (mut n_bytes, mut n) = (0, 0_u32);
    while now() - started < FOR {
        std::hint::black_box(crc_fast::crc32_iscsi(&piece));
        file.write_all_at(&piece, n_bytes % FILE_MAX)?;
        n_bytes += u64::try_from(PIECE)?;
        n += 1;
        if sync_every.is_some_and(|every| n.is_multiple_of(every)) {
            File::sync_data(&file)?;
        }
    }
    Ok(rate(n_bytes, now() - started))
}

fn sent() -> anyhow::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    let reading = thread::spawn(move || {
        let mut piece = vec![0; PIECE];
        let mut n_bytes = 0;
        while let Ok(n @ 1..) = far.read(&mut piece) {
            n_bytes += u64::try_from(n).unwrap_or(0);
        }
        n_bytes
    });
    let piece = vec![7; PIECE];
    let started = now();
    while now() - started < FOR {
        near.write_all(&piece)?;
    }
    drop(near);
    let n_bytes = reading.join().unwrap_or(0);
    Ok(rate(n_bytes, now() - started))
}

fn rate(n_bytes: u64, elapsed: Duration) -> f64 {
    let mb = u32::try_from(n_bytes / 1_000_000).unwrap_or(u32::MAX);
    f64::from(mb) / elapsed.as_secs_f64()
}
