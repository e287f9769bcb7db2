//! What lies in a log's folder, listed once: whoever opens a log asks for a dozen names, and most are not there.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::error::{During, LogError};
use crate::fs::{Entry, EntryKind, FileSystem};

/// Of one moment: who makes or removes a name that is asked for later lists anew.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    by_name: BTreeMap<String, EntryKind>,
}

impl Listing {
    pub(crate) fn of(fs: &dyn FileSystem, dir: &Path) -> Result<Self, LogError> {
        let entries = fs.list(dir).during("list", dir)?;
        let by_name = entries.into_iter().map(|Entry { name, kind }| (name, kind));
        Ok(Self {
            by_name: by_name.collect(),
        })
    }

    /// `None` when there is no such folder.
    pub(crate) fn if_there(fs: &dyn FileSystem, dir: &Path) -> Result<Option<Self>, LogError> {
        match Self::of(fs, dir) {
            Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            listed => listed.map(Some),
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, EntryKind)> {
        self.by_name
            .iter()
            .map(|(name, kind)| (name.as_str(), *kind))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// Names and sizes.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, u64)> {
        self.entries().filter_map(|(name, kind)| match kind {
            EntryKind::File { size } => Some((name, size)),
            EntryKind::Folder => None,
        })
    }
}
