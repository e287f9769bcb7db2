//! Consumers read from the replica in their rack, and from the leader when it is gone (KIP-392).

use crate::support::cluster::Cluster;
use crate::support::librdkafka::Tail;
use crate::support::wait::{seconds, wait_for, wait_until};

const TOPIC: &str = "t";
const VALUE_BYTES: usize = 1000;
const RACKS: [&str; 3] = ["a", "b", "c"];

/// Bytes of the topic that consumers got from this node since it started.
fn bytes_out(cluster: &Cluster, id: i32) -> u64 {
    cluster.metric(
        id,
        "kafka_server_brokertopicmetrics_bytesout_total{topic=\"t\"}",
    )
}

fn produce(cluster: &mut Cluster, numbers: std::ops::Range<usize>) -> i64 {
    let end = numbers.end;
    for n in numbers {
        cluster.produce(TOPIC, 0, [format!("{n:0VALUE_BYTES$}")]);
    }
    let high_watermark = cluster.high_watermark(TOPIC, 0);
    assert!(high_watermark >= i64::try_from(end).unwrap());
    high_watermark
}

#[track_caller]
fn wait_for_position(tail: &Tail, end: i64) {
    wait_for(
        &format!("offset {end} to be read"),
        seconds(60),
        || match tail.position(0) {
            position if position >= end => Ok(()),
            position => Err(format!("at {position}")),
        },
    );
}

#[test]
fn a_consumer_reads_from_the_follower_in_its_rack_and_outlives_it() {
    let selector = "org.apache.kafka.common.replica.RackAwareReplicaSelector";
    let mut cluster = Cluster::prepare(3, &[("replica.selector.class", selector)]);
    for (id, rack) in cluster.ids().into_iter().zip(RACKS) {
        cluster.node(id).write_properties(&[("broker.rack", rack)]);
    }
    cluster.spawn_all();
    cluster.wait_ready();
    cluster.create_topic(TOPIC, 1, 3, &[]);
    cluster.wait_for_isr(TOPIC, 3, seconds(20));
    let leader = cluster.leader_of(TOPIC, 0);
    let near = cluster.others(leader)[0];
    let far = cluster.others(leader)[1];
    let rack = RACKS[usize::try_from(near).unwrap() - 1];

    let end = produce(&mut cluster, 0..100);
    let tail = Tail::in_rack(&cluster.bootstrap(), TOPIC, rack);
    wait_for_position(&tail, end);
    let end = produce(&mut cluster, 100..200);
    wait_for_position(&tail, end);
    let from_near = bytes_out(&cluster, near);
    assert!(from_near > 200 * 1000, "{from_near} bytes of 200 records");
    assert_eq!(bytes_out(&cluster, leader), 0, "not from the leader");
    assert_eq!(bytes_out(&cluster, far), 0, "nor from another rack");

    cluster.kill9(near);
    let end = produce(&mut cluster, 200..300);
    wait_for_position(&tail, end);
    assert!(
        bytes_out(&cluster, leader) > 90 * 1000,
        "the leader took over"
    );

    cluster.start_again(near);
    cluster.wait_for_isr(TOPIC, 3, seconds(30));
    let mut next = 300;
    wait_until("the follower to be read again", seconds(60), || {
        produce(&mut cluster, next..next + 1);
        next += 1;
        bytes_out(&cluster, near) > 0
    });
    wait_for_position(&tail, cluster.high_watermark(TOPIC, 0));
    let read = tail.stop().remove(&0).unwrap();
    let mut seen = 0;
    for (expected, (offset, value)) in (0..).zip(&read) {
        assert_eq!(*offset, expected, "neither hole nor repetition");
        let number: usize = std::str::from_utf8(value).unwrap().parse().unwrap();
        // Twice, where an ack was lost.
        assert!(
            number == seen || number + 1 == seen,
            "{number} after {seen}"
        );
        seen = number + 1;
    }
    assert_eq!(seen, next);
}
