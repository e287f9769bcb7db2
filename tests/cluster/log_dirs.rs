//! Nodes with two log directories, and what the failure of one takes along.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::client::{batch_of, produce_request};
use crate::support::cluster::Cluster;
use crate::support::disk::Disk;
use crate::support::lines::line;
use crate::support::segments::assert_copies_are_equal;
use crate::support::wait::{seconds, wait_for};
use crate::support::wire::Wire;

const TOPIC: &str = "spread";
const N_PARTITIONS: i32 = 4;
const DISK_MEBIBYTES: u64 = 64;

/// Nodes with two log directories each; nothing runs.
fn prepare(n_nodes: i32) -> Cluster {
    let cluster = Cluster::prepare(n_nodes, &[]);
    for id in cluster.ids() {
        let node = cluster.node(id);
        let dirs = format!(
            "{},{}",
            node.data_dir().display(),
            second(&cluster, id).display()
        );
        node.write_properties(&[("log.dirs", &dirs)]);
    }
    cluster
}

fn second(cluster: &Cluster, id: i32) -> PathBuf {
    cluster.node(id).dir.join("second")
}

fn start(cluster: &mut Cluster) {
    cluster.spawn_all();
    cluster.wait_ready();
}

/// The partitions of the topic with a folder in the second directory.
fn in_second(cluster: &Cluster, id: i32) -> Vec<i32> {
    let is_there = |it: &i32| second(cluster, id).join(format!("{TOPIC}-{it}")).is_dir();
    (0..N_PARTITIONS).filter(is_there).collect()
}

fn produce_everywhere(cluster: &mut Cluster, round: usize) {
    for partition in 0..N_PARTITIONS {
        let values: Vec<String> = (0..50).map(|n| line(round * 50 + n)).collect();
        cluster.produce(TOPIC, partition, &values);
    }
}

fn offline_replicas(cluster: &mut Cluster, partition: i32) -> Vec<i32> {
    cluster.partition(TOPIC, partition).offline_replicas
}

fn log_dirs(cluster: &Cluster, id: i32) -> Value {
    let answer = cluster.node(id).get("/v1/log-dirs").unwrap();
    answer.json()["log_dirs"].clone()
}

#[test]
fn partitions_spread_over_the_directories_and_stay_where_they_are() {
    let mut cluster = prepare(1);
    start(&mut cluster);
    cluster.create_topic(TOPIC, N_PARTITIONS, 1, &[]);
    let placed = in_second(&cluster, 1);
    assert_eq!(placed.len(), 2, "{placed:?}");
    produce_everywhere(&mut cluster, 0);
    cluster.kill9(1);
    start(&mut cluster);
    cluster.wait_for_leaders(TOPIC);
    assert_eq!(in_second(&cluster, 1), placed);
    for partition in 0..N_PARTITIONS {
        assert_eq!(cluster.read_all(TOPIC, partition).len(), 50);
    }
}

#[test]
fn a_directory_that_fails_takes_only_its_replicas_along() {
    let mut cluster = prepare(3);
    let Some(disk) = Disk::mount(&second(&cluster, 2), DISK_MEBIBYTES) else {
        return;
    };
    start(&mut cluster);
    cluster.create_topic(TOPIC, N_PARTITIONS, 3, &[]);
    produce_everywhere(&mut cluster, 0);
    let lost = in_second(&cluster, 2);
    assert_eq!(lost.len(), 2);

    disk.break_down();
    produce_everywhere(&mut cluster, 1);
    for partition in 0..N_PARTITIONS {
        let is_lost = lost.contains(&partition);
        let expected: &[i32] = if is_lost { &[2] } else { &[] };
        wait_for("the offline replicas to be known", seconds(20), || {
            let found = offline_replicas(&mut cluster, partition);
            if found == expected {
                Ok(())
            } else {
                Err(format!("{partition}: {found:?}"))
            }
        });
        let state = cluster.partition(TOPIC, partition);
        assert_eq!(state.isr_nodes.contains(&2), !is_lost, "{state:?}");
        assert!(!is_lost || state.leader_id != 2, "{state:?}");
    }
    assert!(cluster.node_mut(2).is_running(), "the node goes on");
    let dirs = log_dirs(&cluster, 2);
    assert_eq!(dirs[0]["offline"], Value::Null);
    let reason = dirs[1]["offline"].as_str().unwrap();
    assert!(reason.contains("error"), "{reason}");
    let metrics = cluster.node(2).get("/metrics").unwrap().text;
    assert!(metrics.contains("kafka_log_logmanager_offlinelogdirectorycount 1"));

    produce_everywhere(&mut cluster, 2);
    cluster.kill9(2);
    disk.repair();
    cluster.start_again(2);
    cluster.wait_for_isr(TOPIC, 3, seconds(30));
    for partition in 0..N_PARTITIONS {
        assert_eq!(cluster.read_all(TOPIC, partition).len(), 150);
        assert_copies_are_equal(&mut cluster, TOPIC, partition);
    }
}

#[test]
fn the_only_copy_on_a_failed_directory_is_out_of_reach_until_the_disk_is_back() {
    let mut cluster = prepare(1);
    let Some(disk) = Disk::mount(&second(&cluster, 1), DISK_MEBIBYTES) else {
        return;
    };
    start(&mut cluster);
    cluster.create_topic(TOPIC, N_PARTITIONS, 1, &[]);
    produce_everywhere(&mut cluster, 0);
    let lost = in_second(&cluster, 1);
    cluster.kill9(1);
    disk.break_down();
    // It starts without the directory, and what lies there has no leader.
    cluster.start_again(1);
    for partition in 0..N_PARTITIONS {
        let expected = if lost.contains(&partition) { -1 } else { 1 };
        wait_for("the leaders to be settled", seconds(20), || {
            let state = cluster.partition(TOPIC, partition);
            if state.leader_id == expected {
                Ok(())
            } else {
                Err(format!("{state:?}"))
            }
        });
    }
    let dirs = log_dirs(&cluster, 1);
    assert!(dirs[1]["offline"].is_string(), "{dirs}");
    cluster.kill9(1);
    disk.repair();
    cluster.start_again(1);
    cluster.wait_for_leaders(TOPIC);
    for partition in 0..N_PARTITIONS {
        assert_eq!(cluster.read_all(TOPIC, partition).len(), 50);
    }
}

#[test]
fn the_last_directory_takes_the_node_along() {
    let mut cluster = Cluster::prepare(1, &[]);
    let data_dir = cluster.node(1).data_dir();
    let Some(disk) = Disk::mount(&data_dir, DISK_MEBIBYTES) else {
        return;
    };
    start(&mut cluster);
    disk.break_down();
    wait_for("the node to stop", seconds(30), || {
        // The disk is noticed when something is written.
        let request = produce_request("ready-0", 0, -1, batch_of(["x"]));
        let answer = Wire::connect(cluster.node(1).ports.kafka);
        drop(answer.and_then(|mut wire| wire.call_newest(&request)));
        let status = cluster.node_mut(1).exit_status();
        status.ok_or_else(|| "it runs".to_owned())
    });
}
