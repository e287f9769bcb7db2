//! F21: connections whose far end is gone without a word.

use crate::faults::net::{Site, wait_for_acks};
use crate::support::wait::seconds;

const TOPIC: &str = "kept";

#[test]
fn a_node_that_died_while_nobody_heard_it_is_met_again() {
    let mut site = Site::start(3, &[]);
    site.cluster.create_topic_on(TOPIC, &[&[1, 2, 3]], &[]);
    site.cluster.wait_for_isr(TOPIC, 3, seconds(20));
    let writer = site.writer(&[1, 2], TOPIC);
    wait_for_acks(&writer, 20);
    site.net.isolate(3);
    // Its end of every connection goes, and no packet says so.
    site.cluster.kill9(3);
    site.wait_for_isr_of(&[1, 2], TOPIC, 1);
    wait_for_acks(&writer, 20);
    site.cluster.node_mut(3).spawn();
    site.net.heal();
    site.cluster.node(3).wait_ready(seconds(20));
    site.wait_for_isr_of(&[1, 2, 3], TOPIC, 1);
    let account = writer.stop();
    site.assert_healed(TOPIC, 3, &[account]);
}

#[test]
fn a_connection_whose_packets_vanish_is_given_up_for_a_new_one() {
    let mut site = Site::start(3, &[("replica.lag.time.max.ms", "1500")]);
    site.cluster.create_topic_on(TOPIC, &[&[1, 2, 3]], &[]);
    site.cluster.wait_for_isr(TOPIC, 3, seconds(20));
    let writer = site.writer(&[1, 2], TOPIC);
    wait_for_acks(&writer, 20);
    // What 3 asks arrives; what it is answered vanishes, and it waits.
    site.net.cut(1, 3);
    site.net.cut(2, 3);
    site.wait_for_isr_of(&[1, 2], TOPIC, 1);
    wait_for_acks(&writer, 50);
    site.net.heal();
    site.wait_for_isr_of(&[1, 2, 3], TOPIC, 1);
    let account = writer.stop();
    site.assert_healed(TOPIC, 3, &[account]);
}
