//! Which log directory holds each replica of this node.
//!
//! Invariants: a replica stands here from before its first record until its log is deleted. So one that
//! stands here and is not found has lost records, and must not begin anew as if it never had any.
//! Kept in the metadata directory, without which the node would be another node.
//!
//! ```text
//! directory 5fd1a2b3c4d5e6f7 /data/two      a directory, and where it was last found
//! replica <topic id> 3 5fd1a2b3c4d5e6f7     partition 3 of the topic lies in it
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drave_log::fs::FileSystem;
use drave_log::{LogError, checkpoint};
use drave_protocol::ids::{DirectoryId, TopicIdPartition, Uuid};
use tracing::error;

/// Persisted, never renamed.
const FILE_NAME: &str = "replica-directories";

#[derive(Debug)]
pub struct Roster {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    directories: BTreeMap<DirectoryId, PathBuf>,
    replicas: BTreeMap<TopicIdPartition, DirectoryId>,
}

enum Line {
    Directory(DirectoryId, PathBuf),
    Replica(TopicIdPartition, DirectoryId),
}

impl Roster {
    /// Reads what was noted in `folder`; of a node that noted nothing yet, nothing.
    pub fn open(fs: Arc<dyn FileSystem>, folder: &Path) -> Result<Self, LogError> {
        let path = folder.join(FILE_NAME);
        let mut roster = Self {
            fs,
            path,
            directories: BTreeMap::new(),
            replicas: BTreeMap::new(),
        };
        let read = checkpoint::read(roster.fs.as_ref(), &roster.path);
        let lines = read.and_then(|facts| {
            let facts = facts.unwrap_or_default();
            checkpoint::parse(&roster.path, &facts, parse)
        });
        match lines {
            Ok(lines) => roster.extend(lines),
            // What is found in the directories is believed, as by a node that noted nothing.
            Err(error @ LogError::BadFile { .. }) => {
                error!(%error, "it is not known which replicas this node held; going by its directories");
            }
            Err(error) => return Err(error),
        }
        Ok(roster)
    }

    fn extend(&mut self, lines: Vec<Line>) {
        for line in lines {
            match line {
                Line::Directory(directory, path) => {
                    self.directories.insert(directory, path);
                }
                Line::Replica(partition, directory) => {
                    self.replicas.insert(partition, directory);
                }
            }
        }
    }

    pub(super) fn home_of(&self, partition: TopicIdPartition) -> Option<DirectoryId> {
        self.replicas.get(&partition).copied()
    }

    /// How many replicas lie in each directory that has any.
    pub(super) fn n_by_directory(&self) -> BTreeMap<DirectoryId, usize> {
        let mut n_by_directory = BTreeMap::new();
        for directory in self.replicas.values() {
            *n_by_directory.entry(*directory).or_default() += 1;
        }
        n_by_directory
    }

    /// The directory last found at `path`, and how many replicas it held.
    pub fn held_at(&self, path: &Path) -> Option<(DirectoryId, usize)> {
        let mut found = self.directories.iter().filter(|(_, it)| *it == path);
        let (directory, _) = found.next()?;
        let n_replicas = self.replicas.values().filter(|it| *it == directory).count();
        Some((*directory, n_replicas))
    }

    pub(super) fn path_of(&self, directory: DirectoryId) -> Option<&Path> {
        self.directories.get(&directory).map(PathBuf::as_path)
    }

    /// Notes, durably, where directories were found. One that holds nothing and was not found is forgotten.
    pub fn found(&mut self, directories: &[(DirectoryId, PathBuf)]) -> Result<(), LogError> {
        let mut next = self.directories.clone();
        next.retain(|it, _| self.replicas.values().any(|used| used == it));
        next.extend(directories.iter().cloned());
        if next == self.directories {
            return Ok(());
        }
        self.directories = next;
        self.write()
    }

    /// Notes, durably, which replicas lie where.
    pub fn place(&mut self, placed: &[(TopicIdPartition, DirectoryId)]) -> Result<(), LogError> {
        let mut is_news = false;
        for (partition, directory) in placed {
            is_news |= self.replicas.insert(*partition, *directory) != Some(*directory);
        }
        if is_news { self.write() } else { Ok(()) }
    }

