//! Creating and deleting topics: names, counts, placement, configuration; each topic on its own.
//!
//! A request may name many topics: one that is refused does not hold up the others, and all that are
//! accepted are agreed in one batch, so that a topic never exists without its partitions.

use std::collections::{BTreeMap, BTreeSet};

use drave_protocol::ids::{NodeId, TopicId, Uuid};
use drave_raft::image::{MetadataImage, TopicImage};
use drave_raft::record::{
    ConfigChangedV1, ConfigResource, MetadataRecord, PartitionCreatedV1, TopicCreatedV1,
    TopicDeletedV1,
};

use crate::cluster::rpc::{
    CreateMode, CreateTopic, CreateTopicError, CreateTopics, CreatedTopic, DeleteTopicError,
    DeleteTopics, DeletedTopic, NewTopic, ReplicaAssignment, TopicRef,
};
use crate::config::TopicConfig;
use crate::controller::decision::{Decision, Policy, active_brokers};
use crate::controller::placement::{Candidate, place};
use crate::random::Random;

/// Kafka's limit on a topic's name: its folder's name must fit into 255 characters.
const NAME_LENGTH_MAX: usize = 249;

/// Partitions one request may create: so many fit into one batch with their topics.
pub const PARTITIONS_PER_REQUEST_MAX: usize = 10_000;

pub fn create(
    image: &MetadataImage,
    policy: &Policy,
    random: &Random,
    request: &CreateTopics,
) -> Decision<Vec<CreatedTopic>> {
    let mut creation = Creation::new(image, policy, random, request);
    let response = request
        .topics
        .iter()
        .map(|topic| CreatedTopic {
            name: topic.name.clone(),
            result: creation.create_one(topic),
        })
        .collect();
    match request.mode {
        CreateMode::Create => Decision::new(creation.records, response),
        CreateMode::ValidateOnly => Decision::answer(without_ids(response)),
    }
}

fn without_ids(mut created: Vec<CreatedTopic>) -> Vec<CreatedTopic> {
    for topic in created.iter_mut().filter_map(|it| it.result.as_mut().ok()) {
        topic.topic_id = Uuid::ZERO;
    }
    created
}

/// One request on its way: what its earlier topics took is not free for its later ones.
struct Creation<'a> {
    image: &'a MetadataImage,
    policy: &'a Policy,
    random: &'a Random,
    candidates: Vec<Candidate>,
    named_twice: BTreeSet<&'a str>,
    n_partitions: usize,
    /// Names given so far, as metrics spell them.
    taken: BTreeMap<String, String>,
    records: Vec<MetadataRecord>,
}

impl<'a> Creation<'a> {
    fn new(
        image: &'a MetadataImage,
        policy: &'a Policy,
        random: &'a Random,
        request: &'a CreateTopics,
    ) -> Self {
        Self {
            image,
            policy,
            random,
            candidates: candidates(image),
            named_twice: named_twice(request.topics.iter().map(|it| it.name.as_str())),
            n_partitions: 0,
            taken: BTreeMap::new(),
            records: Vec::new(),
        }
    }

    fn create_one(&mut self, topic: &CreateTopic) -> Result<NewTopic, CreateTopicError> {
        self.check_name(&topic.name)?;
        let configs: BTreeMap<String, String> = topic.configs.iter().cloned().collect();
        TopicConfig::validate(&configs)
            .map_err(|error| CreateTopicError::InvalidConfig(error.to_string()))?;
        let placed = self.replicas_of(topic)?;
        let asked = self.n_partitions + placed.len();
        if asked > PARTITIONS_PER_REQUEST_MAX {
            let limit = PARTITIONS_PER_REQUEST_MAX;
            return Err(CreateTopicError::TooManyPartitions { asked, limit });
        }
        self.n_partitions = asked;
        Ok(self.emit(topic, configs, placed))
    }

    fn emit(
        &mut self,
        topic: &CreateTopic,
        configs: BTreeMap<String, String>,
        placed: Vec<Vec<NodeId>>,
    ) -> NewTopic {
        let topic_id = self.random.uuid();
        let created = NewTopic {
            topic_id,
            n_partitions: i32::try_from(placed.len()).unwrap_or(i32::MAX),
            replication_factor: placed
                .first()
                .and_then(|it| i16::try_from(it.len()).ok())
                .unwrap_or(0),
        };
        self.taken
            .insert(metric_name(&topic.name), topic.name.clone());
        self.records
            .push(MetadataRecord::TopicCreated(TopicCreatedV1 {
                topic_id,
                name: topic.name.clone(),
            }));
        for (partition, replicas) in (0..).zip(placed) {
            let record = self.new_partition(topic_id, partition, replicas);
            self.records.push(record);
        }
        for (key, value) in configs {
            self.records
                .push(MetadataRecord::ConfigChanged(ConfigChangedV1 {
                    resource: ConfigResource::Topic(topic.name.clone()),
                    key,
                    value: Some(value),
                }));
        }
        created
    }

