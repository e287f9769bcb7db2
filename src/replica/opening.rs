//! Finding or making the log of one replica: in which directory, and what is remembered of it.
//!
//! Invariants: a log on disk is taken only for the topic id it was written for; a replica that held
//! records before and whose log is not found is offline, never an empty log that passes for the old one;
//! a new log goes to the directory with the fewest.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use drave_log::{LogConfig, LogError, NotedOffsets, PartitionLog, Trouble, Unsettled};
use drave_protocol::ids::{DirectoryId, TopicIdPartition, TopicPartition};
use parking_lot::Mutex;
use thiserror::Error;
use tracing::{info, warn};

use super::homes::{Home, Homes};
use super::offline::Cure;

/// So many new replicas are worth a sync of the whole file system.
const TOGETHER_MIN: usize = 32;

/// One pass of opening logs, several at once.
#[derive(Debug)]
pub(super) struct Opening<'h> {
    homes: &'h Homes,
    /// Whether the image shows all that was agreed when this process registered.
    is_current: bool,
    n_by_directory: Mutex<BTreeMap<DirectoryId, usize>>,
}

/// A replica whose log was found, and is not open before it is settled.
#[derive(Debug)]
pub(super) struct Found<'h> {
    id: TopicIdPartition,
    name: TopicPartition,
    config: LogConfig,
    home: &'h Arc<Home>,
    noted: NotedOffsets,
    log: Unsettled,
}

/// An open log, and where it lies.
#[derive(Debug)]
pub(super) struct OpenLog {
    pub(super) home: Arc<Home>,
    pub(super) log: PartitionLog,
    pub(super) noted: NotedOffsets,
}

#[derive(Debug, Error)]
pub(super) enum OpenError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("its log directory {} is offline: {reason}", path.display())]
    DirectoryOffline { path: PathBuf, reason: String },
    #[error(
        "its log was in {} and is gone; if no other replica leads it, bring the folder back and \
         start the node again",
        folder.display()
    )]
    Lost { folder: PathBuf },
    #[error(
        "its log is in {} and in {}; move one of the two away and start the node again",
        first.display(),
        second.display()
    )]
    Twice { first: PathBuf, second: PathBuf },
    #[error("no log directory is left for it")]
    Nowhere,
    #[error(
        "{n_logs} logs are open, and this process may open files for {logs_max}; raise its limit of open \
         files (RLIMIT_NOFILE) and start the node again"
    )]
    TooMany { n_logs: usize, logs_max: usize },
}

impl OpenError {
    pub(super) fn cure(&self) -> Cure {
        match self {
            Self::Log(error) => match error.trouble() {
                Trouble::Damage => Cure::Refetch,
                Trouble::Neither => Cure::Retry,
                Trouble::Directory => Cure::None,
            },
            Self::Lost { .. } => Cure::Refetch,
            Self::DirectoryOffline { .. }
            | Self::Twice { .. }
            | Self::Nowhere
            | Self::TooMany { .. } => Cure::None,
        }
    }
}

impl<'h> Opening<'h> {
    pub(super) fn new(homes: &'h Homes, is_current: bool) -> Self {
        Self {
            homes,
            is_current,
            n_by_directory: Mutex::new(homes.roster.lock().n_by_directory()),
        }
    }

    /// Makes the folders of many new replicas together, before they are opened one by one. Where that fails,
    /// opening them says why.
    pub(super) fn prepare(&self, wanted: &[(TopicIdPartition, &TopicPartition)]) {
        if !self.is_current || wanted.len() < TOGETHER_MIN {
            return;
        }
        let mut new_by_home = BTreeMap::new();
        for (id, name) in wanted {
            let is_known = self.homes.roster.lock().home_of(*id).is_some();
            let mut well = self.homes.well();
            if is_known || well.any(|it| it.dir.has_log(name).unwrap_or(true)) {
                continue;
            }
            // What is remembered of an earlier log of that name is for opening to deal with.
            if let Ok(home) = self.for_a_new_one()
                && home.noted(name) == NotedOffsets::default()
            {
                let (_, new) = new_by_home
                    .entry(home.directory())
                    .or_insert_with(|| (home, Vec::new()));
                new.push(((*name).clone(), id.topic_id));
            }
        }
        for (home, new) in new_by_home.into_values() {
            if let Err(error) = home.dir.prepare_logs(new) {
                warn!(dir = %home.path().display(), %error, "folders of new logs could not be made together");
            }
        }
    }

    /// `None` while it is not known whether there is such a replica: an image from before this
    /// process's registration may be older than the disk.
    pub(super) fn open(
        &self,
        id: TopicIdPartition,
        name: &TopicPartition,
        config: LogConfig,
    ) -> Result<Option<OpenLog>, OpenError> {
        self.find(id, name, config)
            .and_then(|found| self.settle(found))
    }

