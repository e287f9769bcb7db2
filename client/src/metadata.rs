//! Who is in the cluster and which topics it has, as one broker says.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{LeaderEpoch, NodeId, TopicId};
use drave_protocol::schema::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponsePartition,
    MetadataResponseTopic,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    pub cluster_id: Option<String>,
    /// Whom clients should ask for administrative work.
    pub controller: Option<NodeId>,
    pub brokers: Vec<Broker>,
    pub topics: Vec<TopicDescription>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    pub id: NodeId,
    pub host: String,
    pub port: i32,
    pub rack: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    pub name: String,
    pub topic_id: TopicId,
    pub error: ErrorCode,
    pub is_internal: bool,
    /// By partition number.
    pub partitions: Vec<PartitionDescription>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDescription {
    pub partition: i32,
    pub error: ErrorCode,
    pub leader: Option<NodeId>,
    pub leader_epoch: LeaderEpoch,
    pub replicas: Vec<NodeId>,
    pub isr: Vec<NodeId>,
    pub offline_replicas: Vec<NodeId>,
}

impl Broker {
    /// `host:port`, as `Connection::connect` takes it.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Asks for `topics`, or for all when `None`; never creates one.
pub fn request(topics: Option<&[String]>) -> MetadataRequest {
    let named = |name: &String| MetadataRequestTopic {
        name: Some(name.clone()),
        ..MetadataRequestTopic::default()
    };
    MetadataRequest {
        topics: topics.map(|names| names.iter().map(named).collect()),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    }
}

/// What the answer says, in our words.
pub fn translate(response: MetadataResponse) -> ClusterDescription {
    let brokers = response.brokers.into_iter().map(|it| Broker {
        id: NodeId(it.node_id),
        host: it.host,
        port: it.port,
        rack: it.rack,
    });
    ClusterDescription {
        cluster_id: response.cluster_id,
        controller: node(response.controller_id),
        brokers: brokers.collect(),
        topics: response.topics.into_iter().map(topic).collect(),
    }
}

fn topic(topic: MetadataResponseTopic) -> TopicDescription {
    let mut partitions: Vec<_> = topic.partitions.into_iter().map(partition).collect();
    partitions.sort_by_key(|it| it.partition);
    TopicDescription {
        name: topic.name.unwrap_or_default(),
        topic_id: topic.topic_id,
        error: ErrorCode::from_number(topic.error_code),
        is_internal: topic.is_internal,
        partitions,
    }
}

fn partition(partition: MetadataResponsePartition) -> PartitionDescription {
    let nodes = |ids: Vec<i32>| ids.into_iter().map(NodeId).collect();
    PartitionDescription {
        partition: partition.partition_index,
        error: ErrorCode::from_number(partition.error_code),
        leader: node(partition.leader_id),
        leader_epoch: LeaderEpoch(partition.leader_epoch),
        replicas: nodes(partition.replica_nodes),
        isr: nodes(partition.isr_nodes),
        offline_replicas: nodes(partition.offline_replicas),
    }
}

fn node(id: i32) -> Option<NodeId> {
    (id >= 0).then_some(NodeId(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_host_is_bracketed_in_its_address() {
        let mut broker = Broker {
            id: NodeId(1),
            host: "::1".to_owned(),
            port: 9092,
            rack: None,
        };
        assert_eq!(broker.address(), "[::1]:9092");
        "localhost".clone_into(&mut broker.host);
        assert_eq!(broker.address(), "localhost:9092");
    }
}
