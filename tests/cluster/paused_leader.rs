//! A leader stops without dying, is replaced, and wakes up believing it still leads.

use crate::support::cluster::Cluster;
use crate::support::segments::assert_copies_are_equal;
use crate::support::steady::Steady;
use crate::support::wait::{seconds, wait_for, wait_until};

const TOPIC: &str = "contested";

#[test]
fn a_leader_that_wakes_up_too_late_acks_nothing_the_new_one_does_not_have() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic(TOPIC, 1, 3, &[]);
    cluster.wait_for_isr(TOPIC, 3, seconds(10));
    let old = cluster.leader_of(TOPIC, 0);
    let others = cluster.others(old);
    let port = |id: &i32| cluster.node(*id).ports.kafka;
    let loyal = Steady::to_node(port(&old), TOPIC, 0);
    let nimble = Steady::to_leader(others.iter().map(port).collect(), TOPIC, 0);
    wait_until("both producers to be under way", seconds(20), || {
        loyal.n_acked() >= 20 && nimble.n_acked() >= 20
    });

    cluster.node(old).pause();
    wait_until("another node to lead", seconds(20), || {
        others.iter().any(|id| leads(&cluster, *id, old))
    });
    let before = nimble.n_acked();
    wait_until("acks to go on", seconds(20), || {
        nimble.n_acked() >= before + 50
    });
    cluster.node(old).resume();
    let before = nimble.n_acked();
    wait_until("acks to go on still", seconds(20), || {
        nimble.n_acked() >= before + 50
    });
    let loyal = loyal.stop();
    let nimble = nimble.stop();

    assert!(
        !loyal.errors.is_empty(),
        "the old leader's producer is told"
    );
    cluster.wait_for_isr(TOPIC, 3, seconds(30));
    let values = cluster.read_all(TOPIC, 0);
    loyal.assert_kept(&values);
    nimble.assert_kept(&values);
    assert_copies_are_equal(&mut cluster, TOPIC, 0);
}

#[test]
fn a_controller_that_lost_its_majority_grants_no_lease_not_even_to_itself() {
    let mut cluster = Cluster::start(3);
    let controller = cluster.controller();
    let others = cluster.others(controller);
    for id in &others {
        cluster.node(*id).pause();
    }
    wait_for("its own lease to end", seconds(10), || {
        let ready = cluster.node(controller).get("/health/ready")?.json();
        let checks = ready["checks"].as_array().ok_or(ready.to_string())?;
        let is_lost = |it: &&serde_json::Value| it["name"] == "lease" && it["ok"] == false;
        let lost = checks.iter().find(is_lost);
        lost.map(|_| ()).ok_or(ready.to_string())
    });
    let described = cluster.node(controller).get("/v1/cluster").unwrap().json();
    for node in described["nodes"].as_array().unwrap() {
        let answers = node["node"] == controller;
        assert_eq!(
            node["alive"], answers,
            "one that hangs is not alive: {node}"
        );
    }
    for id in &others {
        cluster.node(*id).resume();
    }
    for id in cluster.ids() {
        cluster.node(id).wait_ready(seconds(20));
    }
}

/// Whether `id` says that a node other than `old` leads.
fn leads(cluster: &Cluster, id: i32, old: i32) -> bool {
    let mut wire = cluster.wire(id);
    let found = crate::support::client::topic_metadata(&mut wire, TOPIC);
    let found = found.expect("a node that runs answers");
    found
        .partitions
        .first()
        .is_some_and(|it| it.leader_id >= 0 && it.leader_id != old)
}
