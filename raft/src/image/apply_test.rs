use drave_protocol::ids::{
    BrokerEpoch, DirectoryId, LeaderEpoch, MetadataOffset, NodeId, PartitionEpoch, ProducerId,
    TopicIdPartition, Uuid,
};

use crate::image::{ApplyError, MetadataDelta, MetadataImage};
use crate::record::{
    BrokerDrainedV1, BrokerFencedV1, BrokerRegisteredV1, BrokerShuttingDownV1, BrokerUndrainedV1,
    BrokerUnfencedV1, BrokerUnregisteredV1, ClusterV1, ConfigChangedV1, ConfigResource,
    LeaderRecovery, MetadataRecord, PartitionChangedV2, PartitionCreatedV1, ProducerIdsAllocatedV1,
    ReplicasCameOnlineV1, ReplicasWentOfflineV1, TopicCreatedV1, TopicDeletedV1,
};

const TOPIC: Uuid = Uuid([7; 16]);

fn registered(broker: i32) -> MetadataRecord {
    MetadataRecord::BrokerRegistered(BrokerRegisteredV1 {
        broker: NodeId(broker),
        incarnation: Uuid([1; 16]),
        directory: DirectoryId(11),
        listeners: Vec::new(),
        controller_address: "h:1".into(),
        http_address: None,
        rack: Some("r".into()),
        clean_shutdown: true,
    })
}

fn topic(name: &str) -> MetadataRecord {
    MetadataRecord::TopicCreated(TopicCreatedV1 {
        topic_id: TOPIC,
        name: name.into(),
    })
}

fn partition(partition: i32) -> MetadataRecord {
    MetadataRecord::PartitionCreated(PartitionCreatedV1 {
        topic_id: TOPIC,
        partition,
        replicas: vec![NodeId(1), NodeId(2)],
        isr: vec![NodeId(1), NodeId(2)],
        leader: Some(NodeId(1)),
    })
}

fn changed(previous: i32, leader_epoch: i32) -> MetadataRecord {
    MetadataRecord::PartitionChanged(PartitionChangedV2 {
        topic_id: TOPIC,
        partition: 0,
        previous_partition_epoch: PartitionEpoch(previous),
        replicas: vec![NodeId(1), NodeId(2)],
        adding_replicas: Vec::new(),
        removing_replicas: Vec::new(),
        isr: vec![NodeId(2)],
        elr: vec![NodeId(1)],
        leader: Some(NodeId(2)),
        leader_epoch: LeaderEpoch(leader_epoch),
        recovery: LeaderRecovery::Recovering,
    })
}

fn config(resource: ConfigResource, value: Option<&str>) -> MetadataRecord {
    MetadataRecord::ConfigChanged(ConfigChangedV1 {
        resource,
        key: "k".into(),
        value: value.map(Into::into),
    })
}

fn after(
    image: &MetadataImage,
    at: u64,
    records: &[MetadataRecord],
) -> (MetadataImage, MetadataDelta) {
    image.apply(MetadataOffset(at), 3, records).unwrap()
}

#[test]
fn broker_epoch_is_the_index_of_the_registration() {
    let (image, delta) = after(&MetadataImage::default(), 42, &[registered(1)]);
    let broker = &image.brokers[&NodeId(1)];
    assert_eq!(broker.broker_epoch, BrokerEpoch(42));
    assert!(broker.fenced, "a broker starts fenced");
    assert_eq!((image.offset, image.term), (MetadataOffset(42), 3));
    assert_eq!(delta.brokers, [NodeId(1)]);
}

#[test]
fn records_of_an_older_incarnation_are_refused() {
    let (image, _) = after(&MetadataImage::default(), 5, &[registered(1)]);
    let (image, _) = after(&image, 9, &[registered(1)]);
    let unfence = |epoch| {
        MetadataRecord::BrokerUnfenced(BrokerUnfencedV1 {
            broker: NodeId(1),
            broker_epoch: BrokerEpoch(epoch),
        })
    };
    assert_eq!(
        image.apply(MetadataOffset(10), 3, &[unfence(5)]),
        Err(ApplyError::BrokerEpoch {
            broker: NodeId(1),
            current: BrokerEpoch(9),
            recorded: BrokerEpoch(5)
        })
    );
    let (image, _) = after(&image, 10, &[unfence(9)]);
    assert!(image.active_broker(NodeId(1)).is_some());
}

