//! A small cluster for the tests of handlers: brokers 1 to 3 (3 is fenced), topic "orders".

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use drave_protocol::api::ApiKey;
use drave_protocol::ids::{
    BrokerEpoch, DirectoryId, LeaderEpoch, MetadataOffset, NodeId, PartitionEpoch, TopicId, Uuid,
};
use drave_protocol::message::Message;
use drave_raft::image::{BrokerRegistration, MetadataImage, PartitionRegistration, TopicImage};
use drave_raft::record::{LeaderRecovery, ListenerV1};

use crate::clock::Clock;
use crate::cluster::ClusterView;
use crate::server::context::{Origin, RequestContext};
use crate::server::quotas::Mute;

pub(crate) const ORDERS: TopicId = Uuid([7; 16]);
/// What no client is told: brokers 1 and 3 lack this listener.
pub(crate) const INTERNAL: &str = "INTERNAL";
pub(crate) const PLAINTEXT: &str = "PLAINTEXT";

/// Partition 0 led by broker 1, partition 1 by broker 2, partition 2 by nobody.
pub(crate) fn image() -> Arc<MetadataImage> {
    let topic = TopicImage {
        topic_id: ORDERS,
        name: "orders".to_owned(),
        partitions: vec![
            partition(Some(1), &[1, 2, 3], &[1, 2]),
            partition(Some(2), &[2, 1], &[2]),
            partition(None, &[3], &[3]),
        ],
    };
    let brokers = [broker(1, false), broker(2, false), broker(3, true)];
    let brokers = brokers.into_iter().map(|it| (it.broker, Arc::new(it)));
    Arc::new(MetadataImage {
        offset: MetadataOffset(42),
        cluster_id: Some("sample".to_owned()),
        brokers: Arc::new(brokers.collect()),
        topics: Arc::new(BTreeMap::from([(ORDERS, Arc::new(topic))])),
        topic_ids: Arc::new(BTreeMap::from([("orders".to_owned(), ORDERS)])),
        ..MetadataImage::default()
    })
}

pub(crate) fn view() -> ClusterView {
    ClusterView::new(image())
}

/// A request by a client of the plain listener.
pub(crate) fn context(key: ApiKey, version: i16) -> RequestContext {
    RequestContext {
        api: key.api(),
        version,
        correlation_id: 5,
        client_id: None,
        origin: Origin {
            listener: Arc::from(PLAINTEXT),
            peer: SocketAddr::from(([127, 0, 0, 1], 9)),
            mute: Mute::default(),
        },
        received_at: Clock::system().now(),
        work: None,
    }
}

/// Answers must have bytes in every version they are asked for in.
pub(crate) fn encodes_in_every_version<M: Message>(key: ApiKey, answer: impl Fn(i16) -> M) {
    let (first, last) = key.api().decode_versions;
    for version in first..=last {
        let response = answer(version);
        let encoded = context(key, version).answer(&response);
        assert!(encoded.is_ok(), "{} {version}: {encoded:?}", M::NAME);
    }
}

fn broker(id: i32, fenced: bool) -> BrokerRegistration {
    let listener = |name: &str, port| ListenerV1 {
        name: name.to_owned(),
        host: format!("host{id}"),
        port,
    };
    let mut listeners = vec![listener(PLAINTEXT, 9092)];
    if id == 2 {
        listeners.push(listener(INTERNAL, 9094));
    }
    BrokerRegistration {
        broker: NodeId(id),
        broker_epoch: BrokerEpoch(i64::from(id) * 10),
        incarnation: Uuid::ZERO,
        directory: DirectoryId(1),
        listeners,
        controller_address: String::new(),
        http_address: None,
        rack: Some("r".to_owned()),
        fenced,
        shutting_down: false,
    }
}

fn partition(leader: Option<i32>, replicas: &[i32], isr: &[i32]) -> Arc<PartitionRegistration> {
    let nodes = |ids: &[i32]| ids.iter().copied().map(NodeId).collect();
    Arc::new(PartitionRegistration {
        replicas: nodes(replicas),
        adding_replicas: Vec::new(),
        removing_replicas: Vec::new(),
        isr: nodes(isr),
        elr: Vec::new(),
        leader: leader.map(NodeId),
        leader_epoch: LeaderEpoch(4),
        partition_epoch: PartitionEpoch(6),
        recovery: LeaderRecovery::Recovered,
    })
}