    /// The first half of [`Self::open`]: of many replicas all are found before the first is settled.
    pub(super) fn find(
        &self,
        id: TopicIdPartition,
        name: &TopicPartition,
        config: LogConfig,
    ) -> Result<Option<Found<'_>>, OpenError> {
        let Some(home) = self.home_of(id, name)? else {
            return Ok(None);
        };
        let found = find_in(home, id, name, config);
        let found = found.inspect_err(|error| suspect(home, error))?;
        Ok(Some(found))
    }

    /// The second half of [`Self::open`].
    pub(super) fn settle(&self, found: Option<Found<'_>>) -> Result<Option<OpenLog>, OpenError> {
        let Some(found) = found else {
            return Ok(None);
        };
        let home = found.home;
        let settled = self.settle_in(found);
        settled
            .inspect_err(|error| suspect(home, error))
            .map_err(OpenError::from)
    }

    /// Begins a replica's log anew in the directory it was in; what is left of the old one is put aside.
    pub(super) fn begin_anew(
        &self,
        id: TopicIdPartition,
        name: &TopicPartition,
        config: LogConfig,
    ) -> Result<OpenLog, OpenError> {
        let home = self.homes.home_of(id);
        let home = home.filter(|it| it.failure().is_none());
        let home = home
            .or_else(|| self.with_fewest())
            .ok_or(OpenError::Nowhere)?;
        let opened = Self::put_aside(home, name)
            .and_then(|()| find_in(home, id, name, config))
            .and_then(|found| self.settle_in(found))
            .inspect_err(|error| suspect(home, error))?;
        opened.ok_or(OpenError::Nowhere)
    }

    fn put_aside(home: &Home, name: &TopicPartition) -> Result<(), LogError> {
        if home.dir.has_log(name)? {
            let aside = home.dir.set_log_aside(name)?;
            info!(partition = %name, path = %aside.display(), "put the damaged log aside");
        }
        home.forget(name);
        Ok(())
    }

    fn settle_in(&self, found: Found<'_>) -> Result<Option<OpenLog>, LogError> {
        let Found {
            id,
            config,
            mut noted,
            ..
        } = found;
        let (home, name) = (found.home, &found.name);
        let (mut log, report) = found.log.settled()?;
        if log.topic_id().is_some_and(|it| it != id.topic_id) {
            if !self.is_current {
                return Ok(None);
            }
            // The image says this name is another topic now, so the one this was is deleted.
            info!(partition = %name, topic_id = ?log.topic_id(), "deletes an earlier topic's log");
            log.delete()?;
            noted = home.noted_for(name)?;
            (log, _) = home.dir.open_noted(name, config, noted)?;
        }
        if log.topic_id().is_none() {
            log.assign_topic_id(id.topic_id)?;
        }
        if !report.is_clean() {
            warn!(partition = %name, repairs = ?report.repairs, "recovery repaired the log");
        }
        let home = Arc::clone(home);
        Ok(Some(OpenLog { home, log, noted }))
    }

    /// Where the replica lies, or where a new one goes.
    fn home_of(
        &self,
        id: TopicIdPartition,
        name: &TopicPartition,
    ) -> Result<Option<&Arc<Home>>, OpenError> {
        let known = self.homes.roster.lock().home_of(id);
        if let Some(directory) = known {
            return self.known_home(directory, name).map(Some);
        }
        let mut found = Vec::new();
        for home in self.homes.well() {
            if home.dir.has_log(name)? {
                found.push(home);
            }
        }
        match found.as_slice() {
            [] if self.is_current => self.for_a_new_one().map(Some),
            [] => Ok(None),
            [one] => Ok(Some(one)),
            [first, second, ..] => Err(OpenError::Twice {
                first: first.dir.log_path(name),
                second: second.dir.log_path(name),
            }),
        }
    }

    fn known_home(
        &self,
        directory: DirectoryId,
        name: &TopicPartition,
    ) -> Result<&Arc<Home>, OpenError> {
        let Some(home) = self.homes.by_id(directory) else {
            return Err(self.absent(directory));
        };
        if let Some(reason) = home.failure() {
            let (path, reason) = (home.path().to_owned(), reason.to_owned());
            return Err(OpenError::DirectoryOffline { path, reason });
        }
        if home.dir.has_log(name)? {
            return Ok(home);
        }
        let folder = home.dir.log_path(name);
        Err(OpenError::Lost { folder })
    }

    fn absent(&self, directory: DirectoryId) -> OpenError {
        let mut absent = self.homes.absent.iter();
        if let Some(found) = absent.find(|it| it.directory == Some(directory)) {
            let (path, reason) = (found.path.clone(), found.reason.clone());
            return OpenError::DirectoryOffline { path, reason };
        }
        let roster = self.homes.roster.lock();
        OpenError::DirectoryOffline {
            path: roster
                .path_of(directory)
                .unwrap_or(&PathBuf::new())
                .to_owned(),
            reason: format!("no directory of log.dirs is {:016x}", directory.0),
        }
    }

    fn for_a_new_one(&self) -> Result<&Arc<Home>, OpenError> {
        let n_logs = self.n_by_directory.lock().values().sum();
        let logs_max = self.homes.logs_max;
        if n_logs >= logs_max {
            return Err(OpenError::TooMany { n_logs, logs_max });
        }
        self.with_fewest().ok_or(OpenError::Nowhere)
    }

    fn with_fewest(&self) -> Option<&Arc<Home>> {
        let mut n_by_directory = self.n_by_directory.lock();
        let n_in = |it: &&Arc<Home>| n_by_directory.get(&it.directory()).copied().unwrap_or(0);
        let home = self.homes.well().min_by_key(n_in)?;
        *n_by_directory.entry(home.directory()).or_default() += 1;
        Some(home)
    }
}

fn find_in<'h>(
    home: &'h Arc<Home>,
    id: TopicIdPartition,
    name: &TopicPartition,
    config: LogConfig,
) -> Result<Found<'h>, LogError> {
    let noted = home.noted_for(name)?;
    let log = home.dir.find_noted(name, config.clone(), noted)?;
    Ok(Found {
        id,
        name: name.clone(),
        config,
        home,
        noted,
        log,
    })
}

/// A directory in which a log could not be opened may be what failed.
fn suspect(home: &Home, error: &LogError) {
    if error.trouble() == Trouble::Directory {
        home.fail(&error.to_string());
    }
}

#[cfg(test)]
#[path = "opening_test.rs"]
mod tests;