#[test]
fn a_broker_is_fenced_stopped_and_forgotten() {
    let epoch = BrokerEpoch(5);
    let broker = NodeId(1);
    let (image, _) = after(&MetadataImage::default(), 5, &[registered(1)]);
    let unfenced = MetadataRecord::BrokerUnfenced(BrokerUnfencedV1 {
        broker,
        broker_epoch: epoch,
    });
    let stopping = MetadataRecord::BrokerShuttingDown(BrokerShuttingDownV1 {
        broker,
        broker_epoch: epoch,
    });
    let fenced = MetadataRecord::BrokerFenced(BrokerFencedV1 {
        broker,
        broker_epoch: epoch,
    });
    let gone = MetadataRecord::BrokerUnregistered(BrokerUnregisteredV1 {
        broker,
        broker_epoch: epoch,
    });
    let (image, _) = after(&image, 6, &[unfenced, stopping]);
    assert!(image.active_broker(broker).is_none());
    let (image, _) = after(&image, 7, &[fenced]);
    assert!(image.brokers[&broker].fenced);
    let (image, delta) = after(&image, 8, std::slice::from_ref(&gone));
    assert!(image.brokers.is_empty());
    assert_eq!(delta.brokers, [broker]);
    assert_eq!(
        image.apply(MetadataOffset(9), 3, &[gone]),
        Err(ApplyError::UnknownBroker { broker })
    );
}

#[test]
fn the_cluster_is_named_once() {
    let named = |id: &str| {
        MetadataRecord::Cluster(ClusterV1 {
            cluster_id: id.into(),
        })
    };
    let (image, _) = after(&MetadataImage::default(), 1, &[named("a")]);
    assert_eq!(
        image.apply(MetadataOffset(2), 3, &[named("b")]),
        Err(ApplyError::ClusterNamed {
            existing: "a".into()
        })
    );
}

#[test]
fn partitions_come_in_order_and_start_at_epoch_zero() {
    let (image, delta) = after(
        &MetadataImage::default(),
        1,
        &[topic("t"), partition(0), partition(1)],
    );
    let first = TopicIdPartition {
        topic_id: TOPIC,
        partition: 0,
    };
    assert_eq!(delta.partitions.len(), 2);
    let registration = image.partition(first).unwrap();
    assert_eq!(registration.partition_epoch, PartitionEpoch(0));
    assert_eq!(registration.leader_epoch, LeaderEpoch(0));
    assert_eq!(
        image.apply(MetadataOffset(2), 3, &[partition(3)]),
        Err(ApplyError::PartitionOrder {
            partition: TopicIdPartition {
                topic_id: TOPIC,
                partition: 3
            },
            next: 2
        })
    );
}

#[test]
fn a_partition_changes_only_from_the_epoch_it_was_decided_on() {
    let (image, _) = after(&MetadataImage::default(), 1, &[topic("t"), partition(0)]);
    let (next, _) = after(&image, 2, &[changed(0, 1)]);
    let id = TopicIdPartition {
        topic_id: TOPIC,
        partition: 0,
    };
    let registration = next.partition(id).unwrap();
    assert_eq!(registration.partition_epoch, PartitionEpoch(1));
    assert_eq!(registration.leader, Some(NodeId(2)));
    assert_eq!(registration.elr, [NodeId(1)]);
    assert!(matches!(
        next.apply(MetadataOffset(3), 3, &[changed(0, 2)]),
        Err(ApplyError::PartitionEpoch { .. })
    ));
    assert!(matches!(
        next.apply(MetadataOffset(3), 3, &[changed(1, 0)]),
        Err(ApplyError::LeaderEpoch { .. })
    ));
    let before = image.partition(id).unwrap();
    assert_eq!(
        before.partition_epoch,
        PartitionEpoch(0),
        "older images stay as they were"
    );
}

#[test]
fn a_batch_applies_whole_or_not_at_all() {
    let image = MetadataImage::default();
    let batch = [topic("t"), partition(0), changed(5, 1)];
    assert!(image.apply(MetadataOffset(1), 3, &batch).is_err());
    assert_eq!(image, MetadataImage::default());
}

#[test]
fn deleting_a_topic_takes_its_configs_and_its_name() {
    let resource = ConfigResource::Topic("t".into());
    let create = [
        topic("t"),
        partition(0),
        config(resource.clone(), Some("v")),
    ];
    let (image, _) = after(&MetadataImage::default(), 1, &create);
    let delete = MetadataRecord::TopicDeleted(TopicDeletedV1 { topic_id: TOPIC });
    let (image, delta) = after(&image, 2, std::slice::from_ref(&delete));
    assert!(image.topics.is_empty() && image.topic_ids.is_empty() && image.configs.is_empty());
    assert_eq!(delta.deleted_topics, [TOPIC]);
    assert_eq!(delta.configs, [resource]);
    assert!(delta.partitions.is_empty());
    assert_eq!(
        image.apply(MetadataOffset(3), 3, &[delete]),
        Err(ApplyError::UnknownTopic { topic_id: TOPIC })
    );
}

#[test]
fn the_last_removed_entry_takes_its_resource_along() {
    let resource = ConfigResource::Cluster;
    let (image, _) = after(
        &MetadataImage::default(),
        1,
        &[config(resource.clone(), Some("v"))],
    );
    assert_eq!(image.configs[&resource]["k"], "v");
    let (image, _) = after(&image, 2, &[config(resource.clone(), None)]);
    assert!(image.configs.is_empty());
}

#[test]
fn a_taken_name_or_id_is_refused() {
    let (image, _) = after(&MetadataImage::default(), 1, &[topic("t")]);
    assert!(matches!(
        image.apply(MetadataOffset(2), 3, &[topic("other")]),
        Err(ApplyError::TopicExists { .. })
    ));
}