    /// Forgets a replica that was deleted; durably with the next note. Until then it is one more
    /// of a topic that is gone, and its id never comes again.
    pub(super) fn forget(&mut self, partition: TopicIdPartition) {
        self.replicas.remove(&partition);
    }

    fn write(&self) -> Result<(), LogError> {
        let directories = self.directories.iter();
        let directories =
            directories.map(|(id, path)| format!("directory {:016x} {}", id.0, path.display()));
        let replicas = self.replicas.iter();
        let replicas = replicas
            .map(|(it, home)| format!("replica {} {} {:016x}", it.topic_id, it.partition, home.0));
        let lines: Vec<String> = directories.chain(replicas).collect();
        checkpoint::write(self.fs.as_ref(), &self.path, &lines)
    }
}

fn parse(line: &str) -> Option<Line> {
    let (kind, rest) = line.split_once(' ')?;
    match kind {
        "directory" => {
            let (directory, path) = rest.split_once(' ')?;
            Some(Line::Directory(directory_id(directory)?, path.into()))
        }
        "replica" => {
            let (topic_id, rest) = rest.split_once(' ')?;
            let (partition, directory) = rest.split_once(' ')?;
            let partition = TopicIdPartition {
                topic_id: Uuid::parse(topic_id)?,
                partition: partition.parse().ok()?,
            };
            Some(Line::Replica(partition, directory_id(directory)?))
        }
        _ => None,
    }
}

fn directory_id(text: &str) -> Option<DirectoryId> {
    let digits = (text.len() == 16).then_some(text)?;
    u64::from_str_radix(digits, 16).ok().map(DirectoryId)
}

#[cfg(test)]
mod tests {
    use drave_log::fs::faulty::{CrashLoss, FaultyFs};
    use drave_log::fs::{read_file, replace_file};

    use super::*;

    const ONE: DirectoryId = DirectoryId(1);
    const TWO: DirectoryId = DirectoryId(0xfd1a);

    fn partition(number: i32) -> TopicIdPartition {
        TopicIdPartition {
            topic_id: Uuid([9; 16]),
            partition: number,
        }
    }

    fn open(fs: &FaultyFs) -> Roster {
        fs.create_dir_all(Path::new("/meta")).unwrap();
        Roster::open(Arc::new(fs.clone()), Path::new("/meta")).unwrap()
    }

    #[test]
    fn what_was_noted_survives_a_power_cut() {
        let fs = FaultyFs::new();
        let mut roster = open(&fs);
        fs.sync_dir(Path::new("/")).unwrap();
        let found = [(ONE, "/one".into()), (TWO, "/two and more".into())];
        roster.found(&found).unwrap();
        roster
            .place(&[(partition(0), ONE), (partition(1), TWO)])
            .unwrap();
        roster.forget(partition(0));
        roster.place(&[(partition(2), TWO)]).unwrap();
        fs.crash(CrashLoss::EverythingUnsynced);
        let roster = open(&fs);
        assert_eq!(roster.home_of(partition(0)), None);
        assert_eq!(roster.home_of(partition(1)), Some(TWO));
        assert_eq!(roster.held_at(Path::new("/two and more")), Some((TWO, 2)));
        assert_eq!(roster.held_at(Path::new("/one")), Some((ONE, 0)));
        assert_eq!(roster.n_by_directory(), BTreeMap::from([(TWO, 2)]));
    }

    #[test]
    fn a_directory_that_held_replicas_is_remembered_though_it_is_not_found() {
        let fs = FaultyFs::new();
        let mut roster = open(&fs);
        roster
            .found(&[(ONE, "/one".into()), (TWO, "/two".into())])
            .unwrap();
        roster.place(&[(partition(1), TWO)]).unwrap();
        roster.found(&[]).unwrap();
        assert_eq!(roster.path_of(TWO), Some(Path::new("/two")));
        assert_eq!(roster.path_of(ONE), None);
    }

    #[test]
    fn a_damaged_note_is_as_none() {
        let fs = FaultyFs::new();
        let mut roster = open(&fs);
        roster.place(&[(partition(1), TWO)]).unwrap();
        let path = Path::new("/meta").join(FILE_NAME);
        let text = read_file(&fs, &path).unwrap();
        for cut in [text.len() - 3, text.len() / 2, 0] {
            replace_file(&fs, &path, &text[..cut]).unwrap();
            assert_eq!(open(&fs).home_of(partition(1)), None, "cut at {cut}");
        }
    }
}
