//! Bytes on one disk rot: found, named, never served, and put right from another replica.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use drave_protocol::ErrorCode;

use crate::support::client;
use crate::support::cluster::Cluster;
use crate::support::segments::assert_copies_are_equal;
use crate::support::steady::Steady;
use crate::support::wait::{seconds, wait_for};

const TOPIC: &str = "old";
const VALUE_BYTES: usize = 16 * 1024;
const N_RECORDS: usize = 200;

/// Small segments, and a scrub that has seen all of them within a moment.
const SETTINGS: [(&str, &str); 3] = [
    ("log.segment.bytes", "1048576"),
    ("log.scrub.bytes.per.second", "1073741824"),
    ("log.scrub.interval.ms", "200"),
];
const WITHOUT_SCRUB: [(&str, &str); 2] = [
    ("log.segment.bytes", "1048576"),
    ("log.scrub.bytes.per.second", "0"),
];

fn produce(cluster: &mut Cluster) {
    for n in 0..N_RECORDS {
        let value = format!("{n:0VALUE_BYTES$}");
        cluster.produce(TOPIC, 0, [value]);
    }
}

/// Every record, in its place.
#[track_caller]
fn assert_all_there(cluster: &mut Cluster) {
    let read = cluster.read_all(TOPIC, 0);
    assert!(read.len() >= N_RECORDS, "{} records", read.len());
    for (n, value) in read.iter().take(N_RECORDS).enumerate() {
        assert_eq!(value, format!("{n:0VALUE_BYTES$}").as_bytes(), "record {n}");
    }
}

/// Turns some bytes over in the middle of the oldest segment, which is sealed.
fn rot(cluster: &Cluster, id: i32) -> PathBuf {
    let folder = cluster.node(id).log_folder(TOPIC, 0);
    let segment = folder.join("00000000000000000000.log");
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&segment)
        .unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, middle).unwrap();
    file.write_all_at(&bytes.map(|it| !it), middle).unwrap();
    segment
}

/// Waits until the node has found the rot and holds the log anew.
#[track_caller]
fn wait_until_repaired(cluster: &mut Cluster, id: i32) {
    wait_for("the log to be begun anew", seconds(30), || {
        let answer = cluster.node(id).get("/v1/log-dirs")?.json();
        if answer["begun_anew"] == 1 {
            Ok(())
        } else {
            Err(answer.to_string())
        }
    });
    cluster.wait_for_isr(TOPIC, 3, seconds(30));
}

#[track_caller]
fn assert_named(cluster: &Cluster, id: i32, segment: &Path) {
    let said = cluster.node(id).output();
    let name = segment.display().to_string();
    let found = said
        .lines()
        .any(|it| it.contains("ERROR") && it.contains(&name) && it.contains("offset"));
    assert!(found, "node {id} names {name}");
}

#[test]
fn a_rotten_follower_is_found_and_fetched_anew() {
    let mut cluster = Cluster::start_with(3, &SETTINGS);
    cluster.create_topic(TOPIC, 1, 3, &[]);
    produce(&mut cluster);
    let leader = cluster.leader_of(TOPIC, 0);
    let follower = cluster.others(leader)[0];
    let segment = rot(&cluster, follower);
    wait_until_repaired(&mut cluster, follower);
    assert_named(&cluster, follower, &segment);
    assert_eq!(cluster.leader_of(TOPIC, 0), leader);
    assert_all_there(&mut cluster);
    assert_copies_are_equal(&mut cluster, TOPIC, 0);
    let aside = cluster
        .node(follower)
        .data_dir()
        .join(format!("{TOPIC}-0.corrupt"));
    assert!(aside.is_dir(), "a copy is kept to look at");
    let metrics = cluster.node(follower).get("/metrics").unwrap().text;
    assert!(metrics.contains("drave_log_damaged_total 1"), "{metrics}");
}

#[test]
fn a_rotten_leader_resigns_under_load_and_loses_nothing() {
    let mut cluster = Cluster::start_with(3, &SETTINGS);
    cluster.create_topic(TOPIC, 1, 3, &[]);
    produce(&mut cluster);
    let leader = cluster.leader_of(TOPIC, 0);
    let ids = cluster.ids().into_iter();
    let ports = ids.map(|id| cluster.node(id).ports.kafka);
    let load = Steady::to_leader(ports.collect(), TOPIC, 0);
    let acked_before = load.n_acked();
    wait_for("acks", seconds(20), || {
        let n = load.n_acked();
        if n > acked_before + 20 {
            Ok(())
        } else {
            Err(n.to_string())
        }
    });
    let segment = rot(&cluster, leader);
    wait_until_repaired(&mut cluster, leader);
    let acked = load.n_acked();
    wait_for("acks after the repair", seconds(20), || {
        let n = load.n_acked();
        if n > acked + 20 {
            Ok(())
        } else {
            Err(n.to_string())
        }
    });
    let n_acked = load.n_acked();
    drop(load.stop());
    assert_named(&cluster, leader, &segment);
    assert_all_there(&mut cluster);
    assert!(cluster.read_all(TOPIC, 0).len() >= N_RECORDS + n_acked);
    cluster.wait_for_isr(TOPIC, 3, seconds(30));
    assert_copies_are_equal(&mut cluster, TOPIC, 0);
}

#[test]
fn a_rotten_only_copy_is_named_and_not_served() {
    let mut cluster = Cluster::start_with(1, &SETTINGS);
    cluster.create_topic(TOPIC, 1, 1, &[]);
    produce(&mut cluster);
    let segment = rot(&cluster, 1);
    // A restart serves it no more than the process that found it.
    for round in 0..2 {
        wait_for("the only replica to be offline", seconds(30), || {
            let state = cluster.partition(TOPIC, 0);
            let is_offline = state.leader_id == -1 && state.offline_replicas == [1];
            if is_offline {
                Ok(())
            } else {
                Err(format!("{state:?}"))
            }
        });
        let mut wire = cluster.wire(1);
        let answer = client::fetch(&mut wire, TOPIC, 0, 0).unwrap();
        let code = client::code(answer.error_code);
        assert_ne!(code, ErrorCode::None, "round {round}");
        assert!(
            answer.records.is_none_or(|it| it.is_empty()),
            "round {round}"
        );
        let replicas = cluster.node(1).get("/v1/replicas").unwrap().text;
        assert!(
            replicas.contains(&segment.display().to_string()),
            "{replicas}"
        );
        cluster.kill9(1);
        cluster.start_again(1);
    }
    assert_named(&cluster, 1, &segment);
}

#[test]
fn a_leader_looks_at_what_its_follower_refuses() {
    let mut cluster = Cluster::start_with(3, &WITHOUT_SCRUB);
    cluster.create_topic(TOPIC, 1, 3, &[]);
    let leader = cluster.leader_of(TOPIC, 0);
    let away = cluster.others(leader)[0];
    cluster.kill9(away);
    produce(&mut cluster);
    let segment = rot(&cluster, leader);
    cluster.start_again(away);
    wait_until_repaired(&mut cluster, leader);
    assert_named(&cluster, leader, &segment);
    assert_all_there(&mut cluster);
    assert_copies_are_equal(&mut cluster, TOPIC, 0);
}
