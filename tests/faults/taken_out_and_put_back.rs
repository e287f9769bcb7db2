//! F7: a replica is taken out and put back while nobody sees its records.

use crate::faults::net::{Site, Traffic, wait_for_acks};
use crate::support::wait::{seconds, wait_for};

const TOPIC: &str = "moved";

#[test]
fn a_replica_put_back_counts_by_what_it_fetches_now_and_not_by_what_it_had() {
    let mut site = Site::start(3, &[]);
    site.cluster.create_topic_on(TOPIC, &[&[1, 2, 3]], &[]);
    site.cluster.wait_for_isr(TOPIC, 3, seconds(20));
    let writer = site.writer(&[1, 2], TOPIC);
    wait_for_acks(&writer, 20);
    site.net.cut_both_ways_only(1, 3, Traffic::Records);
    site.net.cut_both_ways_only(2, 3, Traffic::Records);
    assert_eq!(site.cluster.reassign(TOPIC, 0, Some(&[1, 2])), 0);
    wait_for("3 to be out", seconds(20), || {
        let found = site.seen_by(1, TOPIC)?;
        let is_out = !found.replica_nodes.contains(&3);
        is_out.then_some(()).ok_or(format!("{found:?}"))
    });
    wait_for_acks(&writer, 20);
    assert_eq!(site.cluster.reassign(TOPIC, 0, Some(&[1, 2, 3])), 0);
    wait_for("3 to be on its way", seconds(20), || {
        let found = site.seen_by(3, TOPIC)?;
        let is_back = found.replica_nodes.contains(&3);
        is_back.then_some(()).ok_or(format!("{found:?}"))
    });
    // It had everything once, and nothing of what was acked since.
    wait_for_acks(&writer, 50);
    let found = site.seen_by(1, TOPIC).unwrap();
    assert!(!found.isr_nodes.contains(&3), "{found:?}");
    site.net.heal();
    site.wait_for_isr_of(&[1, 2, 3], TOPIC, 1);
    // Whoever is in sync can lead alone.
    site.cluster.kill9(1);
    site.wait_for_leader_other_than(1, TOPIC, 3);
    site.cluster.start_again(1);
    let account = writer.stop();
    site.assert_healed(TOPIC, 3, &[account]);
}
