//! librdkafka as a generator, by its command `kcat`: each line of a file is a record.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

use crate::generator::{Told, output};
use crate::system::{Cluster, now};

const RECORD_BYTES: u32 = 1_024;

pub(crate) fn produce(
    cluster: &Cluster,
    topic: &str,
    n_records: u64,
    settings: &str,
    dir: &Path,
) -> anyhow::Result<Told> {
    let lines = dir.join(format!("lines-{n_records}"));
    if !lines.is_file() {
        write_lines(&lines, n_records)?;
    }
    let mut command = kcat(cluster, "-P", topic);
    for setting in settings.split_whitespace() {
        command.args(["-X", setting]);
    }
    command.arg("-l").arg(&lines);
    timed(command, n_records)
}

/// All partitions to their ends; what is read is not printed.
pub(crate) fn consume(cluster: &Cluster, topic: &str, n_records: u64) -> anyhow::Result<Told> {
    let mut command = kcat(cluster, "-C", topic);
    command.args(["-o", "beginning", "-e", "-f", ""]);
    timed(command, n_records)
}

fn kcat(cluster: &Cluster, mode: &str, topic: &str) -> Command {
    let mut command = Command::new("kcat");
    command.args([mode, "-q", "-b", &cluster.bootstrap(), "-t", topic]);
    command
}

/// From its start to its end: connecting is in it, for all alike.
fn timed(command: Command, n_records: u64) -> anyhow::Result<Told> {
    let started = now();
    output(command)?;
    Ok(Told {
        n_bytes: f64::from(u32::try_from(n_records)?) * f64::from(RECORD_BYTES),
        seconds: (now() - started).as_secs_f64(),
        ..Told::default()
    })
}

fn write_lines(path: &Path, n_records: u64) -> anyhow::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let width = usize::try_from(RECORD_BYTES)?;
    for i in 0..n_records {
        writeln!(file, "{i:x<width$}")?;
    }
    Ok(file.flush()?)
}
