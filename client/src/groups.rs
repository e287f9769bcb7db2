//! Groups: listed by every broker, otherwise asked of the one that coordinates them.

use std::collections::BTreeMap;
use std::time::Duration;

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{NodeId, TopicId};
use drave_protocol::message::Request;
use drave_protocol::schema::delete_groups::DeleteGroupsRequest;
use drave_protocol::schema::describe_groups::{DescribeGroupsRequest, DescribedGroup};
use drave_protocol::schema::find_coordinator::FindCoordinatorRequest;
use drave_protocol::schema::list_groups::{ListGroupsRequest, ListedGroup};
use drave_protocol::schema::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use drave_protocol::schema::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use drave_protocol::schema::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup};

use crate::admin::{Admin, outcome};
use crate::error::ClientError;
use crate::metadata::{Broker, TopicDescription};

const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// A partition of a topic.
pub type Place = (String, i32);

/// What `ListOffsets` is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    Earliest,
    Latest,
}

impl Edge {
    const fn timestamp(self) -> i64 {
        match self {
            Self::Earliest => -2,
            Self::Latest => -1,
        }
    }
}

impl Admin {
    /// The groups of all brokers that answer for theirs.
    pub async fn list_groups(&self) -> Result<Vec<ListedGroup>, ClientError> {
        let cluster = self.describe_cluster().await?;
        let mut all = Vec::new();
        for broker in &cluster.brokers {
            let request = ListGroupsRequest::default();
            let response = self.ask_at(&broker.address(), &request).await?;
            outcome(response.error_code, None, ())?;
            all.extend(response.groups);
        }
        all.sort_by(|a, b| a.group_id.cmp(&b.group_id));
        all.dedup();
        Ok(all)
    }

    /// A group whose members assign each other.
    pub async fn describe_group(&self, group: &str) -> Result<DescribedGroup, ClientError> {
        let request = DescribeGroupsRequest {
            groups: vec![group.to_owned()],
            ..DescribeGroupsRequest::default()
        };
        let described = self.of_coordinator(group, &request, |response| {
            let described = response.groups.first();
            described.map_or(0, |it| it.error_code)
        });
        let described = described.await?.groups.into_iter().next();
        let described = described.unwrap_or_default();
        outcome(
            described.error_code,
            described.error_message.clone(),
            described,
        )
    }

    /// Deletes a group nobody is in, with its offsets.
    pub async fn delete_group(&self, group: &str) -> Result<(), ClientError> {
        let request = DeleteGroupsRequest {
            groups_names: vec![group.to_owned()],
        };
        let code = |response: &<DeleteGroupsRequest as Request>::Response| {
            response.results.first().map_or(0, |it| it.error_code)
        };
        let response = self.of_coordinator(group, &request, code).await?;
        outcome(code(&response), None, ())
    }

    /// Every offset the group has committed, of topics that are there.
    pub async fn committed_offsets(
        &self,
        group: &str,
    ) -> Result<BTreeMap<Place, i64>, ClientError> {
        let request = OffsetFetchRequest {
            groups: vec![OffsetFetchRequestGroup {
                group_id: group.to_owned(),
                topics: None,
                ..OffsetFetchRequestGroup::default()
            }],
            ..OffsetFetchRequest::default()
        };
        let response = self.of_coordinator(group, &request, |response| {
            response.groups.first().map_or(0, |it| it.error_code)
        });
        let answered = response
            .await?
            .groups
            .into_iter()
            .next()
            .unwrap_or_default();
        outcome(answered.error_code, None, ())?;
        let topics = self.list_topics().await?;
        let names: BTreeMap<TopicId, &str> = topics
            .iter()
            .map(|it| (it.topic_id, it.name.as_str()))
            .collect();
        let mut offsets = BTreeMap::new();
        for topic in answered.topics {
            let by_id = names.get(&topic.topic_id).map(|it| (*it).to_owned());
            let name = by_id.unwrap_or(topic.name);
            for partition in topic.partitions {
                let place = (name.clone(), partition.partition_index);
                offsets.insert(place, partition.committed_offset);
            }
        }
        Ok(offsets)
    }

