//! The log directories at start: locked, known by their ids, and those that cannot be used put aside.
//!
//! Invariants: no directory is another process's, another node's or another cluster's; an empty
//! directory never takes the place of one that held replicas (a disk that was not mounted); the node
//! starts without a directory only while it has another, and never without that of the metadata log.

use std::path::Path;
use std::sync::Arc;

use drave_log::fs::FileSystem;
use drave_log::{LogDir, LogError};
use drave_protocol::ids::BrokerEpoch;
use tracing::error;

use crate::config::BrokerConfig;
use crate::replica::homes::{AbsentHome, Home, Homes};
use crate::replica::roster::Roster;

use super::data_dir::{DataDir, DataDirError};
use super::{Outside, StartError};

/// What the node starts with.
#[derive(Debug)]
pub(super) struct LogDirs {
    present: Vec<Home>,
    absent: Vec<AbsentHome>,
    roster: Roster,
    /// Of the metadata directory.
    pub(super) identity: DataDir,
    /// Of the other directories in use.
    pub(super) others: Vec<DataDir>,
    pub(super) previous_epoch: Option<BrokerEpoch>,
}

impl LogDirs {
    pub(super) fn open(config: &BrokerConfig, outside: &Outside) -> Result<Self, StartError> {
        let mut finding = Finding::new(config, outside);
        for path in &config.log_dirs {
            finding.lock(path)?;
        }
        let metadata_dir = &config.metadata_log_dir;
        let identity = finding.identity(metadata_dir)?;
        let roster = Roster::open(Arc::clone(&outside.fs), metadata_dir)?;
        finding.identify(identity, roster)
    }

    /// Learns the broker epoch of the last run, if all directories ended cleanly, and forgets it on
    /// disk. Late in a start: one that fails before, on a port in use, costs no marker.
    pub(super) fn take_clean_shutdown(&mut self) -> Result<(), LogError> {
        let taken = self.present.iter().map(|it| it.dir().take_clean_shutdown());
        let epochs: Vec<Option<BrokerEpoch>> = taken.collect::<Result<_, _>>()?;
        let first = epochs.first().copied().flatten();
        self.previous_epoch = first.filter(|it| epochs.iter().all(|other| *other == Some(*it)));
        Ok(())
    }

    pub(super) fn into_homes(self) -> Homes {
        Homes::new(self.present, self.absent, self.roster)
    }
}

/// Directories on their way into use.
struct Finding<'a> {
    config: &'a BrokerConfig,
    outside: &'a Outside,
    fs: Arc<dyn FileSystem>,
    locked: Vec<LogDir>,
    absent: Vec<AbsentHome>,
    first_failure: Option<StartError>,
}

impl<'a> Finding<'a> {
    fn new(config: &'a BrokerConfig, outside: &'a Outside) -> Self {
        Self {
            config,
            outside,
            fs: Arc::clone(&outside.fs),
            locked: Vec::new(),
            absent: Vec::new(),
            first_failure: None,
        }
    }

    /// The locks come first: nothing below is another process's.
    fn lock(&mut self, path: &Path) -> Result<(), StartError> {
        match LogDir::open(Arc::clone(&self.fs), path) {
            Ok(dir) => self.locked.push(dir),
            Err(error @ LogError::Locked { .. }) => return Err(error.into()),
            Err(error) => self.go_without(path, error.into())?,
        }
        Ok(())
    }

    /// Notes a directory that cannot be used; the metadata's must be.
    fn go_without(&mut self, path: &Path, failure: StartError) -> Result<(), StartError> {
        if path == self.config.metadata_log_dir {
            return Err(failure);
        }
        error!(dir = %path.display(), error = %failure, "going on without a log directory");
        self.absent.push(AbsentHome {
            path: path.to_owned(),
            directory: None,
            reason: failure.to_string(),
        });
        self.first_failure.get_or_insert(failure);
        Ok(())
    }

    fn identity(&self, path: &Path) -> Result<DataDir, DataDirError> {
        let (node, random) = (self.config.node_id, &self.outside.random);
        DataDir::open(Arc::clone(&self.fs), path, node, random)
    }

    fn identify(mut self, metadata: DataDir, mut roster: Roster) -> Result<LogDirs, StartError> {
        let (mut present, mut others) = (Vec::new(), Vec::new());
        // Those that say who they are first: an empty one may be where one of them was before.
        let mut locked = std::mem::take(&mut self.locked);
        locked.sort_by_key(|it| !DataDir::is_there(self.fs.as_ref(), it.path()));
        for dir in locked {
            let path = dir.path().to_owned();
            match self.take(dir, (&metadata, &others), &roster) {
                Ok((home, identity)) => {
                    present.push(home);
                    others.extend(identity);
                }
                Err(error) if error.is_foreign() => return Err(error),
                Err(error) => self.go_without(&path, error)?,
            }
        }
        if let Some(failure) = self.first_failure.take_if(|_| present.is_empty()) {
            return Err(failure);
        }
        // As configured, whatever order they were found in.
        let place = |home: &Home| {
            self.config
                .log_dirs
                .iter()
                .position(|it| it == home.dir().path())
        };
        present.sort_by_key(place);
        for absent in &mut self.absent {
            absent.directory = roster.held_at(&absent.path).map(|(directory, _)| directory);
        }
        let found = present
            .iter()
            .map(|it| (it.directory(), it.dir().path().to_owned()));
        roster.found(&found.collect::<Vec<_>>())?;
        Ok(LogDirs {
            present,
            absent: self.absent,
            roster,
            identity: metadata,
            others,
            previous_epoch: None,
        })
    }

    /// The directory in use; with its identity, unless it is the metadata's, which is known.
    fn take(
        &self,
        dir: LogDir,
        (metadata, others): (&DataDir, &[DataDir]),
        roster: &Roster,
    ) -> Result<(Home, Option<DataDir>), StartError> {
        let path = dir.path();
        let reserve = self.config.log_dirs_reserve_bytes;
        if metadata.path() == path {
            let directory = metadata.directory();
            return Ok((Home::open(dir, directory, reserve)?, None));
        }
        if !DataDir::is_there(self.fs.as_ref(), path)
            && let Some((directory, n_replicas)) = roster.held_at(path)
            && n_replicas > 0
            && !others.iter().any(|it| it.directory() == directory)
        {
            let path = path.to_owned();
            return Err(DataDirError::Emptied { path, n_replicas }.into());
        }
        let identity = self.identity(path)?;
        for other in [metadata].into_iter().chain(others) {
            identity.check_companion(other)?;
        }
        Ok((
            Home::open(dir, identity.directory(), reserve)?,
            Some(identity),
        ))
    }
}

#[cfg(test)]
#[path = "log_dirs_test.rs"]
mod tests;
