//! F8: replicas go one after another, and come back in another order (KIP-966).

use crate::support::cluster::Cluster;
use crate::support::segments::assert_copies_are_equal;
use crate::support::steady::Steady;
use crate::support::wait::{seconds, wait_for, wait_until};

const TOPIC: &str = "kept";
/// Decides alone, and holds no records: the others may all be dead.
const CONTROLLER: i32 = 4;

#[test]
fn when_all_replicas_died_one_after_another_only_one_that_has_it_all_leads() {
    let mut cluster = Cluster::prepare(4, &[]);
    let quorum = format!("127.0.0.1:{}", cluster.node(CONTROLLER).ports.controller);
    for id in cluster.ids() {
        let node = cluster.node(id);
        node.write_properties(&[("controller.quorum.bootstrap.servers", &quorum)]);
    }
    cluster.spawn_all();
    cluster.wait_ready();
    cluster.spokesman = CONTROLLER;
    let min_isr = [("min.insync.replicas", "2")];
    cluster.create_topic_on(TOPIC, &[&[1, 2, 3]], &min_isr);
    cluster.wait_for_isr(TOPIC, 3, seconds(20));
    let ports: Vec<u16> = (1..=3).map(|id| cluster.node(id).ports.kafka).collect();
    let writer = Steady::to_leader(ports, TOPIC, 0);
    wait_until("acks", seconds(20), || writer.n_acked() >= 50);

    cluster.kill9(3);
    wait_for_isr(&mut cluster, &[1, 2]);
    // Acked without 3.
    let before = writer.n_acked();
    wait_until("acks", seconds(20), || writer.n_acked() >= before + 50);
    cluster.kill9(2);
    wait_for_isr(&mut cluster, &[1]);
    cluster.kill9(1);
    let account = writer.stop();
    wait_until("nobody to lead", seconds(20), || {
        cluster.leader_of(TOPIC, 0) < 0
    });

    cluster.start_again(3);
    let found = cluster.partition(TOPIC, 0);
    assert!(found.leader_id < 0, "3 lacks what was acked: {found:?}");
    // 2 was not in sync any more when the last one died; but nothing was acked without it.
    cluster.start_again(2);
    wait_until("2 to lead", seconds(20), || {
        cluster.leader_of(TOPIC, 0) == 2
    });
    cluster.wait_for_isr(TOPIC, 2, seconds(20));
    account.assert_kept(&cluster.read_all(TOPIC, 0));
    cluster.produce(TOPIC, 0, ["after"]);
    cluster.start_again(1);
    cluster.wait_for_isr(TOPIC, 3, seconds(30));
    account.assert_kept(&cluster.read_all(TOPIC, 0));
    assert_copies_are_equal(&mut cluster, TOPIC, 0);
}

#[track_caller]
fn wait_for_isr(cluster: &mut Cluster, members: &[i32]) {
    wait_for(&format!("{members:?} to be in sync"), seconds(20), || {
        let mut found = cluster.partition(TOPIC, 0).isr_nodes;
        found.sort_unstable();
        (found == members).then_some(()).ok_or(format!("{found:?}"))
    });
}
