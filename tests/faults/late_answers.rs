//! F3 and F4: the controller's answer to an ISR change is under way for too long.

use crate::faults::net::{Site, Traffic, wait_for_acks};
use crate::support::steady::Steady;
use crate::support::wait::{seconds, wait_for};

const TOPIC: &str = "kept";

/// One that is controller, one that leads, one that follows.
fn cast(site: &mut Site) -> (i32, i32, i32) {
    let controller = site.cluster.controller();
    let others = site.cluster.others(controller);
    let (leader, follower) = (others[0], others[1]);
    let replicas = [leader, follower, controller];
    site.cluster.create_topic_on(TOPIC, &[&replicas], &[]);
    site.cluster.wait_for_isr(TOPIC, 3, seconds(20));
    (controller, leader, follower)
}

#[test]
fn who_is_proposed_for_the_isr_counts_before_the_controllers_answer_is_there() {
    let mut site = Site::start(3, &[]);
    let (controller, leader, follower) = cast(&mut site);
    let loyal = Steady::to_node(site.cluster.node(leader).ports.kafka, TOPIC, 0);
    wait_for_acks(&loyal, 20);
    site.cluster.kill9(follower);
    let mut left = [controller, leader];
    left.sort_unstable();
    site.wait_for_isr_of(&left, TOPIC, controller);
    wait_for_acks(&loyal, 20);
    site.net
        .cut_both_ways_only(leader, follower, Traffic::Records);
    site.cluster.start_again(follower);
    // The leader is heard, and hears nothing: neither that what it proposes is agreed, nor what else is.
    site.net.cut_only(controller, leader, Traffic::Control);
    site.net.cut_only(follower, leader, Traffic::Control);
    site.net.mend_only(leader, follower, Traffic::Records);
    site.net.mend_only(follower, leader, Traffic::Records);
    // Soon it is agreed, unless the leader's lease is over before.
    wait_for(
        "the follower to be in, or the leader out",
        seconds(20),
        || {
            let found = site.seen_by(controller, TOPIC)?;
            let is_in = found.isr_nodes.contains(&follower) || found.leader_id != leader;
            is_in.then_some(()).ok_or(format!("{found:?}"))
        },
    );
    // Now it gets nothing more, and is the first who is elected. Until its lease is over the leader may ack.
    site.net.cut_only(leader, follower, Traffic::Records);
    let nimble = site.writer(&[controller, follower], TOPIC);
    site.wait_for_leader_other_than(leader, TOPIC, controller);
    wait_for_acks(&nimble, 20);
    site.net.heal();
    wait_for_acks(&nimble, 20);
    let accounts = [loyal.stop(), nimble.stop()];
    site.assert_healed(TOPIC, 3, &accounts);
}

#[test]
fn an_answer_that_comes_after_the_next_election_changes_nothing() {
    let mut site = Site::start(3, &[("replica.lag.time.max.ms", "1000")]);
    let (controller, leader, follower) = cast(&mut site);
    let writer = site.writer(&[controller, follower], TOPIC);
    wait_for_acks(&writer, 20);
    let before = site.seen_by(controller, TOPIC).unwrap();
    // It is to propose to go on without the follower, and the answer is to be late.
    site.net
        .cut_both_ways_only(leader, follower, Traffic::Records);
    site.net.cut_only(controller, leader, Traffic::Control);
    site.net.cut_only(follower, leader, Traffic::Control);
    let new = site.wait_for_leader_other_than(leader, TOPIC, controller);
    wait_for_acks(&writer, 20);
    // Now it arrives, and with it the news that somebody else leads.
    site.net.heal();
    site.wait_for_isr_of(&[1, 2, 3], TOPIC, controller);
    let after = site.seen_by(controller, TOPIC).unwrap();
    assert_eq!(after.leader_id, new, "{after:?}");
    assert!(after.leader_epoch > before.leader_epoch);
    wait_for_acks(&writer, 20);
    let account = writer.stop();
    site.assert_healed(TOPIC, 3, &[account]);
}
