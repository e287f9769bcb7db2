//! Leaderships come home to preferred replicas: by themselves, and when asked to.

use crate::support::cluster::Cluster;
use crate::support::wait::{seconds, wait_until};

#[test]
fn preferred_leaders_come_home_by_themselves() {
    let often = ("leader.imbalance.check.interval.seconds", "1");
    let mut cluster = Cluster::start_with(3, &[often]);
    cluster.create_topic_on("t", &[&[1, 2, 3], &[2, 3, 1]], &[]);
    cluster.kill9(1);
    cluster.wait_for_other_leader("t", 0, 1);
    cluster.start_again(1);
    wait_until("1 to lead what it is preferred for", seconds(30), || {
        cluster.partition("t", 0).leader_id == 1
    });
    assert_eq!(cluster.partition("t", 1).leader_id, 2);
}

#[test]
fn preferred_leaders_are_elected_when_asked_for() {
    let never = ("auto.leader.rebalance.enable", "false");
    let often = ("leader.imbalance.check.interval.seconds", "1");
    let mut cluster = Cluster::start_with(3, &[never, often]);
    cluster.create_topic_on("t", &[&[1, 2, 3]], &[]);
    cluster.kill9(1);
    let other = cluster.wait_for_other_leader("t", 0, 1);
    let refused = cluster.drave(&["elect", "t:0"]);
    assert!(!refused.status.success(), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("PREFERRED_LEADER_NOT_AVAILABLE"), "{said}");
    cluster.start_again(1);
    cluster.wait_for_isr("t", 3, seconds(30));
    assert_eq!(cluster.partition("t", 0).leader_id, other);
    let elected = cluster.drave(&["elect", "--all"]);
    assert!(elected.status.success(), "{elected:?}");
    wait_until("1 to lead again", seconds(20), || {
        cluster.partition("t", 0).leader_id == 1
    });
}
