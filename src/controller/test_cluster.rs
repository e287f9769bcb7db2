//! A cluster on paper, for tests of decisions: brokers, topics, and the image they make.

use std::collections::BTreeMap;
use std::sync::Arc;

use drave_protocol::ids::{
    BrokerEpoch, DirectoryId, LeaderEpoch, MetadataOffset, NodeId, PartitionEpoch, TopicId,
    TopicIdPartition, Uuid,
};
use drave_raft::image::{BrokerRegistration, MetadataImage, PartitionRegistration, TopicImage};
use drave_raft::record::{ConfigResource, LeaderRecovery, ListenerV1, MetadataRecord};

use crate::config::BrokerConfig;
use crate::controller::decision::Policy;

pub(crate) fn policy() -> Policy {
    policy_with([])
}

pub(crate) fn policy_with<const N: usize>(pairs: [(&str, &str); N]) -> Policy {
    Policy::new(Arc::new(BrokerConfig::from_pairs(pairs).unwrap()))
}

pub(crate) fn nodes(ids: &[i32]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

/// Broker 1 has epoch 10, incarnation 1 and directory 100, and so on.
pub(crate) fn cluster(ids: &[i32]) -> MetadataImage {
    let mut image = MetadataImage {
        offset: MetadataOffset(100),
        term: 1,
        cluster_id: Some("paper".to_owned()),
        ..MetadataImage::default()
    };
    for id in ids {
        let broker = broker(*id);
        Arc::make_mut(&mut image.brokers).insert(NodeId(*id), Arc::new(broker));
    }
    image
}

pub(crate) fn epoch_of(id: i32) -> BrokerEpoch {
    BrokerEpoch(i64::from(id) * 10)
}

pub(crate) fn incarnation_of(id: i32) -> Uuid {
    Uuid([u8::try_from(id).unwrap(); 16])
}

pub(crate) fn listener(id: i32) -> ListenerV1 {
    ListenerV1 {
        name: "PLAINTEXT".to_owned(),
        host: format!("host{id}"),
        port: 9092,
    }
}

fn broker(id: i32) -> BrokerRegistration {
    BrokerRegistration {
        broker: NodeId(id),
        broker_epoch: epoch_of(id),
        incarnation: incarnation_of(id),
        directory: DirectoryId(u64::try_from(id).unwrap() * 100),
        listeners: vec![listener(id)],
        controller_address: format!("host{id}:9093"),
        http_address: None,
        rack: None,
        fenced: false,
        shutting_down: false,
    }
}

pub(crate) fn change_broker(
    image: &mut MetadataImage,
    id: i32,
    change: impl FnOnce(&mut BrokerRegistration),
) {
    let broker = Arc::make_mut(&mut image.brokers)
        .get_mut(&NodeId(id))
        .unwrap();
    change(Arc::make_mut(broker));
}

pub(crate) fn topic_id(name: &str) -> TopicId {
    let mut id = [0; 16];
    name.bytes().zip(&mut id).for_each(|(from, to)| *to = from);
    Uuid(id)
}

pub(crate) fn name_of(topic: &str, partition: i32) -> TopicIdPartition {
    TopicIdPartition {
        topic_id: topic_id(topic),
        partition,
    }
}

/// Replicas and ISR of one partition; the first of the ISR leads, at leader epoch 5, partition epoch 9.
pub(crate) fn partition(replicas: &[i32], isr: &[i32], elr: &[i32]) -> PartitionRegistration {
    PartitionRegistration {
        replicas: nodes(replicas),
        adding_replicas: Vec::new(),
        removing_replicas: Vec::new(),
        isr: nodes(isr),
        elr: nodes(elr),
        leader: isr.first().copied().map(NodeId),
        leader_epoch: LeaderEpoch(5),
        partition_epoch: PartitionEpoch(9),
        recovery: LeaderRecovery::Recovered,
    }
}

pub(crate) fn add_topic(
    image: &mut MetadataImage,
    name: &str,
    partitions: Vec<PartitionRegistration>,
) {
    let topic = TopicImage {
        topic_id: topic_id(name),
        name: name.to_owned(),
        partitions: partitions.into_iter().map(Arc::new).collect(),
    };
    Arc::make_mut(&mut image.topic_ids).insert(name.to_owned(), topic.topic_id);
    Arc::make_mut(&mut image.topics).insert(topic.topic_id, Arc::new(topic));
}

pub(crate) fn set_topic_config(image: &mut MetadataImage, topic: &str, key: &str, value: &str) {
    let entries = BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let resource = ConfigResource::Topic(topic.to_owned());
    Arc::make_mut(&mut image.configs).insert(resource, Arc::new(entries));
}

/// What the records do to one partition: ISR, ELR, leader and leader epoch of its last change.
pub(crate) fn change_of(records: &[MetadataRecord], partition: TopicIdPartition) -> Option<Change> {
    records.iter().rev().find_map(|record| {
        let MetadataRecord::PartitionChanged(it) = record else {
            return None;
        };
        let same = (it.topic_id, it.partition) == (partition.topic_id, partition.partition);
        same.then(|| (it.isr.clone(), it.elr.clone(), it.leader, it.leader_epoch))
    })
}

/// ISR, ELR, leader, leader epoch.
pub(crate) type Change = (Vec<NodeId>, Vec<NodeId>, Option<NodeId>, LeaderEpoch);
