//! Who belongs to the quorum: forming, joining, leaving, coming back with another disk.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests stand where `node` stands: they own the doors"
)]

mod support;

use std::time::Duration;

use drave_protocol::ids::{DirectoryId, MetadataOffset, NodeId};
use drave_raft::{Bootstrap, MetadataUpdate, PeerId, QuorumRole, RaftConfig};
use support::{
    Cluster, Member, agree, bind_again, leader, listen, restart, same_image, setting, start, until,
    value, wipe,
};

fn voters(members: &[Member], of: usize) -> Vec<i32> {
    let status = members[of].raft.status();
    status.voters.iter().map(|it| it.id.node.0).collect()
}

async fn stop(member: Member) -> RaftConfig {
    let config = member.config.clone();
    member.raft.shutdown().await;
    config
}

async fn start_again(config: RaftConfig) -> Member {
    let listener = bind_again(&config.advertised_address).await;
    start(config, listener).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_majority_forms_and_the_latecomer_becomes_a_voter() {
    let (cluster, mut listeners) = Cluster::new(3).await;
    let late = listeners.pop().unwrap();
    let mut members = Vec::new();
    for (node, listener) in (1..).zip(listeners) {
        members.push(cluster.start(node, listener).await);
    }
    leader(&members).await;
    agree(&members, vec![setting("k", "v")]).await;
    members.push(cluster.start(3, late).await);
    until("the latecomer votes", || async {
        (voters(&members, 2) == [1, 2, 3]).then_some(())
    })
    .await;
    same_image(&members).await;
    assert_eq!(value(&members[2].raft, "k").as_deref(), Some("v"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minority_forms_nothing() {
    let (cluster, mut listeners) = Cluster::new(3).await;
    let first = cluster.start(1, listeners.remove(0)).await;
    // Nobody else answers: the ports are bound, and no one accepts.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(first.raft.status().role, QuorumRole::Unformed);
    assert!(!first.raft.status().has_quorum);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_named_by_address_alone_form_too() {
    let (cluster, listeners) = Cluster::new(3).await;
    let mut members = Vec::new();
    for (node, listener) in (11..).zip(listeners) {
        let address = listener.local_addr().unwrap().to_string();
        let directory = u64::try_from(node).unwrap();
        let mut config = cluster.config(node, directory, &address);
        config.bootstrap = Bootstrap::Servers(cluster.addresses.clone());
        members.push(start(config, listener).await);
    }
    let leading = leader(&members).await;
    until("all vote", || async {
        (voters(&members, leading).len() == 3).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_no_controller_learns_and_never_votes() {
    let (cluster, mut members) = Cluster::formed(3).await;
    agree(&members, vec![setting("k", "v")]).await;
    let listener = listen().await;
    let address = listener.local_addr().unwrap().to_string();
    let mut config = cluster.config(4, 4, &address);
    config.is_controller = false;
    members.push(start(config, listener).await);
    same_image(&members).await;
    let status = members[leader(&members).await].raft.status();
    assert_eq!(status.voters.len(), 3);
    let learners: Vec<_> = status.learners.iter().map(|it| it.id.node.0).collect();
    assert_eq!(learners, [4]);
    until("it hears the leader", || async {
        members[3].raft.status().has_quorum.then_some(())
    })
    .await;
    assert_eq!(members[3].raft.status().role, QuorumRole::Learner);
    let deadline = std::time::Instant::now() + support::PATIENCE;
    let answer = members[3].raft.call_leader("x".into(), deadline).await;
    let leading = members[leader(&members).await].config.node;
    assert_eq!(answer.unwrap(), format!("{leading}:x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_far_behind_is_brought_up_by_a_snapshot() {
    let adjust = |config: &mut RaftConfig| {
        config.snapshot_every_entries = 40;
        config.snapshot_keep_entries = 5;
    };
    let (_cluster, mut members) = Cluster::formed_with(3, adjust).await;
    let behind = (leader(&members).await + 1) % 3;
    let config = stop(members.remove(behind)).await;
    let before = members[0].raft.image().offset;
    // Large enough for the snapshot to travel in several chunks.
    let ballast = "x".repeat(600 << 10);
    for number in 0..5 {
        let record = setting(&format!("ballast{number}"), &ballast);
        agree(&members, vec![record]).await;
    }
    for number in 0..150 {
        agree(&members, vec![setting("k", &number.to_string())]).await;
    }
    until("what it missed is gone from the logs", || async {
        let gone = |it: &Member| it.raft.status().purged > before;
        members.iter().all(gone).then_some(())
    })
    .await;
    let back = start_again(config).await;
    let mut updates = back.raft.subscribe();
    let first = updates.next().await.unwrap();
    assert!(matches!(first, MetadataUpdate::Reset { .. }));
    members.push(back);
    same_image(&members).await;
    assert_eq!(value(&members[2].raft, "k").as_deref(), Some("149"));
    let installed = until("a snapshot is installed", || async {
        let snapshot = members[2].raft.status().snapshot;
        (snapshot.0 > before.0 + 100).then_some(snapshot)
    })
    .await;
    // Installed before anybody subscribed, it is what the first update starts from.
    let mut reset = first.image().offset >= installed;
    while let Ok(Some(update)) =
        tokio::time::timeout(Duration::from_millis(100), updates.next()).await
    {
        reset |= matches!(update, MetadataUpdate::Reset { .. });
    }
    assert!(reset, "the snapshot came as a reset");
    // And what it installed is what it starts from.
    let back = restart(members.pop().unwrap()).await;
    assert!(back.raft.image().offset >= installed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_node_is_refused_until_its_old_disk_is_given_up() {
    let (cluster, mut members) = Cluster::formed(3).await;
    agree(&members, vec![setting("k", "v")]).await;
    let place = (leader(&members).await + 1) % 3;
    let old = stop(members.remove(place)).await;
    wipe(&old.data_dir);
    let mut config = cluster.config(old.node.0, 99, &old.advertised_address);
    config.data_dir.clone_from(&old.data_dir);
    let wiped = start_again(config).await;
    let refusal = until("refused", || async { wiped.raft.status().join_refused }).await;
    for part in ["0000000000000063", &format!("{:016x}", old.directory.0)] {
        assert!(refusal.contains(part), "{refusal}");
    }
    assert!(refusal.contains("remove the member"), "{refusal}");
    assert_eq!(wiped.raft.image().cluster_id, None);
    let leading = &members[leader(&members).await];
    let gone = PeerId {
        node: old.node,
        directory: old.directory,
    };
    leading.raft.remove(gone).await.unwrap();
    members.push(wiped);
    until("it votes under its new disk", || async {
        (voters(&members, 2).len() == 3).then_some(())
    })
    .await;
    same_image(&members).await;
    assert_eq!(members[2].raft.status().join_refused, None);
    let ids: Vec<_> = members[2].raft.status().voters;
    assert!(ids.iter().any(|it| it.id.directory == DirectoryId(99)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_former_does_not_form_a_second_cluster() {
    let (cluster, mut members) = Cluster::formed(3).await;
    let named = members[0].raft.image().cluster_id.clone();
    let former = stop(members.remove(0)).await;
    assert_eq!(former.node, NodeId(1));
    wipe(&former.data_dir);
    let config = cluster.config(1, 77, &former.advertised_address);
    let wiped = start_again(config).await;
    until("refused", || async { wiped.raft.status().join_refused }).await;
    assert_eq!(wiped.raft.status().role, QuorumRole::Unformed);
    agree(&members, vec![setting("k", "v")]).await;
    assert_eq!(members[0].raft.image().cluster_id, named);
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_is_handed_over_on_request() {
    let (_cluster, members) = Cluster::formed(3).await;
    agree(&members, vec![setting("k", "v")]).await;
    let leading = leader(&members).await;
    let heir = (leading + 1) % 3;
    let to = members[heir].raft.status().id;
    members[leading].raft.transfer_leadership(to).await.unwrap();
    until("the heir leads", || async {
        let leads = members[heir].raft.leadership().borrow().is_self;
        leads.then_some(())
    })
    .await;
    agree(&members, vec![setting("k", "w")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_restarted_find_everything_and_each_other() {
    let (_cluster, members) = Cluster::formed(3).await;
    for number in 0..30 {
        agree(&members, vec![setting("k", &number.to_string())]).await;
    }
    same_image(&members).await;
    let reached: MetadataOffset = members[0].raft.image().offset;
    let mut again = Vec::new();
    let mut configs = Vec::new();
    for member in members {
        configs.push(stop(member).await);
    }
    for config in configs {
        again.push(start_again(config).await);
    }
    leader(&again).await;
    same_image(&again).await;
    assert!(again[0].raft.image().offset >= reached);
    assert_eq!(value(&again[0].raft, "k").as_deref(), Some("29"));
}
