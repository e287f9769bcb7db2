//! `drave log dump`: entry by entry, as it lies on the disk.

use std::io;
use std::path::Path;

use drave_log::LogError;
use drave_log::fs::RealFs;
use drave_log::inspect::batches::{Batches, Body, FoundBatch};
use drave_log::inspect::offset_index::OffsetEntries;
use drave_log::inspect::place::{FileKind, PartitionFolder, Place};
use drave_log::inspect::snapshots::Snapshot;
use drave_log::inspect::time_index::TimeEntries;
use drave_log::inspect::transactions::TransactionEntries;
use drave_log::inspect::{epochs, text as text_files};
use serde_json::{Value, json};

use crate::cli::Exit;
use crate::cli::log::Dump;
use crate::cli::log::entries::Shown;
use crate::cli::log::records::Records;
use crate::cli::log::text::{Lines, unless_nobody_reads};
use crate::cli::output::{self, Format};

impl Dump {
    pub(super) fn run(self, format: Format) -> anyhow::Result<Exit> {
        let mut printer = Printer {
            lines: Lines::new(format),
            records: self.records.then_some(Records {
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
    records: Option<Records>,
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
        match self.file_of(path, FileKind::of_any(&name)) {
            Err(error) if error.is::<io::Error>() => Err(error),
            Err(error) => Ok(self.trouble(path, &error.to_string())?),
            Ok(()) => Ok(()),
        }
    }

    fn file_of(&mut self, path: &Path, kind: FileKind) -> anyhow::Result<()> {
        match kind {
            FileKind::Batches(_) => self.batches(path),
            FileKind::OffsetIndex(base) => {
                self.entries(path, OffsetEntries::open(&RealFs, path, base)?)
            }
            FileKind::TimeIndex(base) => {
                self.entries(path, TimeEntries::open(&RealFs, path, base)?)
            }
            FileKind::TransactionIndex(_) => {
                self.entries(path, TransactionEntries::open(&RealFs, path)?)
            }
            FileKind::ProducerSnapshot(_) => self.producers(path),
            FileKind::LeaderEpochs => {
                let entries = epochs::entries(&RealFs, path)?;
                self.entries(path, entries.into_iter().map(Ok))
            }
            FileKind::Checkpoint => {
                let facts = text_files::checkpoint(&RealFs, path)?;
                Ok(self.facts(path, facts)?)
            }
            FileKind::Properties => {
                let facts = text_files::lines(&RealFs, path)?;
                Ok(self.facts(path, facts)?)
            }
            FileKind::Other => {
                anyhow::bail!("{}: this is no file of a log, by its name", path.display())
            }
        }
    }

    fn trouble(&mut self, path: &Path, trouble: &str) -> io::Result<()> {
        self.exit = Exit::Failed;
        match self.lines.format {
            Format::Table => {
                output::complain(trouble);
                Ok(())
            }
            Format::Json => self.json(path, json!({ "type": "trouble", "trouble": trouble })),
        }
    }

    /// An object, and the file it comes from.
    fn json(&mut self, path: &Path, mut entry: Value) -> io::Result<()> {
        if let Some(fields) = entry.as_object_mut() {
            fields.insert("file".to_owned(), json!(path.display().to_string()));
        }
        self.lines.json(&entry)
    }

    fn headings<T: Shown>(&mut self) -> io::Result<()> {
        match self.lines.format {
            Format::Table => self.lines.headings(T::COLUMNS),
            Format::Json => Ok(()),
        }
    }

    fn entry(&mut self, path: &Path, entry: &impl Shown) -> io::Result<()> {
        match self.lines.format {
            Format::Table => self.lines.row(&entry.row()),
            Format::Json => self.json(path, entry.json()),
        }
    }

    fn entries<T: Shown>(
        &mut self,
        path: &Path,
        entries: impl Iterator<Item = Result<T, LogError>>,
    ) -> anyhow::Result<()> {
        self.headings::<T>()?;
        for entry in entries {
            self.entry(path, &entry?)?;
        }
        Ok(())
    }

    fn batches(&mut self, path: &Path) -> anyhow::Result<()> {
        self.headings::<(&FoundBatch, &Body<'_>)>()?;
        let mut batches = Batches::whole(&RealFs, path)?;
        while let Some(found) = batches.next() {
            let found = found?;
            let body = batches.body(&found)?;
            self.entry(path, &(&found, &body))?;
            if let Some(records) = self.records {
                self.records(path, records, (&found, &body))?;
            }
        }
        Ok(())
    }

    fn records(
        &mut self,
        path: &Path,
        records: Records,
        (found, body): (&FoundBatch, &Body<'_>),
    ) -> io::Result<()> {
        let trouble = Records::each(body, |record| match self.lines.format {
            Format::Table => self.lines.line(&records.line(found, record)),
            Format::Json => self.json(path, records.json(found, record)),
        })?;
        let Some(trouble) = trouble else {
            return Ok(());
        };
        let at = found.position;
        self.trouble(path, &format!("{} at byte {at}: {trouble}", path.display()))
    }

    fn producers(&mut self, path: &Path) -> anyhow::Result<()> {
        let snapshot = Snapshot::read(&RealFs, path)?;
        self.entries(path, snapshot.entries.into_iter().map(Ok))?;
        match snapshot.states {
            Ok(_) => Ok(()),
            Err(error) => anyhow::bail!("{}: {error}", path.display()),
        }
    }

    fn facts(&mut self, path: &Path, facts: Vec<String>) -> io::Result<()> {
        for fact in facts {
            match self.lines.format {
                Format::Table => self.lines.line(&format!("  {fact}"))?,
                Format::Json => self.json(path, json!({ "type": "fact", "fact": fact }))?,
            }
        }
        Ok(())
    }
}
