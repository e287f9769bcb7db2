//! The same log makes the same image: on every node, and again from every place a start may begin.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests stand where `node` stands: they own the doors"
)]

mod support;

use std::time::{Duration, Instant};

use drave_protocol::ids::{DirectoryId, LeaderEpoch, MetadataOffset, NodeId, PartitionEpoch, Uuid};
use drave_raft::record::{
    BrokerRegisteredV1, LeaderRecovery, MetadataRecord, PartitionChangedV2, PartitionCreatedV1,
    TopicCreatedV1, TopicDeletedV1,
};
use drave_raft::{Entity, MetadataUpdate, ProposeError, RaftConfig};
use support::{Cluster, Member, agree, leader, restart, same_image, setting, until, wipe};

fn registered(broker: i32) -> MetadataRecord {
    MetadataRecord::BrokerRegistered(BrokerRegisteredV1 {
        broker: NodeId(broker),
        incarnation: Uuid([1; 16]),
        directory: DirectoryId(1000),
        listeners: Vec::new(),
        controller_address: "127.0.0.1:1".into(),
        http_address: None,
        rack: None,
        clean_shutdown: false,
    })
}

fn topic(number: u8) -> Vec<MetadataRecord> {
    let topic_id = Uuid([number; 16]);
    let mut records = vec![MetadataRecord::TopicCreated(TopicCreatedV1 {
        topic_id,
        name: format!("topic{number}"),
    })];
    records.extend((0..3).map(|partition| {
        MetadataRecord::PartitionCreated(PartitionCreatedV1 {
            topic_id,
            partition,
            replicas: vec![NodeId(1), NodeId(2)],
            isr: vec![NodeId(1), NodeId(2)],
            leader: Some(NodeId(1)),
        })
    }));
    records
}

fn shrink(number: u8, previous: i32) -> MetadataRecord {
    MetadataRecord::PartitionChanged(PartitionChangedV2 {
        topic_id: Uuid([number; 16]),
        partition: 1,
        previous_partition_epoch: PartitionEpoch(previous),
        replicas: vec![NodeId(1), NodeId(2)],
        adding_replicas: Vec::new(),
        removing_replicas: Vec::new(),
        isr: vec![NodeId(2)],
        elr: Vec::new(),
        leader: Some(NodeId(2)),
        leader_epoch: LeaderEpoch(previous + 1),
        recovery: LeaderRecovery::Recovered,
    })
}

