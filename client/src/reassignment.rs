//! Partitions on their way to other brokers.

use std::collections::BTreeMap;

use drave_protocol::ids::NodeId;
use drave_protocol::schema::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use drave_protocol::schema::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, OngoingPartitionReassignment,
};

use crate::admin::{Admin, outcome};
use crate::error::ClientError;

/// Where the replicas of a partition are to be; without a target, where they were before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassignment {
    pub topic: String,
    pub partition: i32,
    pub target: Option<Vec<NodeId>>,
}

/// What became of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassigned {
    pub topic: String,
    pub partition: i32,
    pub outcome: Result<(), ClientError>,
}

/// A partition on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ongoing {
    pub topic: String,
    pub partition: i32,
    pub replicas: Vec<NodeId>,
    pub adding: Vec<NodeId>,
    pub removing: Vec<NodeId>,
}

impl Admin {
    /// Begins, changes or cancels reassignments.
    pub async fn alter_reassignments(
        &self,
        reassignments: &[Reassignment],
    ) -> Result<Vec<Reassigned>, ClientError> {
        let mut by_topic: BTreeMap<&str, Vec<ReassignablePartition>> = BTreeMap::new();
        for it in reassignments {
            let target = it.target.as_ref();
            let partition = ReassignablePartition {
                partition_index: it.partition,
                replicas: target.map(|nodes| nodes.iter().map(|it| it.0).collect()),
            };
            by_topic.entry(&it.topic).or_default().push(partition);
        }
        let topic = |(name, partitions): (&str, Vec<ReassignablePartition>)| ReassignableTopic {
            name: name.to_owned(),
            partitions,
        };
        let request = AlterPartitionReassignmentsRequest {
            timeout_ms: self.timeout_ms(),
            topics: by_topic.into_iter().map(topic).collect(),
            ..AlterPartitionReassignmentsRequest::default()
        };
        let response = self.ask(|_| Ok(request.clone())).await?;
        outcome(response.error_code, response.error_message, ())?;
        let mut reassigned = Vec::new();
        for topic in response.responses {
            reassigned.extend(topic.partitions.into_iter().map(|it| Reassigned {
                topic: topic.name.clone(),
                partition: it.partition_index,
                outcome: outcome(it.error_code, it.error_message, ()),
            }));
        }
        Ok(reassigned)
    }

    /// Every partition on its way.
    pub async fn list_reassignments(&self) -> Result<Vec<Ongoing>, ClientError> {
        let request = ListPartitionReassignmentsRequest {
            timeout_ms: self.timeout_ms(),
            topics: None,
        };
        let response = self.ask(|_| Ok(request.clone())).await?;
        outcome(response.error_code, response.error_message, ())?;
        let mut all = Vec::new();
        for topic in response.topics {
            let one = |it| ongoing(&topic.name, it);
            all.extend(topic.partitions.into_iter().map(one));
        }
        Ok(all)
    }
}

fn ongoing(topic: &str, it: OngoingPartitionReassignment) -> Ongoing {
    let nodes = |ids: Vec<i32>| ids.into_iter().map(NodeId).collect();
    Ongoing {
        topic: topic.to_owned(),
        partition: it.partition_index,
        replicas: nodes(it.replicas),
        adding: nodes(it.adding_replicas),
        removing: nodes(it.removing_replicas),
    }
}
