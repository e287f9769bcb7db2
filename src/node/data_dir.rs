//! Who this node is, on its disk: `meta.properties` with the directory id and the cluster.
//!
//! Invariants: a directory id is drawn once and never changes; a directory of another node or
//! cluster is refused, never adopted.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drave_log::fs::{FileSystem, read_file, replace_file};
use drave_protocol::ids::{DirectoryId, NodeId};
use thiserror::Error;

use crate::random::Random;

/// Kafka's name and format (`key=value` lines).
const META_PROPERTIES: &str = "meta.properties";

#[derive(Debug, Error)]
pub enum DataDirError {
    #[error("cannot {action} {}: {source}", path.display())]
    Storage {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{} says node.id={found}, this node is {configured}: it is another node's directory", path.display())]
    OtherNode {
        path: PathBuf,
        found: String,
        configured: NodeId,
    },
    #[error(
        "{} belongs to cluster {found}, the cluster reached is {expected}: start this node with an \
         empty log.dirs, or with the bootstrap servers of its own cluster",
        path.display()
    )]
    OtherCluster {
        path: PathBuf,
        found: String,
        expected: String,
    },
    #[error(
        "{} and {} both say that they are directory {directory:016x}: one is a copy, move it away",
        path.display(),
        other.display()
    )]
    Copied {
        path: PathBuf,
        other: PathBuf,
        directory: u64,
    },
    #[error(
        "{} held {n_replicas} replicas and is empty: mount its disk; to go on without what was there, \
         give the new disk another path in log.dirs",
        path.display()
    )]
    Emptied { path: PathBuf, n_replicas: usize },
    #[error("{}: {key} is missing or unreadable; restore the file or move the directory away", path.display())]
    Unreadable { path: PathBuf, key: &'static str },
}

impl DataDirError {
    /// Whether the directory is another's. Such a one is a mistake of whoever set this node up, and no
    /// broken disk to go on without.
    pub(super) fn is_foreign(&self) -> bool {
        match self {
            Self::OtherNode { .. } | Self::OtherCluster { .. } | Self::Copied { .. } => true,
            Self::Storage { .. } | Self::Emptied { .. } | Self::Unreadable { .. } => false,
        }
    }
}

/// The identity kept in a directory of a node: that of its metadata, and each of its partitions.
#[derive(Clone, Debug)]
pub struct DataDir {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    node: NodeId,
    directory: DirectoryId,
    cluster_id: Option<String>,
}

impl DataDir {
    /// Reads the identity, or draws one for an empty directory.
    pub fn open(
        fs: Arc<dyn FileSystem>,
        path: &Path,
        node: NodeId,
        random: &Random,
    ) -> Result<Self, DataDirError> {
        fs.create_dir_all(path)
            .map_err(|it| storage("create", path, it))?;
        let file = path.join(META_PROPERTIES);
        let Some(text) = read_if_there(&*fs, &file)? else {
            let directory = DirectoryId(random.u64());
            let new = Self {
                fs,
                path: path.to_owned(),
                node,
                directory,
                cluster_id: None,
            };
            new.write()?;
            return Ok(new);
        };
        let entries = properties(&text);
        let unreadable = |key| DataDirError::Unreadable {
            path: file.clone(),
            key,
        };
        let found = entries
            .get("node.id")
            .ok_or_else(|| unreadable("node.id"))?;
        if *found != node.to_string() {
            let found = (*found).to_owned();
            return Err(DataDirError::OtherNode {
                path: file,
                found,
                configured: node,
            });
        }
        let directory = entries
            .get("directory.id")
            .and_then(|it| u64::from_str_radix(it, 16).ok());
        let directory = DirectoryId(directory.ok_or_else(|| unreadable("directory.id"))?);
        let cluster_id = entries.get("cluster.id").map(|it| (*it).to_owned());
        Ok(Self {
            fs,
            path: path.to_owned(),
            node,
            directory,
            cluster_id,
        })
    }

    /// Whether a directory has an identity already.
    pub fn is_there(fs: &dyn FileSystem, path: &Path) -> bool {
        fs.exists(&path.join(META_PROPERTIES)).unwrap_or(false)
    }

    /// Refuses a directory that cannot belong to one node together with `other`.
    pub(super) fn check_companion(&self, other: &Self) -> Result<(), DataDirError> {
        if self.directory == other.directory {
            return Err(DataDirError::Copied {
                path: self.path.clone(),
                other: other.path.clone(),
                directory: self.directory.0,
            });
        }
        match (&self.cluster_id, &other.cluster_id) {
            (Some(found), Some(expected)) if found != expected => Err(DataDirError::OtherCluster {
                path: self.path.join(META_PROPERTIES),
                found: found.clone(),
                expected: expected.clone(),
            }),
            (Some(_) | None, Some(_) | None) => Ok(()),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn directory(&self) -> DirectoryId {
        self.directory
    }

    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// Remembers the cluster this directory belongs to; a second one is refused.
    pub fn belongs_to(&mut self, cluster_id: &str) -> Result<(), DataDirError> {
        match &self.cluster_id {
            Some(known) if known == cluster_id => Ok(()),
            Some(known) => Err(DataDirError::OtherCluster {
                path: self.path.join(META_PROPERTIES),
                found: known.clone(),
                expected: cluster_id.to_owned(),
            }),
            None => {
                self.cluster_id = Some(cluster_id.to_owned());
                self.write()
            }
        }
    }

    fn write(&self) -> Result<(), DataDirError> {
        let cluster = self
            .cluster_id
            .as_ref()
            .map(|it| format!("cluster.id={it}\n"));
        let text = format!(
            "version=1\nnode.id={}\ndirectory.id={:016x}\n{}",
            self.node,
            self.directory.0,
            cluster.unwrap_or_default()
        );
        self.replace(META_PROPERTIES, text.as_bytes())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), DataDirError> {
        let path = self.path.join(name);
        replace_file(&*self.fs, &path, bytes).map_err(|it| storage("write", &path, it))
    }
}

fn properties(text: &str) -> BTreeMap<&str, &str> {
    let lines = text.lines().filter(|it| !it.starts_with('#'));
    lines
        .filter_map(|it| it.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim()))
        .collect()
}

fn read_if_there(fs: &dyn FileSystem, path: &Path) -> Result<Option<String>, DataDirError> {
    match read_file(fs, path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(storage("read", path, error)),
    }
}

fn storage(action: &'static str, path: &Path, source: io::Error) -> DataDirError {
    DataDirError::Storage {
        action,
        path: path.to_owned(),
        source,
    }
}
