//! What a path is: one file, a partition's folder, or a directory of them. Told by the names alone.

use std::io;
use std::path::{Path, PathBuf};

use drave_protocol::ids::Offset;

use crate::error::{During, LogError};
use crate::fs::{Entry, EntryKind, FileSystem};
use crate::partition_log::DELETED_SUFFIX;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    File(PathBuf),
    Partition(PartitionFolder),
    /// Partitions by name, and the text files beside them.
    Directory {
        partitions: Vec<PartitionFolder>,
        checkpoints: Vec<PathBuf>,
    },
}

/// A partition's folder as it was when it was listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionFolder {
    pub path: PathBuf,
    /// By name: a segment's files stand together, oldest first.
    pub files: Vec<FoundFile>,
    /// Set when not the whole folder is meant.
    only: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFile {
    pub name: String,
    pub size: u64,
    pub kind: FileKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    Batches(Offset),
    OffsetIndex(Offset),
    TimeIndex(Offset),
    TransactionIndex(Offset),
    ProducerSnapshot(Offset),
    LeaderEpochs,
    /// Offsets of partitions, or of one, in the checkpoint format.
    Checkpoint,
    /// `key: value` or `key=value` lines.
    Properties,
    Other,
}

/// Endings of segment files that wait to be deleted or to take another's place.
const IN_TRANSIT: [&str; 3] = [".deleted", ".swap", ".cleaned"];

impl FileKind {
    pub fn of(name: &str) -> Self {
        match name {
            "leader-epoch-checkpoint" => return Self::LeaderEpochs,
            "recovery-point-offset-checkpoint"
            | "replication-offset-checkpoint"
            | "log-start-offset-checkpoint"
            | "cleaner-offset-checkpoint"
            | "recovery-point-limit"
            | "offset-holes-allowed" => return Self::Checkpoint,
            "partition.metadata" | "meta.properties" => return Self::Properties,
            _ => {}
        }
        let Some((digits, ending)) = name.split_once('.') else {
            return Self::Other;
        };
        if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Self::Other;
        }
        let Ok(number) = digits.parse().map(Offset) else {
            return Self::Other;
        };
        match ending {
            "log" => Self::Batches(number),
            "index" => Self::OffsetIndex(number),
            "timeindex" => Self::TimeIndex(number),
            "txnindex" => Self::TransactionIndex(number),
            "snapshot" => Self::ProducerSnapshot(number),
            _ => Self::Other,
        }
    }

    /// Also of a file that is no part of the log any more, or not yet.
    pub fn of_any(name: &str) -> Self {
        let stripped = IN_TRANSIT.iter().find_map(|it| name.strip_suffix(it));
        Self::of(stripped.unwrap_or(name))
    }
}

impl PartitionFolder {
    pub fn list(fs: &dyn FileSystem, path: &Path) -> Result<Self, LogError> {
        let entries = fs.list(path).during("list", path)?;
        Ok(Self::from_entries(path, entries))
    }

    /// One file of a folder and those that share its number: a segment and its indexes.
    pub fn around(fs: &dyn FileSystem, file: &Path) -> Result<Self, LogError> {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let number = name.split_once('.').map_or(&*name, |(number, _)| number);
        let mut folder = Self::list(fs, crate::fs::folder_of(file))?;
        folder
            .files
            .retain(|it| it.name.split_once('.').map_or(&*it.name, |(it, _)| it) == number);
        folder.only = Some(file.to_owned());
        Ok(folder)
    }

    /// The same files as they are now.
    pub fn listed_again(&self, fs: &dyn FileSystem) -> Result<Self, LogError> {
        match &self.only {
            Some(file) => Self::around(fs, file),
            None => Self::list(fs, &self.path),
        }
    }

    fn from_entries(path: &Path, entries: Vec<Entry>) -> Self {
        let file = |Entry { name, kind }| match kind {
            EntryKind::Folder => None,
            EntryKind::File { size } => Some(FoundFile {
                kind: FileKind::of(&name),
                name,
                size,
            }),
        };
        let mut files: Vec<FoundFile> = entries.into_iter().filter_map(file).collect();
        files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let path = path.to_owned();
        Self {
            path,
            files,
            only: None,
        }
    }

    pub fn path_of(&self, file: &FoundFile) -> PathBuf {
        self.path.join(&file.name)
    }

    /// Base offset and file of each segment, oldest first.
    pub fn segments(&self) -> impl Iterator<Item = (Offset, &FoundFile)> {
        self.files.iter().filter_map(|file| {
            if let FileKind::Batches(base_offset) = file.kind {
                return Some((base_offset, file));
            }
            None
        })
    }

    pub fn find(&self, kind: FileKind) -> Option<PathBuf> {
        let found = self.files.iter().find(|file| file.kind == kind)?;
        Some(self.path_of(found))
    }

    fn is_one(&self) -> bool {
        let mut kinds = self.files.iter().map(|file| (file.kind, &file.name));
        kinds.any(|(kind, name)| {
            matches!(kind, FileKind::Batches(_) | FileKind::LeaderEpochs)
                || name == "partition.metadata"
        })
    }
}

impl Place {
    pub fn of(fs: &dyn FileSystem, path: &Path) -> Result<Self, LogError> {
        let entries = match fs.list(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Ok(Self::File(path.to_owned()));
            }
            Err(error) => return Err(error).during("list", path),
        };
        let folder = PartitionFolder::from_entries(path, entries.clone());
        if folder.is_one() {
            return Ok(Self::Partition(folder));
        }
        let mut partitions = Vec::new();
        for Entry { name, kind } in entries {
            if kind != EntryKind::Folder || name.ends_with(DELETED_SUFFIX) {
                continue;
            }
            let inner = PartitionFolder::list(fs, &path.join(name))?;
            if inner.is_one() {
                partitions.push(inner);
            }
        }
        partitions.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let texts = folder.files.iter();
        let texts = texts.filter(|it| it.kind != FileKind::Other);
        let checkpoints = texts.map(|it| folder.path_of(it)).collect();
        Ok(Self::Directory {
            partitions,
            checkpoints,
        })
    }
}
