//! What operators do to a quorum, and what may happen to it as a whole: votes given and taken, addresses
//! that change, disks that are lost.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests stand where `node` stands: they own the doors"
)]

mod support;

use std::time::{Duration, Instant};

use drave_protocol::ids::NodeId;
use drave_raft::{
    Bootstrap, MembershipError, MetadataRaft, Peer, PeerId, QuorumRole, RaftConfig, Remembered,
};
use support::{
    Cluster, Echo, Member, agree, bind_again, deps, leader, listen, same_image, setting, start,
    until, value, wipe,
};

fn id(member: &Member) -> PeerId {
    PeerId {
        node: member.config.node,
        directory: member.config.directory,
    }
}

fn peer(member: &Member) -> Peer {
    Peer {
        id: id(member),
        address: member.config.advertised_address.clone(),
    }
}

async fn voters(members: &[Member]) -> Vec<i32> {
    let status = members[leader(members).await].raft.status();
    status.voters.iter().map(|it| it.id.node.0).collect()
}

async fn stop(member: Member) -> RaftConfig {
    let config = member.config.clone();
    member.raft.shutdown().await;
    config
}

/// Asks whoever leads until it is done or refused for good, as a caller of the controller does.
async fn remove(members: &[Member], gone: PeerId) -> Result<(), MembershipError> {
    until("somebody decided", || async {
        let leading = leader(members).await;
        match members[leading].raft.remove(gone).await {
            Err(MembershipError::NotLeader) => None,
            decided => Some(decided),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vote_is_not_taken_where_no_majority_would_live() {
    let (_cluster, mut members) = Cluster::formed(3).await;
    agree(&members, vec![setting("k", "v")]).await;
    let place = (leader(&members).await + 1) % 3;
    let gone = id(&members[place]);
    stop(members.remove(place)).await;
    let leading = leader(&members).await;
    let other = id(&members[1 - leading]);
    // At once: what it answered before it ended does not count.
    let refused = members[leading].raft.remove(other).await.unwrap_err();
    let is_refused = matches!(refused, MembershipError::NoMajority { .. });
    assert!(is_refused, "{refused:?}");
    let live = format!("only node {} live", members[leading].config.node);
    assert!(refused.to_string().contains(&live), "{refused}");
    assert_eq!(remove(&members, gone).await, Ok(()));
    assert_eq!(voters(&members).await.len(), 2);
    agree(&members, vec![setting("k", "w")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_loses_its_vote_hands_over_and_follows() {
    let (_cluster, members) = Cluster::formed(3).await;
    agree(&members, vec![setting("k", "v")]).await;
    let leading = leader(&members).await;
    let old = id(&members[leading]);
    assert_eq!(remove(&members, old).await, Ok(()));
    assert_ne!(leader(&members).await, leading);
    assert_eq!(voters(&members).await.len(), 2);
    agree(&members, vec![setting("k", "w")]).await;
    same_image(&members).await;
    assert_eq!(members[leading].raft.status().role, QuorumRole::Learner);
    // What lives and does not vote cannot be removed: it would be cut off.
    let refused = remove(&members, old).await;
    assert_eq!(refused, Err(MembershipError::LivesWithoutVote(old)));
    let back = peer(&members[leading]);
    let asked = members[leader(&members).await].raft.add_voter(&back).await;
    assert_eq!(asked, Ok(()));
    assert_eq!(voters(&members).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_voter_stays_and_a_voter_is_not_added_twice() {
    let (_cluster, members) = Cluster::formed(1).await;
    let only = peer(&members[0]);
    let raft = &members[0].raft;
    assert_eq!(
        raft.remove(only.id).await,
        Err(MembershipError::LastVoter(only.id))
    );
    assert_eq!(
        raft.add_voter(&only).await,
        Err(MembershipError::AlreadyVotes(only.id))
    );
    let mut stranger = only.id;
    stranger.directory.0 += 1;
    assert_eq!(
        raft.remove(stranger).await,
        Err(MembershipError::UnknownMember(stranger))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_votes_when_asked_and_one_that_is_gone_does_not() {
    let (cluster, mut members) = Cluster::formed(2).await;
    for node in [3, 4] {
        let listener = listen().await;
        let address = listener.local_addr().unwrap().to_string();
        let directory = u64::try_from(node).unwrap();
        let config = cluster.config(node, directory, &address);
        members.push(start(config, listener).await);
    }
    same_image(&members).await;
    let gone = peer(&members[3]);
    stop(members.remove(3)).await;
    let leading = leader(&members).await;
    let added = members[leading].raft.add_voter(&peer(&members[2])).await;
    assert_eq!(added, Ok(()));
    assert_eq!(voters(&members).await, [1, 2, 3]);
    let refused = members[leading].raft.add_voter(&gone).await;
    let expected = matches!(
        refused,
        Err(MembershipError::NotLive(_) | MembershipError::NotCaughtUp(_))
    );
    assert!(expected, "{refused:?}");
}

/// The configuration with other addresses: this node's, and those it is told of.
fn moved(mut config: RaftConfig, address: String, servers: &[String]) -> RaftConfig {
    config.advertised_address = address;
    config.bootstrap = Bootstrap::Servers(servers.to_vec());
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn voters_that_all_moved_find_each_other_by_the_list() {
    let (_cluster, members) = Cluster::formed(3).await;
    agree(&members, vec![setting("k", "v")]).await;
    same_image(&members).await;
    let mut configs = Vec::new();
    for member in members {
        configs.push(stop(member).await);
    }
    let mut listeners = Vec::new();
    for _ in 0..3 {
        listeners.push(listen().await);
    }
    let servers: Vec<String> = listeners
        .iter()
        .map(|it| it.local_addr().unwrap().to_string())
        .collect();
    let mut members = Vec::new();
    for ((config, listener), address) in configs.into_iter().zip(listeners).zip(&servers) {
        members.push(start(moved(config, address.clone(), &servers), listener).await);
    }
    leader(&members).await;
    agree(&members, vec![setting("k", "w")]).await;
    same_image(&members).await;
    assert_eq!(value(&members[0].raft, "k").as_deref(), Some("w"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_that_moved_alone_is_found() {
    let (cluster, mut members) = Cluster::formed(3).await;
    agree(&members, vec![setting("k", "v")]).await;
    let place = (leader(&members).await + 1) % 3;
    let config = stop(members.remove(place)).await;
    let listener = listen().await;
    let address = listener.local_addr().unwrap().to_string();
    let config = moved(config, address, &cluster.addresses);
    members.push(start(config, listener).await);
    agree(&members, vec![setting("k", "w")]).await;
    same_image(&members).await;
    assert_eq!(voters(&members).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_or_does_not_lead_keeps_nobody_out() {
    let (cluster, mut members) = Cluster::formed(3).await;
    agree(&members, vec![setting("k", "v")]).await;
    // It accepts, as the kernel of a stopped process does, and never answers.
    let silent = listen().await;
    let follower = (leader(&members).await + 1) % 3;
    let listener = listen().await;
    let address = listener.local_addr().unwrap().to_string();
    let mut config = cluster.config(4, 4, &address);
    config.bootstrap = Bootstrap::Servers(vec![
        silent.local_addr().unwrap().to_string(),
        "127.0.0.1:1".to_owned(),
        members[follower].config.advertised_address.clone(),
    ]);
    let began = Instant::now();
    members.push(start(config, listener).await);
    same_image(&members).await;
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

/// Nodes on empty disks at the addresses of others.
async fn wiped(cluster: &Cluster, old: &RaftConfig) -> Member {
    wipe(&old.data_dir);
    let directory = old.directory.0 + 100;
    let config = cluster.config(old.node.0, directory, &old.advertised_address);
    start(config, bind_again(&old.advertised_address).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn wiped_voters_form_nothing_while_a_member_of_their_cluster_lives() {
    let (cluster, mut members) = Cluster::formed(3).await;
    let listener = listen().await;
    let address = listener.local_addr().unwrap().to_string();
    members.push(start(cluster.config(4, 4, &address), listener).await);
    agree(&members, vec![setting("k", "v")]).await;
    same_image(&members).await;
    let learner = members.pop().unwrap();
    let mut configs = Vec::new();
    for member in members {
        configs.push(stop(member).await);
    }
    // The third voter stays down; the learner alone remembers.
    until("the learner is alone", || async {
        (!learner.raft.status().has_quorum).then_some(())
    })
    .await;
    let first = wiped(&cluster, &configs[0]).await;
    let second = wiped(&cluster, &configs[1]).await;
    let reason = until("the former says why it forms nothing", || async {
        assert_ne!(first.raft.status().role, QuorumRole::Leader, "formed anew");
        first.raft.status().join_refused
    })
    .await;
    assert!(reason.contains("node 4"), "{reason}");
    let cluster_id = learner.raft.image().cluster_id.clone().unwrap();
    assert!(reason.contains(&cluster_id), "{reason}");
    // The third brings back what was agreed, and still there is no majority of the old disks.
    let third = start(
        configs[2].clone(),
        bind_again(&configs[2].advertised_address).await,
    )
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    for wiped in [&first, &second] {
        assert_eq!(wiped.raft.status().role, QuorumRole::Unformed);
    }
    assert_eq!(third.raft.image().cluster_id, Some(cluster_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_whose_log_is_gone_does_not_come_back_as_what_it_was() {
    let (cluster, mut listeners) = Cluster::new(1).await;
    let listener = listeners.remove(0);
    let address = listener.local_addr().unwrap().to_string();
    let mut config = cluster.config(1, 1, &address);
    config.remembered = Remembered {
        with_log: Some("c".to_owned()),
        elsewhere: None,
    };
    let handler = std::sync::Arc::new(Echo {
        node: 1,
        closed: 0.into(),
    });
    let refused = MetadataRaft::open(config.clone(), deps(listener), handler).await;
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("drave node readmit 1 --directory 0000000000000001"),
        "{refused}"
    );

    // Another of its disks remembers: it may join, and forms nothing.
    config.remembered = Remembered {
        with_log: None,
        elsewhere: Some("c".to_owned()),
    };
    wipe(&config.data_dir);
    let member = start(config, bind_again(&address).await).await;
    let reason = until("it says why", || async {
        member.raft.status().join_refused
    })
    .await;
    assert!(reason.contains("cluster c"), "{reason}");
    assert_eq!(member.raft.status().role, QuorumRole::Unformed);
    assert_eq!(member.config.node, NodeId(1));
}
