//! Opening a log directory whose writer was killed: 10 GB in 1,000 partitions.
//!
//! The writer is this program again. It makes all but the end of each log durable and notes so, as a broker
//! does every few seconds; then it appends on and on, and is killed with SIGKILL while it does.

use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use drave_log::fs::RealFs;
use drave_log::{Checkpoint, LogConfig, LogDir, PartitionLog, Unsettled, side_by_side};
use drave_protocol::ids::{LeaderEpoch, Offset, TopicPartition};
use drave_protocol::record::batch;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Extent;
use crate::contest;
use crate::place;
use crate::sample::{self, KIB, MIB, NOW_MS};

const N_PARTITIONS: usize = 1_000;
const BATCH_BYTES: usize = 64 * KIB;
/// The folder the writer is to write in, and how many bytes each log is to have.
const WRITER_FOLDER: &str = "DRAVE_BENCH_WRITER_FOLDER";
const WRITER_BYTES: &str = "DRAVE_BENCH_WRITER_BYTES";

#[derive(Clone, Copy)]
enum Way {
    OneByOne,
    SideBySide,
    /// As the broker does: all are found before the first is settled.
    InTwoSteps,
}

const WAYS: [(&str, Way); 3] = [
    ("opened one after the other", Way::OneByOne),
    ("opened side by side", Way::SideBySide),
    ("side by side, in two steps", Way::InTwoSteps),
];

pub(crate) fn run(extent: Extent) {
    let folder = place::folder();
    let log_bytes = extent.pick(MIB, 10 * MIB);
    let n_rounds = extent.pick(1, 5);
    let total = (N_PARTITIONS * log_bytes) as f64 / 1e9;
    println!(
        "  {total:.0} GB in {N_PARTITIONS} partitions, the last 64 KiB and more of each not durable"
    );
    let mut limits = Vec::new();
    let mut times = WAYS.map(|_| Vec::new());
    for _ in 0..n_rounds {
        limits.push(synced_in_threads().as_secs_f64());
        for ((_, way), times) in WAYS.iter().zip(&mut times) {
            kill_a_writer(folder.path(), log_bytes);
            times.push(opened(folder.path(), *way));
        }
    }
    print_times("limit: 64 KiB each read, fdatasync", &mut limits);
    for ((name, _), times) in WAYS.iter().zip(&mut times) {
        print_times(name, times);
    }
}

fn print_times(name: &str, times: &mut [f64]) {
    let middle = contest::median(times);
    let (low, high) = (times[0], times[times.len() - 1]);
    println!("    {name:<36} {middle:.3} s   ({low:.3}..{high:.3})");
}

fn wanted() -> Vec<TopicPartition> {
    let number = |partition| TopicPartition {
        topic: "bench".to_owned(),
        partition,
    };
    (0..).take(N_PARTITIONS).map(number).collect()
}

/// From the killed process's directory to all its logs open.
fn opened(path: &Path, way: Way) -> f64 {
    let began = Instant::now();
    let dir = LogDir::open(Arc::new(RealFs), path).unwrap();
    let noted = dir.checkpoints().unwrap();
    let find = |partition: TopicPartition| {
        let noted = noted.noted(&partition);
        let found = dir.find_noted(&partition, LogConfig::default(), noted);
        (found.unwrap(), noted.recovery_point)
    };
    let settle = |(found, recovery_point): (Unsettled, Offset)| {
        let (log, report) = found.settled().unwrap();
        // A log that is not even looked into would be quick to open.
        assert!(log.log_end_offset() > recovery_point);
        report.scanned_bytes
    };
    let scanned_bytes: Vec<u64> = match way {
        Way::OneByOne => wanted().into_iter().map(find).map(settle).collect(),
        Way::SideBySide => side_by_side::map(wanted(), |it| settle(find(it))),
        Way::InTwoSteps => side_by_side::map(side_by_side::map(wanted(), find), settle),
    };
    let spent = began.elapsed().as_secs_f64();
    let scanned_bytes: u64 = scanned_bytes.into_iter().sum();
    assert!(scanned_bytes > (N_PARTITIONS * BATCH_BYTES / 2) as u64);
    spent
}

/// What nobody can do without who finds 1,000 files with unsynced ends: reads, sums and syncs them.
fn synced_in_threads() -> Duration {
    let folder = place::folder();
    let sample = sample::batch(BATCH_BYTES);
    let files: Vec<File> = (0..N_PARTITIONS)
        .map(|n| {
            let file = File::create_new(folder.path().join(n.to_string())).unwrap();
            file.write_all_at(&sample, 0).unwrap();
            file.sync_all().unwrap();
            file.write_all_at(&sample, sample.len() as u64).unwrap();
            drop(file);
            File::open(folder.path().join(n.to_string())).unwrap()
        })
        .collect();
    let began = Instant::now();
    side_by_side::map(files, |file| {
        let mut bytes = vec![0; sample.len()];
        file.read_exact_at(&mut bytes, sample.len() as u64).unwrap();
        std::hint::black_box(batch::crc32c(&bytes));
        file.sync_data().unwrap();
    });
    began.elapsed()
}

// ---- the writer ------------------------------------------------------------------------------

fn kill_a_writer(folder: &Path, log_bytes: usize) {
    let mut command = Command::new(env::current_exe().unwrap());
    command.env(WRITER_FOLDER, folder);
    command.env(WRITER_BYTES, log_bytes.to_string());
    let mut writer = Killed(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut said = String::new();
    let out = writer.0.stdout.take().unwrap();
    BufReader::new(out).read_line(&mut said).unwrap();
    assert_eq!(
        said.trim(),
        "ready",
        "the writer says when it may be killed"
    );
}

/// Kills when dropped, and waits until the process is gone with its locks.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn is_writer() -> bool {
    env::var_os(WRITER_FOLDER).is_some()
}

pub(crate) fn write_until_killed() {
    let folder = PathBuf::from(env::var_os(WRITER_FOLDER).unwrap());
    let log_bytes: u64 = env::var(WRITER_BYTES).unwrap().parse().unwrap();
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = maximum;
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();

    let dir = LogDir::open(Arc::new(RealFs), &folder).unwrap();
    let noted = dir.checkpoints().unwrap();
    let sample = sample::batch(BATCH_BYTES);
    let append = |log: &mut PartitionLog| {
        let batch = BytesMut::from(&sample[..]);
        log.append_as_leader(batch, LeaderEpoch(0), NOW_MS).unwrap();
    };
    let mut logs = side_by_side::map(wanted(), |partition| {
        let noted = noted.noted(&partition);
        let opened = dir.open_noted(&partition, LogConfig::default(), noted);
        let mut log = opened.unwrap().0;
        while log.size_bytes() < log_bytes {
            append(&mut log);
        }
        log.flush().unwrap();
        (partition, log)
    });
    let points = logs
        .iter()
        .map(|(at, log)| (at.clone(), log.recovery_point()));
    let points: BTreeMap<_, _> = points.collect();
    dir.write_checkpoint(Checkpoint::RecoveryPoint, &points)
        .unwrap();
    for (_, log) in &mut logs {
        append(log);
    }
    println!("ready");
    loop {
        for (_, log) in &mut logs {
            append(log);
        }
    }
}
