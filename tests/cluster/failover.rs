//! How long a partition is without an ack when its leader is killed.

use std::time::{Duration, Instant};

use crate::support::cluster::Cluster;
use crate::support::steady::Steady;
use crate::support::wait::{seconds, wait_until};

/// Far above what it takes, for a debug build on a machine that does other things too; the figures proper
/// are those `figures_of_twenty_trials` prints.
const LIMIT: Duration = seconds(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    OnlyLeader,
    LeaderAndController,
}

#[test]
fn the_next_ack_comes_soon_after_a_leader_is_killed() {
    let mut cluster = Cluster::start(3);
    for victim in [Victim::OnlyLeader, Victim::LeaderAndController] {
        report(victim, &mut measure(&mut cluster, victim, 2));
    }
}

/// `cargo test --release --test cluster -- --ignored --nocapture figures_of_twenty_trials`
#[test]
#[ignore = "a measurement, not a proof"]
fn figures_of_twenty_trials() {
    let mut cluster = Cluster::start(3);
    for victim in [Victim::OnlyLeader, Victim::LeaderAndController] {
        report(victim, &mut measure(&mut cluster, victim, 20));
    }
}

#[allow(
    clippy::print_stdout,
    reason = "figures are for whoever runs the measurement"
)]
fn report(victim: Victim, took: &mut [Duration]) {
    took.sort();
    let p50 = took[took.len() / 2];
    let max = took[took.len() - 1];
    println!(
        "SIGKILL of a leader ({victim:?}) to the next ack: p50 {p50:.0?}, max {max:.0?}, {took:.0?}"
    );
    assert!(max < LIMIT, "{victim:?}: {took:?}");
}

fn measure(cluster: &mut Cluster, victim: Victim, n_trials: usize) -> Vec<Duration> {
    (0..n_trials).map(|n| trial(cluster, victim, n)).collect()
}

fn trial(cluster: &mut Cluster, victim: Victim, n: usize) -> Duration {
    let topic = format!("{victim:?}-{n}");
    cluster.create_topic(&topic, 3, 3, &[]);
    cluster.wait_for_isr(&topic, 3, seconds(20));
    let controller = cluster.controller();
    let partitions = cluster.topic(&topic).partitions;
    let is_wanted = |leader| (leader == controller) == (victim == Victim::LeaderAndController);
    let chosen = partitions.iter().find(|it| is_wanted(it.leader_id));
    let chosen = chosen.expect("three partitions are led by three nodes");
    let (partition, leader) = (chosen.partition_index, chosen.leader_id);

    let others = cluster.others(leader);
    let ports = others.iter().map(|id| cluster.node(*id).ports.kafka);
    let producer = Steady::to_leader(ports.collect(), &topic, partition);
    wait_until("the producer to be under way", seconds(20), || {
        producer.n_acked() >= 20
    });
    let killed = Instant::now();
    cluster.kill9(leader);
    let before = producer.n_acked();
    wait_until("acks to go on", seconds(20), || {
        producer.n_acked() >= before + 10
    });
    let account = producer.stop();
    let port = cluster.node(leader).ports.kafka;
    let took = account
        .next_ack_not_from(port, killed)
        .expect("another node acked");

    let values = cluster.read_all(&topic, partition);
    for (value, offset) in &account.acked {
        let at = usize::try_from(*offset).unwrap();
        assert_eq!(values[at], value.as_bytes(), "acked at {offset}");
    }
    cluster.start_again(leader);
    cluster.wait_for_isr(&topic, 3, seconds(30));
    took
}