    /// Commits for a group nobody is in.
    pub async fn commit_offsets(
        &self,
        group: &str,
        offsets: &BTreeMap<Place, i64>,
    ) -> Result<(), ClientError> {
        let names: Vec<String> = offsets.keys().map(|(topic, _)| topic.clone()).collect();
        let described = self.describe_topics(&names).await?;
        let ids: BTreeMap<&str, TopicId> = described
            .iter()
            .map(|it| (it.name.as_str(), it.topic_id))
            .collect();
        let topics = offsets
            .iter()
            .map(|((topic, partition), offset)| OffsetCommitRequestTopic {
                name: topic.clone(),
                topic_id: ids.get(topic.as_str()).copied().unwrap_or_default(),
                partitions: vec![OffsetCommitRequestPartition {
                    partition_index: *partition,
                    committed_offset: *offset,
                    ..OffsetCommitRequestPartition::default()
                }],
            });
        let request = OffsetCommitRequest {
            group_id: group.to_owned(),
            topics: topics.collect(),
            ..OffsetCommitRequest::default()
        };
        let code = |response: &<OffsetCommitRequest as Request>::Response| {
            let partitions = response.topics.iter().flat_map(|it| &it.partitions);
            let mut codes = partitions.map(|it| it.error_code);
            codes.find(|it| *it != 0).unwrap_or_default()
        };
        let response = self.of_coordinator(group, &request, code).await?;
        outcome(code(&response), None, ())
    }

    /// Where each partition of these topics begins or ends.
    pub async fn edges(
        &self,
        topics: &[String],
        edge: Edge,
    ) -> Result<BTreeMap<Place, i64>, ClientError> {
        let brokers = self.describe_cluster().await?.brokers;
        let address = |id: Option<NodeId>| {
            let broker = brokers.iter().find(|it| Some(it.id) == id);
            broker.map(Broker::address)
        };
        let mut edges = BTreeMap::new();
        for topic in self.describe_topics(topics).await? {
            outcome(topic.error.number(), Some(topic.name.clone()), ())?;
            for (leader, partitions) in by_leader(&topic) {
                let Some(address) = address(leader) else {
                    continue; // nobody leads it now
                };
                let request = list_offsets(&topic.name, &partitions, edge);
                let response = self.ask_at(&address, &request).await?;
                let found = response.topics.into_iter().flat_map(|it| it.partitions);
                for partition in found {
                    outcome(partition.error_code, Some(topic.name.clone()), ())?;
                    let place = (topic.name.clone(), partition.partition_index);
                    edges.insert(place, partition.offset);
                }
            }
        }
        Ok(edges)
    }

    /// Asks the group's coordinator, and again while it is moving.
    async fn of_coordinator<R: Request + Clone>(
        &self,
        group: &str,
        request: &R,
        code: impl Fn(&R::Response) -> i16,
    ) -> Result<R::Response, ClientError> {
        let rounds = async {
            loop {
                let answer = self.ask_coordinator(group, request).await;
                let is_passing = match &answer {
                    Ok(response) => ErrorCode::from_number(code(response)).is_retriable(),
                    Err(error) => error.is_retriable(),
                };
                if !is_passing {
                    return answer;
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        };
        let outcome = tokio::time::timeout(self.patience(), rounds).await;
        outcome.unwrap_or_else(|_| {
            Err(ClientError::Refused {
                code: ErrorCode::CoordinatorNotAvailable,
                message: Some(format!("group '{group}' has no coordinator yet")),
            })
        })
    }

    async fn ask_coordinator<R: Request>(
        &self,
        group: &str,
        request: &R,
    ) -> Result<R::Response, ClientError> {
        let find = FindCoordinatorRequest {
            coordinator_keys: vec![group.to_owned()],
            ..FindCoordinatorRequest::default()
        };
        let found = self.ask(|_| Ok(find.clone())).await?;
        let found = found.coordinators.into_iter().next().unwrap_or_default();
        outcome(found.error_code, found.error_message, ())?;
        let broker = Broker {
            id: NodeId(found.node_id),
            host: found.host,
            port: found.port,
            rack: None,
        };
        self.ask_at(&broker.address(), request).await
    }
}

fn by_leader(topic: &TopicDescription) -> BTreeMap<Option<NodeId>, Vec<i32>> {
    let mut all: BTreeMap<Option<NodeId>, Vec<i32>> = BTreeMap::new();
    for partition in &topic.partitions {
        let of_leader = all.entry(partition.leader).or_default();
        of_leader.push(partition.partition);
    }
    all
}

fn list_offsets(topic: &str, partitions: &[i32], edge: Edge) -> ListOffsetsRequest {
    let partitions = partitions.iter().map(|it| ListOffsetsPartition {
        partition_index: *it,
        timestamp: edge.timestamp(),
        ..ListOffsetsPartition::default()
    });
    ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: topic.to_owned(),
            partitions: partitions.collect(),
        }],
        ..ListOffsetsRequest::default()
    }
}
