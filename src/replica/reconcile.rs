//! From the agreed image to roles: which partitions live here, who leads them, whom to follow.
//!
//! Invariants: a log on disk is taken only for the topic id it was written for. What lies on disk and is
//! not in the image is deleted only by an image known to be newer than the disk: a restarted node begins
//! with an image from before its death, in which a young topic is missing and a deleted one still
//! stands. Passes are idempotent, so a missed or repeated one is harmless.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use drave_log::{FolderOwner, LogFolder, side_by_side};
use drave_protocol::ids::{TopicIdPartition, TopicPartition};
use drave_raft::image::{MetadataImage, PartitionRegistration, TopicImage};
use drave_raft::record::ConfigResource;
use parking_lot::Mutex;
use tracing::{error, info, warn};

use crate::cluster::metadata::Metadata;
use crate::cluster::view::ClusterView;
use crate::config::{BrokerConfig, TopicConfig};

use super::claims::{is_current, is_taken_away, may_begin_anew, may_take_role};
use super::homes::Home;
use super::log_config::log_config;
use super::offline::{Cure, Offline, Unopened};
use super::opening::{OpenError, OpenLog, Opening};
use super::partition::{Partition, Policy, Telling};
use super::replicas::Replicas;

/// Roles that one step of the image changes and that are told of each: a line for each of thousands would take
/// longer than taking them.
const TOLD_EACH_MAX: usize = 100;

