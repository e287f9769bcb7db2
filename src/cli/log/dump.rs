//! `drave log dump`: entry by entry, as it lies on the disk.

use std::io;
use std::path::Path;

use drave_log::fs::RealFs;
use drave_log::inspect::batches::{Batches, Body, FoundBatch};
use drave_log::inspect::offset_index::OffsetEntries;
use drave_log::inspect::place::{FileKind, PartitionFolder, Place};
use drave_log::inspect::stat::codec_name;
use drave_log::inspect::time_index::TimeEntries;
use drave_log::inspect::{epochs, text as text_files};
use drave_protocol::ids::Offset;
use drave_protocol::record::attributes::{CODEC_MASK, TimestampType};
use serde_json::{Value, json};

use crate::cli::Exit;
use crate::cli::log::Dump;
use crate::cli::log::records::Shown;
use crate::cli::log::text::{Lines, time, unless_nobody_reads};
use crate::cli::output::{self, Format};

impl Dump {
    pub(super) fn run(self, format: Format) -> anyhow::Result<Exit> {
        let mut printer = Printer {
            lines: Lines::new(format),
            records: self.records.then_some(Shown {
                max_bytes: self.max_bytes,
            }),
            exit: Exit::Done,
        };
        let done = printer.place(&Place::of(&RealFs, &self.path)?);
        let exit = printer.exit;
        let flushed = printer.lines.finish();
        unless_nobody_reads(done.and_then(|()| Ok(flushed.map(|()| exit)?)))
    }
}

struct Printer {
    lines: Lines,
    records: Option<Shown>,
    exit: Exit,
}

impl Printer {
    fn place(&mut self, place: &Place) -> anyhow::Result<()> {
        match place {
            Place::File(path) => self.file(path),
            Place::Partition(folder) => self.folder(folder),
            Place::Directory {
                partitions,
                checkpoints,
            } => {
                for path in checkpoints {
                    self.file(path)?;
                }
                for folder in partitions {
                    self.folder(folder)?;
                }
                Ok(())
            }
        }
    }

    fn folder(&mut self, folder: &PartitionFolder) -> anyhow::Result<()> {
        for file in &folder.files {
            if file.kind != FileKind::Other {
                self.file(&folder.path_of(file))?;
            }
        }
        Ok(())
    }

    /// One file. What cannot be read of it is said, and the next one comes.
    fn file(&mut self, path: &Path) -> anyhow::Result<()> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if self.lines.format == Format::Table {
            self.lines.line(&format!("{}", path.display()))?;
        }
        let done = match FileKind::of_any(&name) {
            FileKind::Batches(_) => self.batches(path),
            FileKind::OffsetIndex(base) => self.offset_index(path, base),
            FileKind::TimeIndex(base) => self.time_index(path, base),
            FileKind::LeaderEpochs => self.epochs(path),
            FileKind::Checkpoint => self.checkpoint(path),
            FileKind::Properties => self.properties(path),
            FileKind::Other => Err(anyhow::anyhow!(
                "{}: this is no file of a log, by its name",
                path.display()
            )),
        };
        match done {
            Err(error) if error.is::<io::Error>() => Err(error),
            Err(error) => self.trouble(path, &error.to_string()).map_err(Into::into),
            Ok(()) => Ok(()),
        }
    }

    fn trouble(&mut self, path: &Path, trouble: &str) -> io::Result<()> {
        self.exit = Exit::Failed;
        match self.lines.format {
            Format::Table => {
                output::complain(trouble);
                Ok(())
            }
            Format::Json => self.entry(path, json!({ "type": "trouble", "trouble": trouble })),
        }
    }

    /// An object, and the file it comes from.
    fn entry(&mut self, path: &Path, mut entry: Value) -> io::Result<()> {
        if let Some(fields) = entry.as_object_mut() {
            fields.insert("file".to_owned(), json!(path.display().to_string()));
        }
        self.lines.json(&entry)
    }

    fn batches(&mut self, path: &Path) -> anyhow::Result<()> {
        if self.lines.format == Format::Table {
            self.lines.headings(&[
                ("AT", 8),
                ("OFFSETS", 11),
                ("RECORDS", 7),
                ("BYTES", 7),
                ("EPOCH", 5),
                ("CODEC", 6),
                ("LATEST", 24),
                ("PRODUCER", 12),
                ("MARKS", 21),
                ("CRC", 3),
            ])?;
        }
        let mut batches = Batches::whole(&RealFs, path)?;
        while let Some(found) = batches.next() {
            let found = found?;
            let body = batches.body(&found)?;
            self.batch(path, &found, &body)?;
        }
        Ok(())
    }

    fn batch(&mut self, path: &Path, found: &FoundBatch, body: &Body<'_>) -> io::Result<()> {
        match self.lines.format {
            Format::Table => self.lines.row(&batch_row(found, body))?,
            Format::Json => self.entry(path, batch_json(found, body))?,
        }
        let Some(shown) = self.records else {
            return Ok(());
        };
        let trouble = Shown::each(found, body, |found, record| match self.lines.format {
            Format::Table => self.lines.line(&shown.line(found, record)),
            Format::Json => self.entry(path, shown.json(found, record)),
        })?;
        let at = found.position;
        match trouble {
            Some(trouble) => {
                let trouble = format!("{} at byte {at}: {trouble}", path.display());
                self.trouble(path, &trouble)
            }
            None => Ok(()),
        }
    }

    fn offset_index(&mut self, path: &Path, base_offset: Offset) -> anyhow::Result<()> {
        if self.lines.format == Format::Table {
            self.lines
                .headings(&[("AT", 8), ("LAST OFFSET", 11), ("BATCH AT", 8)])?;
        }
        for entry in OffsetEntries::open(&RealFs, path, base_offset)? {
            let entry = entry?;
            match self.lines.format {
                Format::Table => self.lines.row(&[
                    entry.position.to_string(),
                    entry.last_offset.to_string(),
                    entry.batch_position.to_string(),
                ])?,
                Format::Json => {
                    let entry = json!({
                        "type": "offset_index_entry",
                        "position": entry.position,
                        "last_offset": entry.last_offset.0,
                        "batch_position": entry.batch_position,
                    });
                    self.entry(path, entry)?;
                }
            }
        }
        Ok(())
    }

    fn time_index(&mut self, path: &Path, base_offset: Offset) -> anyhow::Result<()> {
        if self.lines.format == Format::Table {
            self.lines
                .headings(&[("AT", 8), ("LATEST", 24), ("UP TO OFFSET", 12)])?;
        }
        for entry in TimeEntries::open(&RealFs, path, base_offset)? {
            let entry = entry?;
            match self.lines.format {
                Format::Table => self.lines.row(&[
                    entry.position.to_string(),
                    time(entry.timestamp_ms),
                    entry.offset.to_string(),
                ])?,
                Format::Json => {
                    let entry = json!({
                        "type": "time_index_entry",
                        "position": entry.position,
                        "timestamp_ms": entry.timestamp_ms,
                        "offset": entry.offset.0,
                    });
                    self.entry(path, entry)?;
                }
            }
        }
        Ok(())
    }

    fn epochs(&mut self, path: &Path) -> anyhow::Result<()> {
        if self.lines.format == Format::Table {
            self.lines.headings(&[("EPOCH", 5), ("STARTS AT", 9)])?;
        }
        for entry in epochs::entries(&RealFs, path)? {
            match self.lines.format {
                Format::Table => self
                    .lines
                    .row(&[entry.epoch.to_string(), entry.start_offset.to_string()])?,
                Format::Json => {
                    let (epoch, start_offset) = (entry.epoch.0, entry.start_offset.0);
                    let entry = json!({
                        "type": "leader_epoch",
                        "leader_epoch": epoch,
                        "start_offset": start_offset,
                    });
                    self.entry(path, entry)?;
                }
            }
        }
        Ok(())
    }

    fn checkpoint(&mut self, path: &Path) -> anyhow::Result<()> {
        Ok(self.facts(path, text_files::checkpoint(&RealFs, path)?)?)
    }

    fn properties(&mut self, path: &Path) -> anyhow::Result<()> {
        Ok(self.facts(path, text_files::lines(&RealFs, path)?)?)
    }

    fn facts(&mut self, path: &Path, facts: Vec<String>) -> io::Result<()> {
        for fact in facts {
            match self.lines.format {
                Format::Table => self.lines.line(&format!("  {fact}"))?,
                Format::Json => self.entry(path, json!({ "type": "fact", "fact": fact }))?,
            }
        }
        Ok(())
    }
}

