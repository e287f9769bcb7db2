//! Elections on demand: the preferred replica where it does not lead, any live one where nobody leads.
//!
//! Promises: an unclean election is clean where it can be; what may be lost by it is named in the
//! answer and in the log; asked for every partition, those that need none are passed over.

use std::collections::BTreeSet;

use drave_protocol::ids::{NodeId, TopicIdPartition};
use drave_raft::image::{MetadataImage, PartitionRegistration, TopicImage};
use drave_raft::record::MetadataRecord;

use crate::cluster::administration::{
    ElectLeaders, Elected, Election, ElectionError, ElectionKind,
};
use crate::controller::decision::{Decision, Policy, TopicRules, partition_changed, partitions_of};
use crate::controller::election::{Electorate, holders_lost, warn_of_loss};

pub fn elect(
    image: &MetadataImage,
    policy: &Policy,
    request: &ElectLeaders,
) -> Decision<Vec<Election>> {
    let mut ballot = Ballot {
        image,
        policy,
        kind: request.kind,
        named: BTreeSet::new(),
        records: Vec::new(),
    };
    let response = match &request.partitions {
        Some(named) => named
            .iter()
            .map(|(topic, partition)| Election {
                topic: topic.clone(),
                partition: *partition,
                result: ballot.elect_named(topic, *partition),
            })
            .collect(),
        None => ballot.elect_everywhere(),
    };
    Decision::new(ballot.records, response)
}

struct Ballot<'a> {
    image: &'a MetadataImage,
    policy: &'a Policy,
    kind: ElectionKind,
    named: BTreeSet<TopicIdPartition>,
    records: Vec<MetadataRecord>,
}

impl<'a> Ballot<'a> {
    fn elect_everywhere(&mut self) -> Vec<Election> {
        let mut told = Vec::new();
        for topic in self.image.topics.values() {
            let rules = self.policy.rules(self.image, &topic.name);
            for (partition, before) in partitions_of(topic) {
                let result = self.elect_one(topic, partition, before, rules);
                if !matches!(result, Err(ElectionError::NotNeeded { .. })) {
                    told.push(Election {
                        topic: topic.name.clone(),
                        partition: partition.partition,
                        result,
                    });
                }
            }
        }
        told
    }

    fn elect_named(&mut self, topic: &str, partition: i32) -> Result<Elected, ElectionError> {
        let image: &'a MetadataImage = self.image;
        let found = image
            .topic_by_name(topic)
            .ok_or_else(|| ElectionError::UnknownTopic(topic.to_owned()))?;
        let name = TopicIdPartition {
            topic_id: found.topic_id,
            partition,
        };
        let before = image.partition(name).ok_or_else(|| {
            let topic = topic.to_owned();
            ElectionError::UnknownPartition { topic, partition }
        })?;
        if !self.named.insert(name) {
            return Err(ElectionError::NamedTwice);
        }
        let rules = self.policy.rules(image, topic);
        self.elect_one(found, name, before, rules)
    }

    fn elect_one(
        &mut self,
        topic: &TopicImage,
        partition: TopicIdPartition,
        before: &PartitionRegistration,
        rules: TopicRules,
    ) -> Result<Elected, ElectionError> {
        let image = self.image;
        let is_offline = |it: NodeId| image.is_offline(it, partition);
        let electorate = Electorate {
            is_active: &|it| image.active_broker(it).is_some() && !is_offline(it),
            may_lack: &is_offline,
            rules: TopicRules {
                unclean_election: true,
                ..rules
            },
        };
        let after = match (self.kind, before.leader, before.replicas.first()) {
            (ElectionKind::Unclean, Some(leader), _) => {
                return Err(ElectionError::NotNeeded { leader });
            }
            (ElectionKind::Preferred, Some(leader), Some(preferred)) if leader == *preferred => {
                return Err(ElectionError::NotNeeded { leader });
            }
            (ElectionKind::Unclean, None, _) => electorate.settle(before),
            (ElectionKind::Preferred, _, _) => electorate.prefer(before),
        };
        let elected = after.and_then(|after| Some((after.leader?, after)));
        let Some((leader, after)) = elected else {
            return Err(self.nobody(partition, before));
        };
        warn_of_loss(&topic.name, partition, before, &after);
        self.records
            .push(partition_changed(partition, before, &after));
        Ok(Elected {
            leader,
            lost: holders_lost(before, &after),
        })
    }

    fn nobody(&self, partition: TopicIdPartition, before: &PartitionRegistration) -> ElectionError {
        let preferred = before.replicas.first().copied();
        let (ElectionKind::Preferred, Some(preferred)) = (self.kind, preferred) else {
            return ElectionError::NobodyEligible(before.replicas.iter().map(|it| it.0).collect());
        };
        let reason = if self.image.active_broker(preferred).is_none() {
            "is not live"
        } else if self.image.is_offline(preferred, partition) {
            "has an offline replica"
        } else {
            "is not in sync"
        };
        let reason = reason.to_owned();
        ElectionError::PreferredNotAvailable { preferred, reason }
    }
}

#[cfg(test)]
#[path = "elections_test.rs"]
mod tests;
