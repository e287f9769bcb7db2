//! The log of a replica vanishes from under its node. Nobody takes an empty log for the one that is gone.

use serde_json::Value;

use crate::support::cluster::Cluster;
use crate::support::lines::line;
use crate::support::segments::assert_copies_are_equal;
use crate::support::wait::seconds;

const TOPIC: &str = "orders";

fn produce(cluster: &mut Cluster, range: std::ops::Range<usize>) {
    let values: Vec<String> = range.map(line).collect();
    cluster.produce(TOPIC, 0, &values);
}

#[test]
fn a_lost_log_is_fetched_again_before_its_replica_counts() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic(TOPIC, 1, 3, &[]);
    produce(&mut cluster, 0..500);
    // All at once, so that no member has left the ISR, and the one that lost its log stands first.
    let first = cluster.leader_of(TOPIC, 0);
    for id in cluster.ids() {
        cluster.kill9(id);
    }
    let folder = cluster.node(first).data_dir().join(format!("{TOPIC}-0"));
    std::fs::remove_dir_all(folder).unwrap();
    cluster.spawn_all();
    cluster.wait_ready();
    produce(&mut cluster, 500..600);
    cluster.wait_for_isr(TOPIC, 3, seconds(30));
    assert_eq!(cluster.read_all(TOPIC, 0).len(), 600);
    assert_copies_are_equal(&mut cluster, TOPIC, 0);
    let answer = cluster.node(first).get("/v1/log-dirs").unwrap();
    assert_eq!(answer.json()["begun_anew"], Value::from(1));
}

#[test]
fn a_lost_only_copy_has_no_leader_and_is_named() {
    let mut cluster = Cluster::start(1);
    cluster.create_topic(TOPIC, 1, 1, &[]);
    produce(&mut cluster, 0..100);
    cluster.kill9(1);
    let folder = cluster.node(1).data_dir().join(format!("{TOPIC}-0"));
    let elsewhere = cluster.node(1).dir.join("elsewhere");
    std::fs::rename(&folder, &elsewhere).unwrap();
    cluster.start_again(1);
    let state = cluster.partition(TOPIC, 0);
    assert_eq!((state.leader_id, &state.offline_replicas), (-1, &vec![1]));
    let answer = cluster.node(1).get("/v1/replicas").unwrap().json();
    let reason = answer["unopened"][0]["reason"].as_str().unwrap();
    assert!(reason.contains(&folder.display().to_string()), "{reason}");

    cluster.kill9(1);
    std::fs::rename(&elsewhere, &folder).unwrap();
    cluster.start_again(1);
    cluster.wait_for_leaders(TOPIC);
    assert_eq!(cluster.read_all(TOPIC, 0).len(), 100);
}
