//! F9: a polite stop that is cut short, at each of its steps.

use std::os::unix::process::ExitStatusExt;

use crate::support::cluster::Cluster;
use crate::support::segments::assert_copies_are_equal;
use crate::support::steady::Steady;
use crate::support::wait::{seconds, wait_for, wait_until};

const TOPIC: &str = "kept";
/// SIGABRT.
const ABORTED: i32 = 6;

/// In the order in which a node stops.
const STEPS: &[&str] = &[
    "stop-dies-before-handing-over",
    "stop-dies-before-draining",
    "stop-dies-before-syncing",
    "stop-dies-before-the-marker",
    "stop-dies-after-the-marker",
    "stop-dies-before-the-quorum-closes",
];

#[test]
fn a_stop_cut_short_at_any_of_its_steps_loses_nothing_and_the_node_comes_back() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic_on(TOPIC, &[&[1, 2, 3]], &[]);
    cluster.wait_for_isr(TOPIC, 3, seconds(20));
    let ports: Vec<u16> = cluster
        .ids()
        .iter()
        .map(|id| cluster.node(*id).ports.kafka)
        .collect();
    let writer = Steady::to_leader(ports, TOPIC, 0);
    let acks = |n: usize| {
        let enough = writer.n_acked() + n;
        wait_until("acks to go on", seconds(30), || writer.n_acked() >= enough);
    };
    acks(20);
    for step in STEPS {
        // Whoever leads has the most to lose.
        let leader = 1;
        cluster.node_mut(leader).stop();
        cluster.node_mut(leader).planted = Some(step);
        cluster.start_again(leader);
        cluster.wait_for_isr(TOPIC, 3, seconds(30));
        wait_until("it to lead", seconds(30), || {
            cluster.drave(&["elect", &format!("{TOPIC}:0")]);
            cluster.leader_of(TOPIC, 0) == leader
        });
        acks(5);

        let status = cluster.node_mut(leader).stop();
        assert_eq!(status.signal(), Some(ABORTED), "{step}: {status}");
        cluster.node_mut(leader).planted = None;
        cluster.start_again(leader);
        wait_for(&format!("{step}: to be in sync"), seconds(30), || {
            let found = cluster.partition(TOPIC, 0);
            let is_whole = found.isr_nodes.len() == 3;
            is_whole.then_some(()).ok_or(format!("{found:?}"))
        });
        acks(5);
    }
    let account = writer.stop();
    account.assert_kept(&cluster.read_all(TOPIC, 0));
    assert_copies_are_equal(&mut cluster, TOPIC, 0);
}
