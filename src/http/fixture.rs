//! A small cluster to tell stories about: brokers 1 and 2 live, 3 fenced; node 1 answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use drave_protocol::ids::{
    BrokerEpoch, DirectoryId, LeaderEpoch, MetadataOffset, NodeId, PartitionEpoch, TopicId, Uuid,
};
use drave_raft::image::{BrokerRegistration, MetadataImage, PartitionRegistration, TopicImage};
use drave_raft::record::{LeaderRecovery, ListenerV1};
use drave_raft::{MemberStatus, Peer, PeerId, QuorumRole, QuorumStatus};

use crate::clock::{Clock, TimeSource};
use crate::cluster::registration::BrokerStanding;
use crate::cluster::view::ClusterView;
use crate::config::BrokerConfig;
use crate::coordinator::group::{GroupDescription, GroupMemberStatus, GroupStatus, OffsetStatus};
use crate::coordinator::topic::OFFSETS_TOPIC;
use crate::http::answers::{Seen, Unanswered};
use crate::http::ask::Asked;
use crate::replica::status::{
    FollowerStatus, LogDirStatus, ReplicaRole, ReplicaStatus, UncleanableReplica,
};

pub(super) const ORDERS: TopicId = Uuid([1; 16]);
pub(super) const EVENTS: TopicId = Uuid([2; 16]);
const GROUPS: TopicId = Uuid([3; 16]);

pub(super) fn config() -> BrokerConfig {
    BrokerConfig::from_pairs([("node.id", "1")]).unwrap()
}

pub(super) fn seen() -> Seen {
    Seen {
        node: NodeId(1),
        metadata_offset: MetadataOffset(42),
        quorum: true,
        no_quorum: None,
    }
}

pub(super) fn view() -> ClusterView {
    ClusterView::new(image())
}

/// With a topic of groups, of which nodes 1 and 2 lead a partition each.
pub(super) fn image_with_groups() -> Arc<MetadataImage> {
    let mut image = MetadataImage::clone(&image());
    let groups = topic(
        GROUPS,
        OFFSETS_TOPIC,
        vec![
            partition(Some(1), &[1, 2], &[1, 2]),
            partition(Some(2), &[2, 1], &[2, 1]),
        ],
    );
    Arc::make_mut(&mut image.topics).insert(GROUPS, groups);
    Arc::make_mut(&mut image.topic_ids).insert(OFFSETS_TOPIC.to_owned(), GROUPS);
    Arc::new(image)
}

/// `orders` has two partitions that lack replica 3; `events` has one, and it is offline.
pub(super) fn image() -> Arc<MetadataImage> {
    let brokers = (1..=3).map(|n| (NodeId(n), Arc::new(broker(n))));
    let orders = topic(
        ORDERS,
        "orders",
        vec![
            partition(Some(1), &[1, 2, 3], &[1, 2]),
            partition(Some(2), &[2, 3, 1], &[2, 1]),
        ],
    );
    let events = topic(EVENTS, "events", vec![partition(None, &[3], &[])]);
    let ids = [("orders", ORDERS), ("events", EVENTS)];
    Arc::new(MetadataImage {
        offset: MetadataOffset(42),
        term: 4,
        cluster_id: Some("fixture".to_owned()),
        brokers: Arc::new(brokers.collect()),
        topics: Arc::new(BTreeMap::from([(ORDERS, orders), (EVENTS, events)])),
        topic_ids: Arc::new(ids.map(|(name, id)| (name.to_owned(), id)).into()),
        ..MetadataImage::default()
    })
}

fn broker(n: i32) -> BrokerRegistration {
    BrokerRegistration {
        broker: NodeId(n),
        broker_epoch: BrokerEpoch(i64::from(10 + n)),
        incarnation: Uuid([7; 16]),
        directory: peer(n).directory,
        listeners: vec![ListenerV1 {
            name: "PLAINTEXT".to_owned(),
            host: format!("b{n}"),
            port: 9092,
        }],
        controller_address: format!("c{n}:9093"),
        http_address: Some(format!("b{n}:9640")),
        rack: None,
        fenced: n == 3,
        shutting_down: false,
    }
}

