//! All nodes die at once and come back.

use drave_protocol::schema::describe_cluster::DescribeClusterRequest;

use crate::support::cluster::Cluster;
use crate::support::lines::line;
use crate::support::segments::assert_copies_are_equal;
use crate::support::wait::seconds;

const TOPIC: &str = "survives";
const N_PARTITIONS: i32 = 3;
const N_ROUNDS: usize = 3;
const N_RECORDS: usize = 500;

#[test]
fn a_cluster_killed_as_a_whole_comes_back_the_same_with_its_data() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic(TOPIC, N_PARTITIONS, 3, &[]);
    let id = cluster_id(&mut cluster);
    let topic_id = cluster.topic(TOPIC).topic_id;
    for round in 0..N_ROUNDS {
        let values: Vec<String> = (round * N_RECORDS..(round + 1) * N_RECORDS)
            .map(line)
            .collect();
        for partition in 0..N_PARTITIONS {
            cluster.produce(TOPIC, partition, &values);
        }
        for node in cluster.ids() {
            cluster.kill9(node);
        }
        cluster.spawn_all();
        cluster.wait_ready();
        assert_eq!(cluster_id(&mut cluster), id, "after round {round}");
        assert_eq!(
            cluster.topic(TOPIC).topic_id,
            topic_id,
            "after round {round}"
        );
        let n_values = (round + 1) * N_RECORDS;
        let all: Vec<String> = (0..n_values).map(line).collect();
        for partition in 0..N_PARTITIONS {
            let read = cluster.read_all(TOPIC, partition);
            let is_same = all
                .iter()
                .map(String::as_bytes)
                .eq(read.iter().map(Vec::as_slice));
            assert!(
                is_same,
                "{TOPIC}-{partition} after round {round}: {} records",
                read.len()
            );
        }
    }
    cluster.wait_for_isr(TOPIC, 3, seconds(30));
    for partition in 0..N_PARTITIONS {
        assert_copies_are_equal(&mut cluster, TOPIC, partition);
    }
}

#[test]
fn nodes_stopped_one_after_another_hand_over_and_say_goodbye() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic(TOPIC, N_PARTITIONS, 3, &[]);
    for round in 0_i32..3 {
        let node = round + 1;
        let status = cluster.node_mut(node).stop();
        assert!(status.success(), "node {node} ends with {status}");
        for partition in 0..N_PARTITIONS {
            let value = format!("round {round}");
            assert_eq!(
                cluster.produce(TOPIC, partition, [&value]),
                i64::from(round)
            );
        }
        cluster.start_again(node);
        cluster.wait_for_isr(TOPIC, 3, seconds(30));
    }
}

fn cluster_id(cluster: &mut Cluster) -> String {
    let request = DescribeClusterRequest::default();
    let answer = cluster.ask(|wire| wire.call_newest(&request));
    assert!(!answer.cluster_id.is_empty(), "a cluster has an id");
    answer.cluster_id
}
