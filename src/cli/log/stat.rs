//! `drave log stat`: partitions in numbers.

use std::path::Path;

use drave_log::fs::RealFs;
use drave_log::inspect::stat::{self, PRODUCERS_MAX, codec_name};
use drave_protocol::ids::Offset;
use serde_json::{Value, json};

use crate::cli::Exit;
use crate::cli::log::Stat;
use crate::cli::log::text::time;
use crate::cli::log::verify::folders;
use crate::cli::output::{self, Format, Table, list};

const HEADINGS: [&str; 11] = [
    "PARTITION",
    "SEGMENTS",
    "BATCHES",
    "RECORDS",
    "OFFSETS",
    "BYTES",
    "CODECS",
    "TIMES",
    "PRODUCERS",
    "HOLES",
    "LARGEST",
];

impl Stat {
    pub(super) fn run(self, format: Format) -> anyhow::Result<Exit> {
        let mut table = Table::new(&HEADINGS);
        let mut told = Vec::new();
        let mut exit = Exit::Done;
        for folder in folders(&self.path)? {
            let stat = stat::partition(&RealFs, &folder)?;
            if let Some(flaw) = &stat.unreadable {
                exit = Exit::Failed;
                output::complain(&format!("not counted to the end: {flaw}"));
            }
            match format {
                Format::Table => table.row(row(&folder.path, &stat)),
                Format::Json => told.push(as_json(&folder.path, &stat)),
            }
        }
        match format {
            Format::Table => output::say(&table.render()),
            Format::Json => output::say_json(&json!({ "partitions": told })),
        }
        Ok(exit)
    }
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

fn producers(stat: &stat::Stat) -> String {
    let n = stat.producers.len();
    let more = if n >= PRODUCERS_MAX { "+" } else { "" };
    format!("{n}{more}")
}

fn row(path: &Path, stat: &stat::Stat) -> [String; 11] {
    let offset = |it: Option<Offset>| it.map_or_else(|| "-".to_owned(), |it| it.to_string());
    let times = match (stat.min_timestamp_ms, stat.max_timestamp_ms) {
        (Some(min), Some(max)) => format!("{}..{}", time(min), time(max)),
        (_, _) => "-".to_owned(),
    };
    let holes = match stat.holes.n_holes {
        0 => "-".to_owned(),
        n => format!("{n} of {} offsets", stat.holes.n_offsets),
    };
    let largest = stat.largest_batch.map_or_else(
        || "-".to_owned(),
        |it| format!("{} at {}", it.bytes, it.base_offset),
    );
    [
        name(path),
        stat.n_segments.to_string(),
        stat.n_batches.to_string(),
        stat.n_records.to_string(),
        format!("{}..{}", offset(stat.first_offset), offset(stat.end_offset)),
        stat.log_bytes.to_string(),
        list(stat.by_codec.keys().map(|it| codec_name(*it))),
        times,
        producers(stat),
        holes,
        largest,
    ]
}

fn as_json(path: &Path, stat: &stat::Stat) -> Value {
    let codec = |(number, it): (&u16, &stat::PerCodec)| json!({ "codec": codec_name(*number), "batches": it.n_batches, "bytes": it.bytes });
    json!({
        "path": path.display().to_string(),
        "segments": stat.n_segments,
        "batches": stat.n_batches,
        "control_batches": stat.n_control_batches,
        "records": stat.n_records,
        "log_bytes": stat.log_bytes,
        "index_bytes": stat.index_bytes,
        "other_bytes": stat.other_bytes,
        "first_offset": stat.first_offset.map(|it| it.0),
        "end_offset": stat.end_offset.map(|it| it.0),
        "holes": stat.holes.n_holes,
        "missing_offsets": stat.holes.n_offsets,
        "min_timestamp_ms": stat.min_timestamp_ms,
        "max_timestamp_ms": stat.max_timestamp_ms,
        "first_leader_epoch": stat.first_leader_epoch.map(|it| it.0),
        "last_leader_epoch": stat.last_leader_epoch.map(|it| it.0),
        "codecs": stat.by_codec.iter().map(codec).collect::<Vec<Value>>(),
        "producers": stat.producers.len(),
        "largest_batch_bytes": stat.largest_batch.map(|it| it.bytes),
        "largest_batch_offset": stat.largest_batch.map(|it| it.base_offset.0),
        "unreadable": stat.unreadable.as_ref().map(ToString::to_string),
    })
}