fn codec(found: &FoundBatch) -> &'static str {
    codec_name(u16::try_from(found.header.attributes & CODEC_MASK).unwrap_or_default())
}

fn batch_row(found: &FoundBatch, body: &Body<'_>) -> [String; 10] {
    let header = &found.header;
    let producer = if header.producer_id.0 < 0 {
        "-".to_owned()
    } else {
        let (id, epoch) = (header.producer_id, header.producer_epoch);
        format!("{id}/{epoch} from {}", header.base_sequence)
    };
    let marks = [
        (header.is_control(), "control"),
        (header.is_transactional(), "transactional"),
        (
            header.timestamp_type() == TimestampType::LogAppendTime,
            "append-time",
        ),
    ];
    let marks = marks
        .into_iter()
        .filter_map(|(is, name)| is.then_some(name));
    [
        found.position.to_string(),
        format!("{}..{}", header.base_offset, header.last_offset()),
        header.records_count.to_string(),
        header.total_size().to_string(),
        header.partition_leader_epoch.to_string(),
        codec(found).to_owned(),
        time(header.max_timestamp),
        producer,
        output::list(marks),
        (if body.checksum_is_right {
            "ok"
        } else {
            "WRONG"
        })
        .to_owned(),
    ]
}

fn batch_json(found: &FoundBatch, body: &Body<'_>) -> Value {
    let header = &found.header;
    let timestamp_type = match header.timestamp_type() {
        TimestampType::CreateTime => "create_time",
        TimestampType::LogAppendTime => "log_append_time",
    };
    json!({
        "type": "batch",
        "position": found.position,
        "bytes": header.total_size(),
        "base_offset": header.base_offset.0,
        "last_offset": header.last_offset().0,
        "records": header.records_count,
        "leader_epoch": header.partition_leader_epoch.0,
        "codec": codec(found),
        "timestamp_type": timestamp_type,
        "base_timestamp_ms": header.base_timestamp,
        "max_timestamp_ms": header.max_timestamp,
        "producer_id": header.producer_id.0,
        "producer_epoch": header.producer_epoch,
        "base_sequence": header.base_sequence,
        "transactional": header.is_transactional(),
        "control": header.is_control(),
        "crc": format!("{:08x}", header.crc),
        "crc_ok": body.checksum_is_right,
    })
}
