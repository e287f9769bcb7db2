//! F18: a follower that is not gone, but too slow.

use crate::faults::net::{Site, wait_for_acks};
use crate::support::wait::seconds;

const TOPIC: &str = "heavy";

#[test]
fn a_follower_on_a_slow_line_leaves_the_isr_and_nobody_waits_for_it_any_longer() {
    let mut site = Site::start(3, &[("replica.lag.time.max.ms", "1500")]);
    site.cluster.create_topic_on(TOPIC, &[&[1, 2, 3]], &[]);
    site.cluster.create_topic_on("beside", &[&[1, 2]], &[]);
    site.cluster.wait_for_isr(TOPIC, 3, seconds(20));
    let beside = site.writer(&[1, 2], "beside");
    wait_for_acks(&beside, 20);
    let heavy = vec![b'.'; 200_000];
    // The quorum's heartbeats fit through, a batch takes the better part of a minute.
    site.net.slow_down(3, Some(6_000));
    for _ in 0..3 {
        site.cluster.spokesman = 1;
        site.cluster.produce(TOPIC, 0, [&heavy]);
    }
    site.wait_for_isr_of(&[1, 2], TOPIC, 1);
    wait_for_acks(&beside, 20);
    site.net.slow_down(3, None);
    site.wait_for_isr_of(&[1, 2, 3], TOPIC, 1);
    assert_eq!(site.cluster.read_all(TOPIC, 0).len(), 3);
    let account = beside.stop();
    site.assert_healed("beside", 2, &[account]);
    site.assert_healed(TOPIC, 3, &[]);
}