    fn new_partition(
        &mut self,
        topic_id: TopicId,
        partition: i32,
        replicas: Vec<NodeId>,
    ) -> MetadataRecord {
        for candidate in &mut self.candidates {
            if Some(&candidate.broker) == replicas.first() {
                candidate.n_leaders += 1;
            }
        }
        partition_created(self.image, topic_id, partition, replicas)
    }

    fn check_name(&self, name: &str) -> Result<(), CreateTopicError> {
        validate_name(name).map_err(CreateTopicError::InvalidName)?;
        if self.named_twice.contains(name) {
            return Err(CreateTopicError::NamedTwice(name.to_owned()));
        }
        if self.image.topic_ids.contains_key(name) {
            return Err(CreateTopicError::AlreadyExists(name.to_owned()));
        }
        let spelled = metric_name(name);
        let agreed = self
            .image
            .topic_ids
            .keys()
            .find(|it| metric_name(it) == spelled);
        match agreed.or(self.taken.get(&spelled)) {
            None => Ok(()),
            Some(existing) => Err(CreateTopicError::Collides {
                name: name.to_owned(),
                existing: existing.clone(),
            }),
        }
    }

    fn replicas_of(&self, topic: &CreateTopic) -> Result<Vec<Vec<NodeId>>, CreateTopicError> {
        if topic.assignments.is_empty() {
            return self.place_automatically(topic);
        }
        if topic.n_partitions.is_some() || topic.replication_factor.is_some() {
            return Err(CreateTopicError::AssignmentAndCounts);
        }
        assigned(self.image, &topic.assignments).map_err(CreateTopicError::InvalidAssignment)
    }

    fn place_automatically(
        &self,
        topic: &CreateTopic,
    ) -> Result<Vec<Vec<NodeId>>, CreateTopicError> {
        let asked = topic
            .n_partitions
            .unwrap_or(self.policy.config.num_partitions);
        let n_partitions = usize::try_from(asked)
            .ok()
            .filter(|it| *it > 0)
            .ok_or(CreateTopicError::InvalidPartitions(asked))?;
        // Before placing: an absurd number must cost nothing.
        if n_partitions > PARTITIONS_PER_REQUEST_MAX {
            return Err(CreateTopicError::TooManyPartitions {
                asked: n_partitions,
                limit: PARTITIONS_PER_REQUEST_MAX,
            });
        }
        let replication_factor = self.replication_factor(topic)?;
        place(
            &self.candidates,
            n_partitions,
            replication_factor,
            self.random.u64(),
        )
        .map_err(|error| CreateTopicError::NotEnoughBrokers {
            requested: i16::try_from(error.requested).unwrap_or(i16::MAX),
            live: error.live,
        })
    }

    fn replication_factor(&self, topic: &CreateTopic) -> Result<usize, CreateTopicError> {
        let live = self.candidates.len();
        match topic.replication_factor {
            // A wish is kept to the letter; the default adapts to a small cluster.
            Some(requested) => usize::try_from(requested)
                .ok()
                .filter(|it| *it > 0)
                .ok_or(CreateTopicError::InvalidReplicationFactor { requested }),
            None => Ok(
                usize::try_from(self.policy.config.default_replication_factor)
                    .unwrap_or(1)
                    .clamp(1, live.max(1)),
            ),
        }
    }
}

/// A partition that begins with all its live replicas in sync.
pub(super) fn partition_created(
    image: &MetadataImage,
    topic_id: TopicId,
    partition: i32,
    replicas: Vec<NodeId>,
) -> MetadataRecord {
    let active = |it: &NodeId| image.active_broker(*it).is_some();
    let isr: Vec<NodeId> = replicas.iter().copied().filter(active).collect();
    let leader = isr.first().copied();
    MetadataRecord::PartitionCreated(PartitionCreatedV1 {
        topic_id,
        partition,
        replicas,
        isr,
        leader,
    })
}