fn topic(
    topic_id: TopicId,
    name: &str,
    partitions: Vec<Arc<PartitionRegistration>>,
) -> Arc<TopicImage> {
    Arc::new(TopicImage {
        topic_id,
        name: name.to_owned(),
        partitions,
    })
}

fn partition(leader: Option<i32>, replicas: &[i32], isr: &[i32]) -> Arc<PartitionRegistration> {
    let ids = |them: &[i32]| them.iter().copied().map(NodeId).collect::<Vec<_>>();
    Arc::new(PartitionRegistration {
        replicas: ids(replicas),
        adding_replicas: Vec::new(),
        removing_replicas: Vec::new(),
        isr: ids(isr),
        elr: if isr.is_empty() {
            ids(replicas)
        } else {
            Vec::new()
        },
        leader: leader.map(NodeId),
        leader_epoch: LeaderEpoch(2),
        partition_epoch: PartitionEpoch(5),
        recovery: LeaderRecovery::Recovered,
    })
}

fn peer(n: i32) -> PeerId {
    PeerId {
        node: NodeId(n),
        directory: DirectoryId(0xd0 + u64::try_from(n).unwrap()),
    }
}

/// Node 1 follows node 2 in term 4.
pub(super) fn quorum_status() -> QuorumStatus {
    let address = |n| format!("c{n}:9093");
    let voters = (1..=3).map(|n| MemberStatus {
        id: peer(n),
        address: address(n),
        matched: None,
        silent_for: None,
    });
    QuorumStatus {
        id: peer(1),
        cluster_id: Some("fixture".to_owned()),
        role: QuorumRole::Follower,
        term: 4,
        leader: Some(Peer {
            id: peer(2),
            address: address(2),
        }),
        voters: voters.collect(),
        learners: Vec::new(),
        last_log: MetadataOffset(43),
        committed: MetadataOffset(42),
        applied: MetadataOffset(42),
        snapshot: MetadataOffset(30),
        purged: MetadataOffset(25),
        has_quorum: true,
        fatal: None,
        join_refused: None,
    }
}

/// Node 1 as it knows itself to stand.
pub(super) fn standing() -> BrokerStanding {
    BrokerStanding {
        broker_epoch: Some(BrokerEpoch(11)),
        unfenced: true,
        ..BrokerStanding::default()
    }
}

/// Partition 0 of `orders` as its leader, node 1, tells it.
pub(super) fn leader_of_orders() -> ReplicaStatus {
    let follower = |broker, log_end_offset| FollowerStatus {
        broker,
        log_end_offset: Some(log_end_offset),
    };
    ReplicaStatus {
        topic: "orders".to_owned(),
        topic_id: ORDERS.to_string(),
        partition: 0,
        role: ReplicaRole::Leader,
        leader_epoch: 2,
        log_start_offset: 0,
        log_end_offset: 100,
        high_watermark: 90,
        recovery_point: 100,
        size_bytes: 4_096,
        log_dir: "/data/one".to_owned(),
        offline: None,
        uncleanable: None,
        followers: vec![follower(2, 90), follower(3, 40)],
    }
}

const BAD_BATCH: &str = "the batch at offset 3 in /data/one/orders-1/00000000000000000000.log cannot be unpacked: its zstd frame is damaged";

/// Where partition 0 of `orders` lies on node 1.
pub(super) fn log_dir() -> LogDirStatus {
    LogDirStatus {
        room: None,
        path: "/data/one".to_owned(),
        directory_id: Some("5fd1a2b3c4d5e6f7".to_owned()),
        offline: None,
        full: false,
        replicas: 1,
        offline_replicas: 0,
        size_bytes: 4_096,
        uncleanable: vec![UncleanableReplica {
            topic: "orders".to_owned(),
            partition: 1,
            reason: BAD_BATCH.to_owned(),
        }],
    }
}

