//! F20: who hears whom is not the same for all, nor for long.

use std::time::Duration;

use crate::faults::net::{Site, Traffic, wait_for_acks};
use crate::support::wait::{seconds, wait_for};

const TOPIC: &str = "kept";
/// The first of these leads.
const REPLICAS: &[i32] = &[1, 2, 3];

fn site(settings: &[(&str, &str)]) -> Site {
    let mut site = Site::start(3, settings);
    site.cluster.create_topic_on(TOPIC, &[REPLICAS], &[]);
    site.cluster.wait_for_isr(TOPIC, 3, seconds(20));
    site
}

#[test]
fn every_one_way_cut_between_three_nodes_leaves_somebody_to_write_to() {
    let mut site = site(&[]);
    let ids = site.cluster.ids();
    let writer = site.writer(&ids, TOPIC);
    wait_for_acks(&writer, 20);
    for from in &ids {
        for to in ids.iter().filter(|it| *it != from) {
            site.net.cut(*from, *to);
            wait_for_acks(&writer, 20);
            site.net.heal();
            wait_for_acks(&writer, 5);
        }
    }
    let account = writer.stop();
    site.assert_healed(TOPIC, 3, &[account]);
}

#[test]
fn a_follower_that_hears_the_controller_and_not_its_leader_leaves_the_isr_and_comes_back() {
    let mut site = site(&[("replica.lag.time.max.ms", "1500")]);
    let leader = site.cluster.leader_of(TOPIC, 0);
    let others = site.cluster.others(leader);
    let (deaf, well) = (others[0], others[1]);
    let writer = site.writer(&[leader, well], TOPIC);
    wait_for_acks(&writer, 20);
    let epoch = site.seen_by(leader, TOPIC).unwrap().leader_epoch;

    site.net.cut_both_ways_only(leader, deaf, Traffic::Records);
    let mut left = [leader, well];
    left.sort_unstable();
    site.wait_for_isr_of(&left, TOPIC, well);
    wait_for_acks(&writer, 20);
    wait_for("the controller to tell of it", seconds(10), || {
        let said = site.cluster.node(deaf).get("/health/ready")?;
        (said.status == 200).then_some(()).ok_or(said.text)
    });

    site.net.heal();
    site.wait_for_isr_of(&[1, 2, 3], TOPIC, well);
    let found = site.seen_by(well, TOPIC).unwrap();
    assert_eq!(
        (found.leader_id, found.leader_epoch),
        (leader, epoch),
        "nobody had to be elected"
    );
    let account = writer.stop();
    site.assert_healed(TOPIC, 3, &[account]);
}

#[test]
fn a_leader_that_hears_its_followers_and_not_the_controller_hands_over() {
    let mut site = site(&[]);
    let controller = site.cluster.controller();
    let leader = site.cluster.others(controller)[0];
    let followers = site.cluster.others(leader);
    let mut order = vec![leader];
    order.extend(&followers);
    site.cluster.create_topic_on("moves", &[&order], &[]);
    site.cluster.wait_for_isr("moves", 3, seconds(20));
    let writer = site.writer(&followers, "moves");
    wait_for_acks(&writer, 20);
    for follower in &followers {
        site.net
            .cut_both_ways_only(leader, *follower, Traffic::Control);
    }
    let new = site.wait_for_leader_other_than(leader, "moves", controller);
    assert!(followers.contains(&new));
    wait_for_acks(&writer, 50);
    let account = writer.stop();
    site.assert_healed("moves", 3, &[account]);
}

#[test]
fn a_link_that_flaps_makes_no_storm_of_elections() {
    const N_FLAPS: i32 = 12;
    let mut site = site(&[]);
    let ids = site.cluster.ids();
    let writer = site.writer(&ids, TOPIC);
    wait_for_acks(&writer, 20);
    let term = |site: &Site| {
        let said = site.cluster.node(3).get("/v1/cluster").unwrap().json();
        said["term"].as_i64().unwrap()
    };
    let (term_before, epoch_before) = (term(&site), site.seen_by(3, TOPIC).unwrap().leader_epoch);
    for _ in 0..N_FLAPS {
        site.net.cut_both_ways(1, 2);
        // A link that is away for a moment; what is waited for is that somebody writes meanwhile or after.
        std::thread::park_timeout(Duration::from_millis(150));
        site.net.heal();
        wait_for_acks(&writer, 10);
    }
    let n_terms = term(&site) - term_before;
    let n_epochs = site.seen_by(3, TOPIC).unwrap().leader_epoch - epoch_before;
    // One election each time would be one too many; a machine under load may add one of its own.
    assert!(n_terms <= i64::from(N_FLAPS) / 2, "{n_terms} terms");
    assert!(n_epochs <= N_FLAPS / 2, "{n_epochs} leader epochs");
    let account = writer.stop();
    site.assert_healed(TOPIC, 3, &[account]);
}