pub(super) fn candidates(image: &MetadataImage) -> Vec<Candidate> {
    let mut n_leaders: BTreeMap<NodeId, usize> = BTreeMap::new();
    for partition in image.topics.values().flat_map(|it| &it.partitions) {
        if let Some(preferred) = partition.replicas.first() {
            *n_leaders.entry(*preferred).or_default() += 1;
        }
    }
    active_brokers(image)
        .map(|(broker, registration)| Candidate {
            broker,
            rack: registration.rack.clone(),
            n_leaders: n_leaders.get(&broker).copied().unwrap_or(0),
        })
        .collect()
}

/// The replicas as the client placed them, or what is wrong with them.
fn assigned(
    image: &MetadataImage,
    assignments: &[ReplicaAssignment],
) -> Result<Vec<Vec<NodeId>>, String> {
    let by_partition: BTreeMap<i32, &ReplicaAssignment> =
        assignments.iter().map(|it| (it.partition, it)).collect();
    if by_partition.len() != assignments.len() {
        return Err("a partition is named more than once".to_owned());
    }
    let mut placed: Vec<Vec<NodeId>> = Vec::with_capacity(assignments.len());
    for (expected, (number, assignment)) in (0..).zip(&by_partition) {
        if *number != expected {
            return Err(format!(
                "partitions must be numbered from 0; {expected} is missing"
            ));
        }
        let replicas = &assignment.replicas;
        check_replicas(image, *number, replicas)?;
        if placed.first().is_some_and(|it| it.len() != replicas.len()) {
            return Err(format!(
                "partition {number} has another replication factor than 0"
            ));
        }
        placed.push(replicas.clone());
    }
    Ok(placed)
}

pub(super) fn check_replicas(
    image: &MetadataImage,
    partition: i32,
    replicas: &[NodeId],
) -> Result<(), String> {
    if replicas.is_empty() {
        return Err(format!("partition {partition} has no replicas"));
    }
    let distinct: BTreeSet<&NodeId> = replicas.iter().collect();
    if distinct.len() != replicas.len() {
        return Err(format!("partition {partition} names a broker twice"));
    }
    if let Some(unknown) = replicas.iter().find(|it| !image.brokers.contains_key(it)) {
        return Err(format!(
            "partition {partition} names broker {unknown}, which is not registered"
        ));
    }
    if replicas.iter().all(|it| image.active_broker(*it).is_none()) {
        return Err(format!(
            "partition {partition} names only brokers that are not live"
        ));
    }
    Ok(())
}

/// Kafka's rules for the name of a topic.
pub fn validate_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if name == "." || name == ".." {
        return Err(format!("must not be '{name}'"));
    }
    if name.len() > NAME_LENGTH_MAX {
        let length = name.len();
        return Err(format!(
            "must not be longer than {NAME_LENGTH_MAX} characters, not {length}"
        ));
    }
    let legal = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-');
    if !name.chars().all(legal) {
        return Err(format!(
            "'{}' may consist of ASCII letters, digits, '.', '_' and '-' only",
            name.escape_debug()
        ));
    }
    Ok(())
}

/// As metrics spell it: `a.b` and `a_b` would be one.
fn metric_name(name: &str) -> String {
    name.replace('.', "_")
}

pub(super) fn named_twice<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    names.filter(|it| !seen.insert(*it)).collect()
}

pub fn delete(
    image: &MetadataImage,
    policy: &Policy,
    request: &DeleteTopics,
) -> Decision<Vec<DeletedTopic>> {
    let mut records = Vec::new();
    let mut deleted: BTreeSet<TopicId> = BTreeSet::new();
    let mut response = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let result = find(image, topic).and_then(|found| {
            if !policy.config.delete_topic_enable {
                Err(DeleteTopicError::Disabled)
            } else if !deleted.insert(found.topic_id) {
                Err(DeleteTopicError::NamedTwice(found.name.clone()))
            } else {
                let topic_id = found.topic_id;
                records.push(MetadataRecord::TopicDeleted(TopicDeletedV1 { topic_id }));
                Ok((found.name.clone(), topic_id))
            }
        });
        let topic = topic.clone();
        response.push(DeletedTopic { topic, result });
    }
    Decision::new(records, response)
}

fn find<'a>(
    image: &'a MetadataImage,
    topic: &TopicRef,
) -> Result<&'a TopicImage, DeleteTopicError> {
    match topic {
        TopicRef::Name(name) => image
            .topic_by_name(name)
            .map(AsRef::as_ref)
            .ok_or_else(|| DeleteTopicError::UnknownName(name.clone())),
        TopicRef::Id(id) => image
            .topics
            .get(id)
            .map(AsRef::as_ref)
            .ok_or(DeleteTopicError::UnknownId(*id)),
    }
}

#[cfg(test)]
#[path = "topics_test.rs"]
mod tests;
