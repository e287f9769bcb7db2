//! Whole quorums in one process, on real sockets and real files.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests stand where `node` stands: they own the doors"
)]

mod support;

use std::time::Instant;

use bytes::Bytes;
use drave_raft::{ProposeError, QuorumRole};
use support::{Cluster, PATIENCE, agree, leader, restart, same_image, setting, until, value};

#[tokio::test(flavor = "multi_thread")]
async fn one_node_forms_and_leads_and_finds_everything_after_a_restart() {
    let (_cluster, mut members) = Cluster::formed(1).await;
    agree(&members, vec![setting("k", "v")]).await;
    let named = members[0].raft.image().cluster_id.clone();
    let status = members[0].raft.status();
    assert_eq!(status.role, QuorumRole::Leader);
    assert!(status.has_quorum);
    let member = restart(members.remove(0)).await;
    let began = Instant::now();
    let members = [member];
    leader(&members).await;
    assert!(began.elapsed() < members[0].config.election_timeout_min * 2);
    assert_eq!(value(&members[0].raft, "k").as_deref(), Some("v"));
    assert_eq!(members[0].raft.image().cluster_id, named);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_agree_and_a_restarted_one_catches_up() {
    let (_cluster, mut members) = Cluster::formed(3).await;
    agree(&members, vec![setting("a", "1")]).await;
    same_image(&members).await;
    let follower = (leader(&members).await + 1) % 3;
    let stopped = members.remove(follower);
    let config = stopped.config.clone();
    stopped.raft.shutdown().await;
    drop(stopped);
    agree(&members, vec![setting("b", "2")]).await;
    let listener = support::bind_again(&config.advertised_address).await;
    members.push(support::start(config, listener).await);
    same_image(&members).await;
    assert_eq!(value(&members[2].raft, "b").as_deref(), Some("2"));
    let status = members[leader(&members).await].raft.status();
    assert_eq!(status.voters.len(), 3);
    assert_eq!(status.learners, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_leader_dies_another_leads_and_nothing_agreed_is_lost() {
    let (_cluster, mut members) = Cluster::formed(3).await;
    agree(&members, vec![setting("a", "1")]).await;
    let dead = members.remove(leader(&members).await);
    let term = dead.raft.leadership().borrow().term;
    drop(dead);
    agree(&members, vec![setting("b", "2")]).await;
    same_image(&members).await;
    assert_eq!(value(&members[0].raft, "a").as_deref(), Some("1"));
    let leadership = members[0].raft.leadership().borrow().clone();
    assert!(leadership.term > term);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_of_another_term_or_from_a_follower_is_refused() {
    let (_cluster, members) = Cluster::formed(3).await;
    let leading = leader(&members).await;
    let term = members[leading].raft.leadership().borrow().term;
    let stale = members[leading]
        .raft
        .propose(term + 1, vec![setting("k", "v")]);
    assert!(matches!(stale.await, Err(ProposeError::NotLeader { .. })));
    let follower = &members[(leading + 1) % 3];
    let refused = follower.raft.propose(term, vec![setting("k", "v")]).await;
    let Err(ProposeError::NotLeader { leader }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(leader.unwrap().id.node, members[leading].config.node);
    let huge = vec![setting("k", &"x".repeat(2 << 20))];
    let refused = members[leading].raft.propose(term, huge).await;
    assert!(matches!(refused, Err(ProposeError::TooLarge { .. })));
    assert_eq!(value(&members[leading].raft, "k"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_answers_calls_from_everywhere() {
    let (_cluster, members) = Cluster::formed(3).await;
    let leading = leader(&members).await;
    let expected = format!("{}:hi", members[leading].config.node);
    for member in &members {
        let deadline = Instant::now() + PATIENCE;
        let answer = member.raft.call_leader("hi".into(), deadline).await;
        assert_eq!(answer.unwrap(), expected);
    }
    let address = members[1].config.advertised_address.clone();
    let deadline = Instant::now() + PATIENCE;
    let answer = members[0].raft.call(&address, "x".into(), deadline).await;
    assert_eq!(answer.unwrap(), "2:x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_tells_both_ends_when_it_goes() {
    let (_cluster, mut members) = Cluster::formed(3).await;
    let deadline = Instant::now() + PATIENCE;
    let address = members[2].config.advertised_address.clone();
    let connection = members[0].raft.connect(&address, deadline).await.unwrap();
    let answer = connection.call("x".into(), deadline).await.unwrap();
    assert_eq!(answer, "3:x");
    let gone = members.remove(2);
    gone.raft.shutdown().await;
    let handler = gone.handler.clone();
    connection.closed().await;
    until("the handler hears of it", || async {
        (handler.closed.load(std::sync::atomic::Ordering::Relaxed) > 0).then_some(())
    })
    .await;
    assert!(connection.call("x".into(), deadline).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_to_the_leader_outlive_it() {
    let (_cluster, mut members) = Cluster::formed(3).await;
    let dead = members.remove(leader(&members).await);
    let gone = format!("{}:x", dead.config.node);
    let mut asking = tokio::task::JoinSet::new();
    for member in &members {
        let raft = member.raft.clone();
        let gone = gone.clone();
        asking.spawn(async move {
            let mut answer = Bytes::from(gone.clone());
            while answer == gone {
                let deadline = Instant::now() + PATIENCE;
                answer = raft.call_leader("x".into(), deadline).await.unwrap();
            }
        });
    }
    drop(dead);
    while let Some(asked) = asking.join_next().await {
        asked.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stops_in_order_hands_over_without_an_election_timeout() {
    let (_cluster, mut members) = Cluster::formed(3).await;
    agree(&members, vec![setting("a", "1")]).await;
    let leaving = members.remove(leader(&members).await);
    let lease = leaving.config.election_timeout_max;
    let began = Instant::now();
    let stopping = leaving.raft.clone();
    let stopped = tokio::spawn(async move { stopping.shutdown().await });
    until("another leads", || async {
        let leads = members
            .iter()
            .any(|it| it.raft.leadership().borrow().is_self);
        leads.then_some(())
    })
    .await;
    assert!(began.elapsed() < lease, "{:?}", began.elapsed());
    stopped.await.unwrap();
    agree(&members, vec![setting("a", "2")]).await;
}
