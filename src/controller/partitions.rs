//! More partitions for topics that exist. Nothing moves: keys go elsewhere from then on, as in Kafka.
//!
//! Promises: each topic on its own; the partitions of one topic are agreed together, numbered on from
//! the last; what only validates changes nothing.

use std::collections::BTreeSet;

use drave_protocol::ids::NodeId;
use drave_raft::image::{MetadataImage, TopicImage};
use drave_raft::record::MetadataRecord;

use crate::cluster::administration::{
    CreatePartitions, CreatePartitionsError, GrowTopic, GrownTopic,
};
use crate::cluster::rpc::CreateMode;
use crate::controller::decision::Decision;
use crate::controller::placement::{Candidate, place};
use crate::controller::topics::{
    PARTITIONS_PER_REQUEST_MAX, candidates, check_replicas, named_twice, partition_created,
};
use crate::random::Random;

pub fn create(
    image: &MetadataImage,
    random: &Random,
    request: &CreatePartitions,
) -> Decision<Vec<GrownTopic>> {
    let names = request.topics.iter().map(|it| it.name.as_str());
    let mut growth = Growth {
        image,
        random,
        candidates: candidates(image),
        named_twice: named_twice(names),
        n_partitions: 0,
        records: Vec::new(),
    };
    let grown = request.topics.iter().map(|topic| GrownTopic {
        name: topic.name.clone(),
        result: growth.grow(topic),
    });
    let response = grown.collect();
    match request.mode {
        CreateMode::Create => Decision::new(growth.records, response),
        CreateMode::ValidateOnly => Decision::answer(response),
    }
}

struct Growth<'a> {
    image: &'a MetadataImage,
    random: &'a Random,
    candidates: Vec<Candidate>,
    named_twice: BTreeSet<&'a str>,
    n_partitions: usize,
    records: Vec<MetadataRecord>,
}

impl Growth<'_> {
    fn grow(&mut self, asked: &GrowTopic) -> Result<(), CreatePartitionsError> {
        if self.named_twice.contains(asked.name.as_str()) {
            return Err(CreatePartitionsError::NamedTwice(asked.name.clone()));
        }
        let topic = self
            .image
            .topic_by_name(&asked.name)
            .ok_or_else(|| CreatePartitionsError::UnknownTopic(asked.name.clone()))?;
        let n_new = n_new(topic, asked)?;
        let in_request = self.n_partitions + n_new;
        if in_request > PARTITIONS_PER_REQUEST_MAX {
            let (asked, limit) = (in_request, PARTITIONS_PER_REQUEST_MAX);
            return Err(CreatePartitionsError::TooManyPartitions { asked, limit });
        }
        let placed = match &asked.assignments {
            Some(assignments) => self.check_assigned(topic, n_new, assignments)?,
            None => self.place(topic, n_new)?,
        };
        self.n_partitions = in_request;
        for (partition, replicas) in (next_partition(topic)..).zip(placed) {
            for candidate in &mut self.candidates {
                if Some(&candidate.broker) == replicas.first() {
                    candidate.n_leaders += 1;
                }
            }
            let record = partition_created(self.image, topic.topic_id, partition, replicas);
            self.records.push(record);
        }
        Ok(())
    }

    fn place(
        &self,
        topic: &TopicImage,
        n_new: usize,
    ) -> Result<Vec<Vec<NodeId>>, CreatePartitionsError> {
        let factor = replication_factor(topic);
        place(&self.candidates, n_new, factor, self.random.u64()).map_err(|error| {
            CreatePartitionsError::NotEnoughBrokers {
                requested: error.requested,
                live: error.live,
            }
        })
    }

    fn check_assigned(
        &self,
        topic: &TopicImage,
        n_new: usize,
        assignments: &[Vec<NodeId>],
    ) -> Result<Vec<Vec<NodeId>>, CreatePartitionsError> {
        if assignments.len() != n_new {
            return Err(CreatePartitionsError::AssignmentCount {
                new: n_new,
                assigned: assignments.len(),
            });
        }
        let factor = replication_factor(topic);
        for (partition, replicas) in (next_partition(topic)..).zip(assignments) {
            check_replicas(self.image, partition, replicas)
                .map_err(CreatePartitionsError::InvalidAssignment)?;
            if replicas.len() != factor {
                return Err(CreatePartitionsError::InvalidAssignment(format!(
                    "partition {partition} has {} replicas, the topic's other partitions {factor}",
                    replicas.len()
                )));
            }
        }
        Ok(assignments.to_vec())
    }
}

fn n_new(topic: &TopicImage, asked: &GrowTopic) -> Result<usize, CreatePartitionsError> {
    let (current, asked) = (next_partition(topic), asked.n_partitions);
    if asked == current {
        return Err(CreatePartitionsError::AlreadySo { current });
    }
    let more = asked.checked_sub(current);
    more.and_then(|it| usize::try_from(it).ok())
        .ok_or(CreatePartitionsError::NotMore { current, asked })
}

fn next_partition(topic: &TopicImage) -> i32 {
    i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)
}

fn replication_factor(topic: &TopicImage) -> usize {
    topic.partitions.first().map_or(1, |it| it.replicas.len())
}

#[cfg(test)]
#[path = "partitions_test.rs"]
mod tests;