fn named(partition: i32) -> TopicIdPartition {
    TopicIdPartition {
        topic_id: TOPIC,
        partition,
    }
}

fn went_offline(broker_epoch: i64, partitions: &[i32]) -> MetadataRecord {
    MetadataRecord::ReplicasWentOffline(ReplicasWentOfflineV1 {
        broker: NodeId(1),
        broker_epoch: BrokerEpoch(broker_epoch),
        partitions: partitions.iter().copied().map(named).collect(),
    })
}

#[test]
fn a_replica_is_offline_until_its_broker_says_otherwise() {
    let start = [registered(1), topic("t"), partition(0), partition(1)];
    let (image, _) = after(&MetadataImage::default(), 10, &start);
    let (image, delta) = after(&image, 11, &[went_offline(10, &[0, 1])]);
    assert_eq!(delta.partitions, [named(0), named(1)]);
    assert!(image.is_offline(NodeId(1), named(0)));
    assert!(!image.is_offline(NodeId(2), named(0)));
    let back = MetadataRecord::ReplicasCameOnline(ReplicasCameOnlineV1 {
        broker: NodeId(1),
        broker_epoch: BrokerEpoch(10),
        partitions: vec![named(0)],
    });
    let (image, _) = after(&image, 12, &[back]);
    assert!(!image.is_offline(NodeId(1), named(0)));
    assert!(image.is_offline(NodeId(1), named(1)));
}

#[test]
fn what_a_process_could_not_use_ends_with_its_registration() {
    let start = [registered(1), topic("t"), partition(0), partition(1)];
    let (image, _) = after(&MetadataImage::default(), 10, &start);
    let (offline, _) = after(&image, 11, &[went_offline(10, &[0])]);
    let (again, _) = after(&offline, 12, &[registered(1)]);
    assert!(again.offline_replicas.is_empty());
    let refused = again.apply(MetadataOffset(13), 3, &[went_offline(10, &[0])]);
    assert!(matches!(refused, Err(ApplyError::BrokerEpoch { .. })));

    let deleted = MetadataRecord::TopicDeleted(TopicDeletedV1 { topic_id: TOPIC });
    let (deleted, _) = after(&offline, 12, &[deleted]);
    assert!(deleted.offline_replicas.is_empty());
}

fn allocated(broker_epoch: i64, first: i64, next: i64) -> MetadataRecord {
    MetadataRecord::ProducerIdsAllocated(ProducerIdsAllocatedV1 {
        broker: NodeId(1),
        broker_epoch: BrokerEpoch(broker_epoch),
        first: ProducerId(first),
        next: ProducerId(next),
    })
}

#[test]
fn a_producer_id_is_given_once() {
    let (image, _) = after(&MetadataImage::default(), 5, &[registered(1)]);
    let blocks = [allocated(5, 0, 1000), allocated(5, 1000, 2000)];
    let (image, delta) = after(&image, 6, &blocks);
    assert_eq!(image.next_producer_id, ProducerId(2000));
    assert_eq!(delta, MetadataDelta::default());
    // Decided twice on the same image, with a hole, empty, and backwards.
    for (first, next) in [(1000, 2000), (2001, 3000), (2000, 2000), (2000, 1000)] {
        assert_eq!(
            image.apply(MetadataOffset(7), 3, &[allocated(5, first, next)]),
            Err(ApplyError::ProducerIds {
                current: ProducerId(2000),
                first: ProducerId(first),
                next: ProducerId(next),
            })
        );
    }
    let stale = image.apply(MetadataOffset(7), 3, &[allocated(4, 2000, 3000)]);
    assert!(matches!(stale, Err(ApplyError::BrokerEpoch { .. })));
}

#[test]
fn a_node_stays_drained_over_registrations_and_until_it_is_gone() {
    let drained = MetadataRecord::BrokerDrained(BrokerDrainedV1 { broker: NodeId(1) });
    let refused =
        MetadataImage::default().apply(MetadataOffset(5), 3, std::slice::from_ref(&drained));
    assert!(matches!(refused, Err(ApplyError::UnknownBroker { .. })));

    let (image, _) = after(&MetadataImage::default(), 5, &[registered(1), drained]);
    let (image, _) = after(&image, 6, &[registered(1)]);
    assert!(image.is_drained(NodeId(1)));
    let undrained = MetadataRecord::BrokerUndrained(BrokerUndrainedV1 { broker: NodeId(1) });
    let (serving, delta) = after(&image, 7, &[undrained]);
    assert!(!serving.is_drained(NodeId(1)));
    assert_eq!(delta.brokers, [NodeId(1)]);
    let gone = MetadataRecord::BrokerUnregistered(BrokerUnregisteredV1 {
        broker: NodeId(1),
        broker_epoch: BrokerEpoch(6),
    });
    let (gone, _) = after(&image, 7, &[gone]);
    assert!(!gone.is_drained(NodeId(1)));
}
