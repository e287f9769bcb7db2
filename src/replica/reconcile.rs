//! From the agreed image to roles: which partitions live here, who leads them, whom to follow.
//!
//! Invariants: a log on disk is taken only for the topic id it was written for. What lies on disk and is
//! not in the image is deleted only by an image known to be newer than the disk: a restarted node begins
//! with an image from before its death, in which a young topic is missing and a deleted one still
//! stands. Passes are idempotent, so a missed or repeated one is harmless.

use std::collections::BTreeMap;
use std::sync::Arc;

use drave_log::{FolderOwner, LogFolder};
use drave_protocol::ids::{TopicIdPartition, TopicPartition};
use drave_raft::image::{MetadataImage, PartitionRegistration};
use drave_raft::record::ConfigResource;
use tracing::{error, info};

use crate::cluster::metadata::Metadata;
use crate::config::TopicConfig;

use super::log_config::log_config;
use super::opening::Opening;
use super::partition::{Partition, Policy};
use super::replicas::Replicas;

pub(super) async fn run(replicas: Replicas, mut metadata: Metadata) {
    let tasks = replicas.tasks().clone();
    let mut done: Arc<MetadataImage> = Arc::default();
    let mut was_current = false;
    loop {
        let image = metadata.image();
        let is_current = is_current(&replicas, &image);
        if is_current && !was_current {
            // What was left alone until now is looked at again.
            done = Arc::default();
        }
        if image.offset > done.offset {
            let pass = Pass {
                replicas: replicas.clone(),
                before: done,
                after: Arc::clone(&image),
                is_first_current: is_current && !was_current,
                opening: Opening::new(&replicas, is_current),
            };
            tasks.run_blocking(move || pass.run()).await;
        }
        replicas.settle(image.offset);
        was_current |= is_current;
        done = image;
        tokio::select! {
            biased; // roles of a stopping node no longer matter
            () = tasks.stopping() => return,
            alive = metadata.changed() => if !alive { return },
        }
    }
}

/// Whether the image holds this process's own registration, and so all that was agreed before it:
/// everything an earlier process of this node can have written to disk for.
fn is_current(replicas: &Replicas, image: &MetadataImage) -> bool {
    let registered = replicas.broker_epoch();
    let registered = registered.and_then(|epoch| u64::try_from(epoch.0).ok());
    registered.is_some_and(|offset| image.offset.0 >= offset)
}

/// One step from an image to a newer one. Blocks on the disk.
struct Pass {
    replicas: Replicas,
    before: Arc<MetadataImage>,
    after: Arc<MetadataImage>,
    is_first_current: bool,
    opening: Opening,
}

impl Pass {
    fn run(&self) {
        self.retire_deleted();
        if self.is_first_current {
            self.remove_strays();
        }
        for (topic_id, topic) in self.after.topics.iter() {
            let before = self.before.topics.get(topic_id);
            let config_changed = self.config_changed(&topic.name);
            // Topics share their `Arc` with the image before unless something in them changed.
            if before.is_some_and(|it| Arc::ptr_eq(it, topic)) && !config_changed {
                continue;
            }
            for (number, registration) in (0..).zip(&topic.partitions) {
                let id = TopicIdPartition {
                    topic_id: *topic_id,
                    partition: number,
                };
                let name = TopicPartition {
                    topic: topic.name.clone(),
                    partition: number,
                };
                self.place(id, &name, registration, config_changed);
            }
        }
    }

    fn config_changed(&self, topic: &str) -> bool {
        let resource = ConfigResource::Topic(topic.to_owned());
        self.before.configs.get(&resource) != self.after.configs.get(&resource)
    }

    fn retire_deleted(&self) {
        for partition in self.replicas.all() {
            if !self.after.topics.contains_key(&partition.id().topic_id) {
                self.replicas
                    .fetchers()
                    .place(&self.replicas, &partition, None);
                self.replicas.remove(partition.id());
                partition.retire();
                info!(partition = %partition.name(), "partition deleted");
            }
        }
    }

    /// Logs left by topics that were deleted, or moved away, while this node was not there.
    fn remove_strays(&self) {
        for dir in self.replicas.log_dirs() {
            let folders = match dir.logs() {
                Ok(folders) => folders,
                Err(error) => {
                    error!(dir = %dir.path().display(), %error, "a log directory cannot be listed");
                    continue;
                }
            };
            for folder in folders.iter().filter(|it| !self.is_wanted(it)) {
                info!(partition = %folder.partition, "deletes the log of a partition that is gone");
                if let Err(error) = dir.remove_log(&folder.partition) {
                    error!(partition = %folder.partition, %error, "its files could not be removed");
                }
            }
        }
    }

    fn is_wanted(&self, folder: &LogFolder) -> bool {
        let TopicPartition {
            topic: name,
            partition,
        } = &folder.partition;
        let Some(topic_id) = self.after.topic_ids.get(name) else {
            return false;
        };
        let is_of_topic = match &folder.owner {
            FolderOwner::Topic(it) => it == topic_id,
            // Nothing is deleted on a guess; what is unreadable will not open, and is shown then.
            FolderOwner::NotNoted | FolderOwner::Unreadable(_) => true,
        };
        let topic = self.after.topics.get(topic_id).filter(|_| is_of_topic);
        let registration =
            topic.and_then(|it| it.partitions.get(usize::try_from(*partition).ok()?));
        registration.is_some_and(|it| it.replicas.contains(&self.replicas.node()))
    }

    fn place(
        &self,
        id: TopicIdPartition,
        name: &TopicPartition,
        registration: &PartitionRegistration,
        config_changed: bool,
    ) {
        let node = self.replicas.node();
        if !registration.replicas.contains(&node) {
            if let Some(partition) = self.replicas.remove(id) {
                self.replicas
                    .fetchers()
                    .place(&self.replicas, &partition, None);
                partition.retire();
            }
            return;
        }
        let Some(partition) = self.opened(id, name) else {
            return;
        };
        let now = self.replicas.clock().now();
        if config_changed {
            let config = self.topic_config(partition.name());
            let policy = Policy::of(&config, self.replicas.config());
            partition.set_policy(now, policy, log_config(&config, self.replicas.config()));
        }
        partition.take_role(now, registration);
        let follows = registration.leader.filter(|it| *it != node);
        self.replicas
            .fetchers()
            .place(&self.replicas, &partition, follows);
    }

    fn opened(&self, id: TopicIdPartition, name: &TopicPartition) -> Option<Arc<Partition>> {
        if let Some(partition) = self.replicas.partition(id) {
            return Some(partition);
        }
        let config = self.topic_config(name);
        match self.opening.open(id, name, &config) {
            Ok(None) => None,
            Ok(Some(partition)) => {
                let partition = Arc::new(partition);
                self.replicas.insert(Arc::clone(&partition));
                Some(partition)
            }
            Err(error) => {
                error!(partition = %name, %error, "the partition's log could not be opened");
                self.replicas.could_not_open(id, error.to_string());
                None
            }
        }
    }

    fn topic_config(&self, name: &TopicPartition) -> TopicConfig {
        let overrides = self
            .after
            .configs
            .get(&ConfigResource::Topic(name.topic.clone()));
        let none = BTreeMap::new();
        let overrides = overrides.map_or(&none, |it| it.as_ref());
        TopicConfig::effective(self.replicas.config(), overrides)
    }
}
