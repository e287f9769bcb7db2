//! Finding or making the log of one partition: in which directory, and what is remembered of it.
//!
//! Invariants: a log on disk is taken only for the topic id it was written for; what the checkpoints
//! say is read once for all logs opened together.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use drave_log::{Checkpoints, LogDir, LogError};
use drave_protocol::ids::{TopicIdPartition, TopicPartition};
use tracing::{info, warn};

use crate::config::TopicConfig;

use super::log_config::log_config;
use super::partition::{Partition, Policy};
use super::replicas::Replicas;

/// One pass of opening logs.
pub(super) struct Opening {
    replicas: Replicas,
    /// Whether the image shows all that was agreed when this process registered.
    is_current: bool,
    remembered: RefCell<BTreeMap<PathBuf, Arc<Checkpoints>>>,
}

impl Opening {
    pub(super) fn new(replicas: &Replicas, is_current: bool) -> Self {
        Self {
            replicas: replicas.clone(),
            is_current,
            remembered: RefCell::default(),
        }
    }

    /// `None` while it is not known which is newer, the topic on disk or the one in the image.
    pub(super) fn open(
        &self,
        id: TopicIdPartition,
        name: &TopicPartition,
        config: &TopicConfig,
    ) -> Result<Option<Partition>, LogError> {
        let dir = self.home_of(name);
        let noted = self.remembered_in(dir)?.noted(name);
        let (mut log, report) =
            dir.open_noted(name, log_config(config, self.replicas.config()), noted)?;
        if log.topic_id().is_some_and(|it| it != id.topic_id) {
            if !self.is_current {
                return Ok(None);
            }
            // The image says this name is another topic now, so the one this was is deleted.
            info!(partition = %name, topic_id = ?log.topic_id(), "deletes an earlier topic's log");
            log.delete()?;
            (log, _) = dir.open_noted(name, log_config(config, self.replicas.config()), noted)?;
        }
        if log.topic_id().is_none() {
            log.assign_topic_id(id.topic_id)?;
        }
        if !report.is_clean() {
            warn!(partition = %name, repairs = ?report.repairs, "recovery repaired the log");
        }
        let replicas = &self.replicas;
        let policy = Policy::of(config, replicas.config());
        let home = (policy, Arc::clone(replicas.signals()));
        let node = replicas.node();
        let partition = Partition::new(id, name.clone(), node, log, noted.high_watermark, home);
        Ok(Some(partition))
    }

    fn remembered_in(&self, dir: &LogDir) -> Result<Arc<Checkpoints>, LogError> {
        if let Some(known) = self.remembered.borrow().get(dir.path()) {
            return Ok(Arc::clone(known));
        }
        let read = Arc::new(dir.checkpoints()?);
        let mut remembered = self.remembered.borrow_mut();
        remembered.insert(dir.path().to_owned(), Arc::clone(&read));
        Ok(read)
    }

    /// Where the partition lies, or where a new one goes: the directory with the fewest.
    fn home_of(&self, name: &TopicPartition) -> &LogDir {
        let replicas = &self.replicas;
        let dirs = replicas.log_dirs();
        let lies_in = |dir: &&LogDir| replicas.fs().exists(&dir.log_path(name)).unwrap_or(false);
        let fewest = || {
            let all = replicas.all();
            dirs.iter()
                .min_by_key(|dir| all.iter().filter(|it| it.is_in(dir.path())).count())
        };
        let chosen = if dirs.len() > 1 {
            dirs.iter().find(lies_in).or_else(fewest)
        } else {
            dirs.first()
        };
        chosen.expect("a node does not start without a log directory")
    }
}