async fn a_busy_life(members: &[Member]) {
    agree(members, vec![registered(1), registered(2)]).await;
    for number in 1..30 {
        agree(members, topic(number)).await;
        agree(members, vec![shrink(number, 0)]).await;
        if number % 5 == 0 {
            let topic_id = Uuid([number - 1; 16]);
            let deleted = MetadataRecord::TopicDeleted(TopicDeletedV1 { topic_id });
            agree(members, vec![deleted]).await;
        }
        agree(members, vec![setting("number", &number.to_string())]).await;
    }
    // One that every node must refuse alike.
    let leading = &members[leader(members).await];
    let term = leading.raft.leadership().borrow().term;
    let refused = leading.raft.propose(term, vec![shrink(1, 0)]).await;
    assert!(
        matches!(refused, Err(ProposeError::Rejected(_))),
        "{refused:?}"
    );
    agree(members, vec![setting("number", "last")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_holds_the_same_image() {
    let (_cluster, members) = Cluster::formed(3).await;
    a_busy_life(&members).await;
    same_image(&members).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_from_log_snapshot_or_checkpoint_ends_in_the_same_image() {
    let adjust = |config: &mut RaftConfig| {
        config.snapshot_every_entries = 30;
        config.snapshot_keep_entries = 5;
    };
    let (_cluster, members) = Cluster::formed_with(1, adjust).await;
    a_busy_life(&members).await;
    let mut member = members.into_iter().next().unwrap();
    let before = member.raft.image();
    assert!(member.raft.status().snapshot > MetadataOffset(0));
    for without_history in [false, true] {
        let config = member.config.clone();
        member.raft.shutdown().await;
        drop(member);
        if without_history {
            wipe(&config.data_dir.join("history"));
        }
        let listener = support::bind_again(&config.advertised_address).await;
        member = support::start(config, listener).await;
        // The checkpoint holds it all at once; without it the log is applied after an election.
        if !without_history {
            assert_eq!(member.raft.image().topics, before.topics);
        }
        leader(std::slice::from_ref(&member)).await;
        until("everything is applied", || async {
            (member.raft.image().offset > before.offset).then_some(())
        })
        .await;
        let after = member.raft.image();
        assert_eq!(after.topics, before.topics);
        assert_eq!(after.brokers, before.brokers);
        assert_eq!(after.configs, before.configs);
        assert_eq!(after.cluster_id, before.cluster_id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_sees_every_change_once_and_in_order() {
    let (_cluster, members) = Cluster::formed(1).await;
    let raft = &members[0].raft;
    let mut updates = raft.subscribe();
    let mut last = MetadataOffset(0);
    for number in 1..20 {
        agree(&members, topic(number)).await;
    }
    let mut created = 0;
    while created < 19 {
        let update = updates.next().await.unwrap();
        assert!(update.image().offset > last || created == 0);
        last = update.image().offset;
        match update {
            MetadataUpdate::Reset { image } => created = image.topics.len(),
            MetadataUpdate::Changed { image, delta } => {
                assert_eq!(delta.partitions.len(), 3);
                created += 1;
                assert_eq!(image.topics.len(), created);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_falls_behind_starts_over_from_the_newest_image() {
    let (_cluster, members) = Cluster::formed(1).await;
    let raft = members[0].raft.clone();
    let mut updates = raft.subscribe();
    let first = updates.next().await.unwrap();
    assert!(matches!(first, MetadataUpdate::Reset { .. }));
    let term = raft.leadership().borrow().term;
    let mut proposing = tokio::task::JoinSet::new();
    for number in 0..1500 {
        let raft = raft.clone();
        proposing.spawn(async move {
            let record = setting(&format!("k{}", number % 10), "v");
            raft.propose(term, vec![record]).await.unwrap();
        });
    }
    while proposing.join_next().await.is_some() {}
    let newest = raft.image().offset;
    let update = updates.next().await.unwrap();
    assert!(matches!(update, MetadataUpdate::Reset { .. }));
    assert_eq!(update.image().offset, newest);
    agree(&members, vec![setting("next", "v")]).await;
    let update = updates.next().await.unwrap();
    assert!(matches!(update, MetadataUpdate::Changed { .. }));
    assert!(update.image().offset > newest);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_tells_what_happened_to_a_partition_after_a_restart() {
    let (_cluster, members) = Cluster::formed(1).await;
    a_busy_life(&members).await;
    let member = restart(members.into_iter().next().unwrap()).await;
    let partition = drave_protocol::ids::TopicIdPartition {
        topic_id: Uuid([7; 16]),
        partition: 1,
    };
    let told = member
        .raft
        .history()
        .about(Entity::Partition(partition), 10);
    let told: Vec<_> = told.await.into_iter().map(|it| it.record).collect();
    let [newest, oldest] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!(*newest, shrink(7, 0));
    assert!(matches!(oldest, MetadataRecord::PartitionCreated(_)));
    let all = member.raft.history().since(MetadataOffset(0), 10_000).await;
    assert!(all.windows(2).all(|it| it[0].offset <= it[1].offset));
    assert_eq!(all[0].wall_ms, 1_700_000_000_000);
    assert_eq!(member.raft.history().status().skipped, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_an_offset_ends_when_it_is_applied_or_at_the_deadline() {
    let (_cluster, members) = Cluster::formed(3).await;
    let leading = &members[leader(&members).await].raft;
    let term = leading.leadership().borrow().term;
    let offset = leading.propose(term, vec![setting("k", "v")]).await;
    let offset = offset.unwrap();
    for member in &members {
        let deadline = Instant::now() + support::PATIENCE;
        assert!(member.raft.wait_applied(offset, deadline).await);
        assert!(member.raft.image().offset >= offset);
    }
    let beyond = MetadataOffset(offset.0 + 1000);
    let soon = Instant::now() + Duration::from_millis(20);
    assert!(!leading.wait_applied(beyond, soon).await);
}