pub(super) async fn run(replicas: Replicas, mut metadata: Metadata) {
    let tasks = replicas.tasks().clone();
    let mut done: Arc<MetadataImage> = Arc::default();
    let mut was_current = false;
    let mut config = Arc::clone(replicas.config());
    loop {
        let image = metadata.image();
        let is_current = is_current(replicas.broker_epoch(), &image);
        if is_current && !was_current {
            // What was left alone until now is looked at again.
            done = Arc::default();
        }
        let has_new_config = agreed_entries_changed(&replicas, &done, &image);
        if has_new_config {
            let view = ClusterView::new(Arc::clone(&image));
            config = Arc::new(view.broker_config(replicas.config()));
            warn_of_own_opinion(replicas.config(), &config);
            replicas.throttle().set_rates(
                config.leader_replication_throttled_rate,
                config.follower_replication_throttled_rate,
                replicas.clock().now(),
            );
        }
        if image.offset > done.offset {
            let pass = Pass {
                config: Arc::clone(&config),
                has_new_config,
                replicas: replicas.clone(),
                before: done,
                after: Arc::clone(&image),
                is_current,
                is_first_current: is_current && !was_current,
                doomed: Mutex::default(),
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
            () = replicas.signals().to_retry() => retry(&replicas, &done, &config, was_current).await,
        }
    }
}

/// Opens again what may be opened again.
async fn retry(
    replicas: &Replicas,
    image: &Arc<MetadataImage>,
    config: &Arc<BrokerConfig>,
    is_current: bool,
) {
    let pass = Pass {
        config: Arc::clone(config),
        has_new_config: false,
        replicas: replicas.clone(),
        before: Arc::clone(image),
        after: Arc::clone(image),
        is_current,
        is_first_current: false,
        doomed: Mutex::default(),
    };
    let work = move || pass.open_again();
    replicas.tasks().run_blocking(work).await;
}

/// Whether what was agreed for brokers, for all or for this one, is not what it was.
fn agreed_entries_changed(
    replicas: &Replicas,
    before: &MetadataImage,
    after: &MetadataImage,
) -> bool {
    let own = ConfigResource::Broker(replicas.node());
    let differs = |it: &ConfigResource| before.configs.get(it) != after.configs.get(it);
    differs(&own) || differs(&ConfigResource::Cluster)
}

/// Says so where a node's own file asks for something else than all nodes agreed on.
fn warn_of_own_opinion(started_with: &BrokerConfig, agreed: &BrokerConfig) {
    let asked = started_with.min_insync_replicas;
    let (is_set, in_force) = (
        started_with.settings().get("min.insync.replicas").is_some(),
        agreed.min_insync_replicas,
    );
    if is_set && asked != in_force {
        warn!(
            asked,
            in_force,
            "min.insync.replicas is the cluster's: change it with `drave config set cluster`"
        );
    }
}

/// One step from an image to a newer one. Blocks on the disk.
struct Pass {
    replicas: Replicas,
    /// What is in force on this node.
    config: Arc<BrokerConfig>,
    has_new_config: bool,
    before: Arc<MetadataImage>,
    after: Arc<MetadataImage>,
    is_current: bool,
    is_first_current: bool,
    /// Folders of logs that are gone, to be removed when all roles are taken.
    doomed: Mutex<Vec<(Arc<Home>, PathBuf)>>,
}

impl Pass {
    fn run(&self) {
        self.retire_deleted();
        if self.is_first_current {
            self.remove_strays();
        }
        self.open_new();
        self.place_all();
        if self.is_current {
            self.begin_lost_anew();
        }
        self.remove_doomed();
    }

    /// Beside whatever the next image asks for: thousands of folders take a while.
    fn remove_doomed(&self) {
        let doomed = std::mem::take(&mut *self.doomed.lock());
        for home in self.replicas.homes().well() {
            let here = doomed.iter().filter(|(it, _)| Arc::ptr_eq(it, home));
            let here: Vec<PathBuf> = here.map(|(_, path)| path.clone()).collect();
            if here.is_empty() {
                continue;
            }
            let home = Arc::clone(home);
            self.replicas.tasks().start_blocking(move || {
                if let Err(error) = home.dir.remove_doomed(&here) {
                    // The next start sweeps them away.
                    error!(dir = %home.path().display(), %error, "deleted logs could not be removed");
                }
            });
        }
    }

    fn place_all(&self) {
        let mut changed = Vec::new();
        for (topic, config_changed) in self.changed_topics() {
            let all = partitions_of(topic);
            let of_topic =
                all.filter(|(id, _, it)| config_changed || !self.is_same_as_before(*id, it));
            changed.extend(of_topic.map(|it| (it, config_changed)));
        }
        let telling = if changed.len() > TOLD_EACH_MAX {
            let n_partitions = changed.len();
            info!(n_partitions, offset = %self.after.offset, "takes roles");
            Telling::Together
        } else {
            Telling::Each
        };
        for ((id, name, registration), config_changed) in changed {
            self.place(id, &name, registration, (config_changed, telling));
        }
    }

    /// Topics in which something changed, and whether their configuration did.
    fn changed_topics(&self) -> impl Iterator<Item = (&TopicImage, bool)> {
        self.after.topics.iter().filter_map(|(topic_id, topic)| {
            let before = self.before.topics.get(topic_id);
            let config_changed = self.has_new_config || self.config_changed(&topic.name);
            // Topics share their `Arc` with the image before unless something in them changed.
            let is_same = before.is_some_and(|it| Arc::ptr_eq(it, topic));
            (!is_same || config_changed).then_some((topic.as_ref(), config_changed))
        })
    }

    /// Of a topic with many partitions most are what they were.
    fn is_same_as_before(
        &self,
        id: TopicIdPartition,
        registration: &Arc<PartitionRegistration>,
    ) -> bool {
        let before = self.before.partition(id);
        before.is_some_and(|it| Arc::ptr_eq(it, registration))
    }

    fn config_changed(&self, topic: &str) -> bool {
        let resource = ConfigResource::Topic(topic.to_owned());
        self.before.configs.get(&resource) != self.after.configs.get(&resource)
    }

    fn retire_deleted(&self) {
        let is_gone = |id: &TopicIdPartition| !self.after.topics.contains_key(&id.topic_id);
        let mut gone = self.replicas.all();
        gone.retain(|it| is_gone(&it.id()));
        if gone.len() > TOLD_EACH_MAX {
            info!(n_partitions = gone.len(), "partitions deleted");
        }
        for partition in &gone {
            self.retire(partition);
            if gone.len() <= TOLD_EACH_MAX {
                info!(partition = %partition.name(), "partition deleted");
            }
        }
        for (id, name) in self.replicas.unopened_names() {
            if is_gone(&id) {
                self.replicas.remove(id);
                self.delete_unopened(id, &name);
            }
        }
    }

    fn retire(&self, partition: &Arc<Partition>) {
        let id = partition.id();
        self.replicas
            .fetchers()
            .place(&self.replicas, partition, None);
        self.replicas.remove(id);
        let doomed = partition.retire();
        let doomed = doomed.map(|it| (Arc::clone(partition.home()), it));
        self.doomed.lock().extend(doomed);
        self.replicas.homes().forget(id, partition.name());
    }

    /// Deletes the files of a log that never opened.
    fn delete_unopened(&self, id: TopicIdPartition, name: &TopicPartition) {
        let homes = self.replicas.homes();
        if let Some(home) = homes.home_of(id).filter(|it| it.failure().is_none())
            && let Err(error) = home.delete(name)
        {
            error!(partition = %name, %error, "its files could not be removed");
        }
        homes.forget(id, name);
    }

    /// Logs left by topics that were deleted, or moved away, while this node was not there. Those that are open
    /// are retired when roles are taken.
    fn remove_strays(&self) {
        let all = self.replicas.all();
        let open: BTreeSet<&TopicPartition> = all.iter().map(|it| it.name()).collect();
        for home in self.replicas.homes().well() {
            let folders = match home.dir.logs() {
                Ok(folders) => folders,
                Err(error) => {
                    error!(dir = %home.path().display(), %error, "a log directory cannot be listed");
                    continue;
                }
            };
            let is_stray = |it: &&LogFolder| !self.is_wanted(it) && !open.contains(&it.partition);
            for folder in folders.iter().filter(is_stray) {
                info!(partition = %folder.partition, "deletes the log of a partition that is gone");
                if let Err(error) = home.delete(&folder.partition) {
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

    // ---- logs --------------------------------------------------------------------------------

    /// Opens the logs of replicas that are new here. They are noted as placed, together, before any
    /// of them can take a record.
    fn open_new(&self) {
        let opening = Opening::new(self.replicas.homes(), self.is_current);
        let mut wanted = Vec::new();
        for (topic, _) in self.changed_topics() {
            let config = Arc::new(self.topic_config(&topic.name));
            for (id, name, registration) in partitions_of(topic) {
                if self.is_to_be_opened(id, registration) {
                    wanted.push((id, name, Arc::clone(&config)));
                }
            }
        }
        let names: Vec<_> = wanted.iter().map(|(id, name, _)| (*id, name)).collect();
        opening.prepare(&names);
        let found = side_by_side::map(wanted, |(id, name, config)| {
            let found = opening.find(id, &name, log_config(&config, &self.config));
            (id, name, config, found)
        });
        // Only now: the disk has begun with the first when the last is found, and their syncs wait for little.
        let opened = side_by_side::map(found, |(id, name, config, found)| {
            let settled = found.and_then(|it| opening.settle(it));
            self.opened(id, name, &config, settled)
        });
        self.insert(opened.into_iter().flatten().collect());
    }

    fn is_to_be_opened(&self, id: TopicIdPartition, registration: &PartitionRegistration) -> bool {
        let is_held_here = registration.replicas.contains(&self.replicas.node());
        let may_open = match self.replicas.offline_cure(id) {
            None | Some(Cure::Retry) => true,
            Some(Cure::Refetch | Cure::None) => false,
        };
        is_held_here && may_open && self.replicas.partition(id).is_none()
    }

    fn open(
        &self,
        opening: &Opening<'_>,
        id: TopicIdPartition,
        name: TopicPartition,
        config: &TopicConfig,
    ) -> Option<Partition> {
        let opened = opening.open(id, &name, log_config(config, &self.config));
        self.opened(id, name, config, opened)
    }

    fn opened(
        &self,
        id: TopicIdPartition,
        name: TopicPartition,
        config: &TopicConfig,
        opened: Result<Option<OpenLog>, OpenError>,
    ) -> Option<Partition> {
        match opened {
            Ok(open) => Some(self.partition(id, name, config, open?)),
            Err(error) => {
                error!(partition = %name, %error, "the partition's log could not be opened");
                let (reason, cure) = (error.to_string(), error.cure());
                let offline = Offline { reason, cure };
                self.replicas.could_not_open(id, Unopened { name, offline });
                None
            }
        }
    }

    fn partition(
        &self,
        id: TopicIdPartition,
        name: TopicPartition,
        config: &TopicConfig,
        open: OpenLog,
    ) -> Partition {
        let policy = Policy::of(config, &self.config, id.partition);
        let signals = Arc::clone(self.replicas.signals());
        Partition::new(id, name, self.replicas.node(), open, (policy, signals))
    }

    /// Replicas that went offline for a reason that may have passed.
    fn open_again(&self) {
        let opening = Opening::new(self.replicas.homes(), self.is_current);
        for id in self.replicas.to_be_retried() {
            let topic = self.after.topics.get(&id.topic_id);
            let (Some(topic), Some(registration)) = (topic, self.after.partition(id)) else {
                continue;
            };
            let name = TopicPartition {
                topic: topic.name.clone(),
                partition: id.partition,
            };
            self.close(id);
            let config = self.topic_config(&topic.name);
            let opened = self.open(&opening, id, name.clone(), &config);
            self.insert(opened.into_iter().collect());
            self.place(id, &name, registration, (false, Telling::Each));
            self.replicas.signals().tell_offline();
        }
    }

    /// Takes a failed log out of use; its files stay.
    fn close(&self, id: TopicIdPartition) {
        if let Some(failed) = self.replicas.partition(id) {
            self.replicas
                .fetchers()
                .place(&self.replicas, &failed, None);
            failed.step_aside();
            self.replicas.remove(id);
        }
    }

    fn insert(&self, opened: Vec<Partition>) {
        let placed = opened.iter().map(|it| (it.id(), it.home().directory()));
        let placed: Vec<_> = placed.collect();
        if let Err(error) = self.replicas.homes().roster.lock().place(&placed) {
            // A log that is not noted could be lost one day without anyone noticing.
            let reason = format!("replicas cannot be noted as placed: {error}");
            self.replicas.signals().node_failed(reason);
            return;
        }
        for partition in opened {
            self.replicas.insert(Arc::new(partition));
        }
    }

    /// Replicas whose log is lost or damaged begin with an empty one, once the controller knows that
    /// they are offline, nobody counts on what they held, and another replica leads.
    fn begin_lost_anew(&self) {
        let node = self.replicas.node();
        let Some(offline) = self.after.offline_replicas.get(&node) else {
            return;
        };
        for id in offline.iter().copied() {
            if self.replicas.offline_cure(id) != Some(Cure::Refetch) {
                continue;
            }
            let topic = self.after.topics.get(&id.topic_id);
            let (Some(topic), Some(registration)) = (topic, self.after.partition(id)) else {
                continue;
            };
            if let Some(leader) = may_begin_anew(node, registration) {
                let name = TopicPartition {
                    topic: topic.name.clone(),
                    partition: id.partition,
                };
                warn!(partition = %name, %leader, "begins a lost or damaged log anew, from its leader");
                self.begin_anew(id, &name, registration);
            }
        }
    }

    fn begin_anew(
        &self,
        id: TopicIdPartition,
        name: &TopicPartition,
        registration: &PartitionRegistration,
    ) {
        let config = self.topic_config(&name.topic);
        self.close(id);
        let opening = Opening::new(self.replicas.homes(), self.is_current);
        match opening.begin_anew(id, name, log_config(&config, &self.config)) {
            Ok(open) => {
                let partition = self.partition(id, name.clone(), &config, open);
                self.insert(vec![partition]);
                self.replicas.begun_anew();
                self.place(id, name, registration, (false, Telling::Each));
            }
            Err(error) => {
                error!(partition = %name, %error, "a damaged log could not be begun anew");
                let (reason, cure) = (error.to_string(), error.cure());
                let offline = Offline { reason, cure };
                let name = name.clone();
                self.replicas.could_not_open(id, Unopened { name, offline });
            }
        }
    }

    // ---- roles -------------------------------------------------------------------------------

    fn place(
        &self,
        id: TopicIdPartition,
        name: &TopicPartition,
        registration: &PartitionRegistration,
        (config_changed, telling): (bool, Telling),
    ) {
        let node = self.replicas.node();
        if !registration.replicas.contains(&node) {
            if is_taken_away(node, self.is_current, registration) {
                self.give_up(id, name);
            }
            return;
        }
        let Some(partition) = self.replicas.partition(id) else {
            return;
        };
        let now = self.replicas.clock().now();
        if config_changed {
            let config = self.topic_config(&partition.name().topic);
            let policy = Policy::of(&config, &self.config, id.partition);
            partition.set_policy(now, policy, log_config(&config, &self.config));
        }
        if !may_take_role(node, self.is_current, registration) {
            return;
        }
        partition.take_role(now, registration, telling);
        let follows = registration.leader.filter(|it| *it != node);
        self.replicas
            .fetchers()
            .place(&self.replicas, &partition, follows);
    }

    fn give_up(&self, id: TopicIdPartition, name: &TopicPartition) {
        if let Some(partition) = self.replicas.partition(id) {
            self.retire(&partition);
        } else if self.replicas.remove_unopened(id) {
            self.delete_unopened(id, name);
        }
    }

    fn topic_config(&self, topic: &str) -> TopicConfig {
        let overrides = self
            .after
            .configs
            .get(&ConfigResource::Topic(topic.to_owned()));
        let none = BTreeMap::new();
        let overrides = overrides.map_or(&none, |it| it.as_ref());
        TopicConfig::effective(&self.config, overrides)
    }
}

fn partitions_of(
    topic: &TopicImage,
) -> impl Iterator<
    Item = (
        TopicIdPartition,
        TopicPartition,
        &Arc<PartitionRegistration>,
    ),
> {
    (0..).zip(&topic.partitions).map(|(number, registration)| {
        let id = TopicIdPartition {
            topic_id: topic.topic_id,
            partition: number,
        };
        let name = TopicPartition {
            topic: topic.name.clone(),
            partition: number,
        };
        (id, name, registration)
    })
}