pub(super) fn broken_log_dir() -> LogDirStatus {
    LogDirStatus {
        room: None,
        path: "/data/two".to_owned(),
        directory_id: Some("0a1b2c3d4e5f6071".to_owned()),
        offline: Some("cannot sync /data/two/orders-1: Input/output error (os error 5)".to_owned()),
        full: false,
        replicas: 0,
        offline_replicas: 0,
        size_bytes: 0,
        uncleanable: Vec::new(),
    }
}

/// What node 2 says: it follows partition 0 and leads partition 1.
pub(super) fn replicas_of_two() -> Vec<ReplicaStatus> {
    let followed = ReplicaStatus {
        role: ReplicaRole::Follower,
        log_end_offset: 95,
        high_watermark: 88,
        recovery_point: 95,
        followers: Vec::new(),
        ..leader_of_orders()
    };
    let led = ReplicaStatus {
        partition: 1,
        log_end_offset: 7,
        high_watermark: 7,
        recovery_point: 7,
        size_bytes: 512,
        uncleanable: Some(BAD_BATCH.to_owned()),
        followers: Vec::new(),
        ..leader_of_orders()
    };
    vec![followed, led]
}

/// Nodes 1 and 2 answered, node 3 did not; node 1 has not opened partition 1 yet.
pub(super) fn asked_of_two() -> Asked {
    let said = [
        (NodeId(1), vec![leader_of_orders()]),
        (NodeId(2), replicas_of_two()),
    ];
    Asked {
        by_node: said.into(),
        unanswered: vec![Unanswered {
            node: NodeId(3),
            reason: "connection refused".to_owned(),
        }],
    }
}

/// A group that node 1 coordinates.
pub(super) fn group_of_one() -> GroupStatus {
    GroupStatus {
        group: "shipping".to_owned(),
        protocol: "classic".to_owned(),
        protocol_type: "consumer".to_owned(),
        state: "Empty".to_owned(),
        epoch: 3,
        assignor: String::new(),
        member_count: 0,
    }
}

/// A group that node 2 coordinates; it reads the topic it is called like.
pub(super) fn group_of_two() -> GroupDescription {
    let member = |name: &str, partition| GroupMemberStatus {
        member: name.to_owned(),
        instance: None,
        client: "rdkafka".to_owned(),
        host: "/10.0.0.7".to_owned(),
        rack: None,
        epoch: Some(5),
        assignment: Some([("orders".to_owned(), [partition].into())].into()),
    };
    GroupDescription {
        status: GroupStatus {
            group: "orders".to_owned(),
            protocol: "consumer".to_owned(),
            protocol_type: "consumer".to_owned(),
            state: "Stable".to_owned(),
            epoch: 5,
            assignor: "uniform".to_owned(),
            member_count: 2,
        },
        members: vec![member("one", 0), member("other", 1)],
        offsets: vec![OffsetStatus {
            topic: "orders".to_owned(),
            partition: 0,
            committed_offset: 78,
            committed_ms: 1_700_000_000_000,
            metadata: String::new(),
        }],
    }
}

/// A clock that a test moves.
#[derive(Clone, Debug)]
pub(super) struct ManualTime {
    began: Instant,
    elapsed_ms: Arc<AtomicI64>,
}

impl Default for ManualTime {
    fn default() -> Self {
        Self {
            began: Clock::system().now(),
            elapsed_ms: Arc::default(),
        }
    }
}

impl ManualTime {
    pub(super) fn clock(&self) -> Clock {
        Clock::new(Arc::new(self.clone()))
    }

    pub(super) fn advance_ms(&self, by_ms: i64) {
        self.elapsed_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl TimeSource for ManualTime {
    fn now(&self) -> Instant {
        let elapsed_ms = self.elapsed_ms.load(Ordering::Relaxed);
        self.began + Duration::from_millis(u64::try_from(elapsed_ms).unwrap())
    }

    fn wall_ms(&self) -> i64 {
        1_700_000_000_000 + self.elapsed_ms.load(Ordering::Relaxed)
    }
}
