//! Figures, not verdicts: run with `cargo test -p drave-raft --test latency -- --ignored --nocapture`.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests stand where `node` stands: they own the doors"
)]

mod support;

use std::time::{Duration, Instant};

use drave_raft::RaftConfig;
use drave_raft::conformance::{CacheLimits, TypeConfig, on_disk};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::testing::blank_ent;
use openraft::type_config::TypeConfigExt;
use support::{Cluster, Member, leader, restart, setting};

/// The defaults, where other tests are patient.
fn quick(config: &mut RaftConfig) {
    config.heartbeat = Duration::from_millis(50);
    config.election_timeout_min = Duration::from_millis(200);
    config.election_timeout_max = Duration::from_millis(400);
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!(
        "{what}: n {} p50 {:?} p90 {:?} p99 {:?} max {:?}",
        times.len(),
        at(50),
        at(90),
        at(99),
        at(100)
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn write_ahead_log() {
    let folder = tempfile::TempDir::new().unwrap();
    let (mut store, _machine) = on_disk(folder.path(), 4 << 20, CacheLimits::default()).unwrap();
    let mut times = Vec::new();
    for index in 0..2000 {
        let began = Instant::now();
        let (answer, answered) = TypeConfig::oneshot();
        let entries = [blank_ent::<TypeConfig>(1, 1, index)];
        store
            .append(entries, IOFlushed::signal(answer))
            .await
            .unwrap();
        answered.await.unwrap().unwrap();
        times.push(began.elapsed());
    }
    show("append of one entry, durable", times);
}

async fn proposals(members: &[Member], what: &str) {
    let raft = &members[leader(members).await].raft;
    let term = raft.leadership().borrow().term;
    let mut times = Vec::new();
    for number in 0..1000 {
        let began = Instant::now();
        let record = setting("k", &number.to_string());
        raft.propose(term, vec![record]).await.unwrap();
        times.push(began.elapsed());
    }
    show(what, times);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn proposing() {
    let (_cluster, members) = Cluster::formed_with(1, quick).await;
    proposals(&members, "proposal, 1 voter").await;
    let (_cluster, members) = Cluster::formed_with(3, quick).await;
    proposals(&members, "proposal, 3 voters in one process").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn forming_and_restarting() {
    let mut one = Vec::new();
    let mut three = Vec::new();
    let mut again = Vec::new();
    for _round in 0..10 {
        let began = Instant::now();
        let (_cluster, members) = Cluster::formed_with(1, quick).await;
        one.push(began.elapsed());
        let began = Instant::now();
        let member = restart(members.into_iter().next().unwrap()).await;
        leader(std::slice::from_ref(&member)).await;
        again.push(began.elapsed());
        let began = Instant::now();
        let (_cluster, _members) = Cluster::formed_with(3, quick).await;
        three.push(began.elapsed());
    }
    show("forming 1 voter, named", one);
    show("restart of 1 voter until it leads", again);
    show("forming 3 voters, named", three);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn failover() {
    let mut times = Vec::new();
    let mut terms = Vec::new();
    for _round in 0..15 {
        let (_cluster, mut members) = Cluster::formed_with(3, quick).await;
        let dead = members.remove(leader(&members).await);
        let term = dead.raft.leadership().borrow().term;
        let began = Instant::now();
        drop(dead);
        support::agree(&members, vec![setting("k", "v")]).await;
        times.push(began.elapsed());
        let won = members[leader(&members).await].raft.leadership();
        let won = won.borrow().term;
        terms.push(won - term);
    }
    show("leader gone until the next proposal is agreed", times);
    println!("terms it took: {terms:?}");
}
