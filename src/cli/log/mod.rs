//! `drave log dump | verify | stat`: a log's files, read where they lie.
//!
//! Nothing is asked of a broker, nothing is written or locked: a running node's directory may be
//! looked at, and another program's in the same format.

mod dump;
mod entries;
mod records;
mod stat;
mod text;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::Exit;
use crate::cli::output::Format;

const EXAMPLES: &str = "\
Examples:
  drave log stat /var/lib/drave                          every partition of a log directory
  drave log verify /var/lib/drave/orders-0               exit code 1 when anything is wrong
  drave log dump --records /var/lib/drave/orders-0/00000000000000000000.log
  drave log dump --format json orders-0 | jq 'select(.type == \"batch\")'

With --format json, dump prints one object per line, verify and stat one document.";

/// Look into the files of a log.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Log {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what the files hold, entry by entry.
    Dump(Dump),
    /// Check everything that must hold; exit code 1 when something does not.
    Verify(Verify),
    /// Count segments, records, bytes and more for each partition.
    Stat(Stat),
}

#[derive(Args, Debug)]
struct Dump {
    /// A file, a partition's folder or a log directory.
    path: PathBuf,
    /// Show the records of each batch, too.
    #[arg(long)]
    records: bool,
    /// Show at most so many bytes of each key, value and header.
    #[arg(long, value_name = "N", default_value_t = 128)]
    max_bytes: usize,
}

#[derive(Args, Debug)]
struct Verify {
    /// A file, a partition's folder or a log directory.
    path: PathBuf,
    /// Offsets may be missing without a mark, as in a log that Kafka compacted.
    #[arg(long)]
    allow_holes: bool,
}

#[derive(Args, Debug)]
struct Stat {
    /// A file, a partition's folder or a log directory.
    path: PathBuf,
}

impl Log {
    pub(super) fn run(self, format: Format) -> anyhow::Result<Exit> {
        match self.command {
            Command::Dump(dump) => dump.run(format),
            Command::Verify(verify) => verify.run(format),
            Command::Stat(stat) => stat.run(format),
        }
    }
}
