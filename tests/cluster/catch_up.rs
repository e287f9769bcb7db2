//! A node that was away comes back, catches up, and has the same bytes as the others.

use crate::support::cluster::Cluster;
use crate::support::lines::line;
use crate::support::segments::assert_copies_are_equal;
use crate::support::wait::{seconds, wait_for};

const TOPIC: &str = "missed";
const N_PARTITIONS: i32 = 3;
const BATCH: usize = 1000;
const N_BEFORE: usize = 3_000;
const N_MISSED: usize = 50_000;

#[test]
fn a_node_that_missed_fifty_thousand_records_holds_the_same_bytes_in_the_end() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic(TOPIC, N_PARTITIONS, 3, &[]);
    produce(&mut cluster, 0..N_BEFORE);
    let leader = cluster.leader_of(TOPIC, 0);
    cluster.kill9(leader);
    produce(&mut cluster, N_BEFORE..N_BEFORE + N_MISSED);
    wait_for("the dead node to leave every ISR", seconds(20), || {
        let topic = cluster.topic(TOPIC);
        let mut partitions = topic.partitions.iter();
        let stays = partitions.find(|it| it.isr_nodes.contains(&leader));
        stays.map_or(Ok(()), |it| Err(format!("{it:?}")))
    });

    cluster.start_again(leader);
    cluster.wait_for_isr(TOPIC, 3, seconds(60));
    let mut n_records = 0;
    for partition in 0..N_PARTITIONS {
        assert_copies_are_equal(&mut cluster, TOPIC, partition);
        n_records += cluster.high_watermark(TOPIC, partition);
    }
    // A batch whose ack was lost with the leader may be there twice.
    assert!(n_records >= i64::try_from(N_BEFORE + N_MISSED).unwrap());
}

fn produce(cluster: &mut Cluster, range: std::ops::Range<usize>) {
    for (partition, start) in (0..N_PARTITIONS).cycle().zip(range.clone().step_by(BATCH)) {
        let batch: Vec<String> = (start..range.end.min(start + BATCH)).map(line).collect();
        cluster.produce(TOPIC, partition, &batch);
    }
}
