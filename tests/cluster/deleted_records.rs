//! Deleted records stay deleted: through failover, crashes, and the return of those who were away.

use drave_protocol::error_code::ErrorCode;

use crate::support::client::{self, EARLIEST, code, delete_records};
use crate::support::cluster::Cluster;
use crate::support::lines::line;
use crate::support::python;
use crate::support::wait::{seconds, wait_for};

const HIGH_WATERMARK: i64 = -1;
/// The records of these stories are years old.
const KEEP: (&str, &str) = ("retention.ms", "-1");

fn fill(cluster: &mut Cluster, topic: &str, n: usize) {
    for start in (0..n).step_by(10) {
        let batch: Vec<String> = (start..start + 10).map(line).collect();
        cluster.produce(topic, 0, &batch);
    }
}

/// Deletes at the leader and insists that every live replica has.
#[track_caller]
fn delete(cluster: &mut Cluster, topic: &str, before: i64) -> i64 {
    let mut wire = cluster.leader_wire(topic, 0);
    let result = delete_records(&mut wire, topic, 0, before).unwrap();
    assert_eq!(code(result.error_code), ErrorCode::None);
    result.low_watermark
}

#[track_caller]
fn earliest(cluster: &mut Cluster, topic: &str) -> i64 {
    let mut wire = cluster.leader_wire(topic, 0);
    let found = client::list_offset(&mut wire, topic, 0, EARLIEST).unwrap();
    assert_eq!(code(found.error_code), ErrorCode::None);
    found.offset
}

#[track_caller]
fn wait_for_another_leader(cluster: &mut Cluster, topic: &str, than: i32) {
    wait_for("another leader", seconds(20), || {
        let leader = cluster.partition(topic, 0).leader_id;
        if leader >= 0 && leader != than {
            Ok(())
        } else {
            Err(format!("still {leader}"))
        }
    });
}

#[test]
fn whoever_leads_next_starts_the_log_where_the_last_one_said() {
    const TOPIC: &str = "handed-on";
    let mut cluster = Cluster::start(3);
    cluster.create_topic(TOPIC, 1, 3, &[KEEP, ("min.insync.replicas", "1")]);
    fill(&mut cluster, TOPIC, 100);
    assert_eq!(delete(&mut cluster, TOPIC, 37), 37);
    for _ in 0..2 {
        let leader = cluster.leader_of(TOPIC, 0);
        cluster.kill9(leader);
        wait_for_another_leader(&mut cluster, TOPIC, leader);
        assert_eq!(earliest(&mut cluster, TOPIC), 37);
        let mut wire = cluster.leader_wire(TOPIC, 0);
        let below = client::fetch(&mut wire, TOPIC, 0, 36).unwrap();
        assert_eq!(code(below.error_code), ErrorCode::OffsetOutOfRange);
        cluster.start_again(leader);
        cluster.wait_for_isr(TOPIC, 3, seconds(30));
    }
    // All at once: nobody is left who remembers but by what is on the disks.
    for id in cluster.ids() {
        cluster.kill9(id);
    }
    cluster.spawn_all();
    cluster.wait_ready();
    assert_eq!(earliest(&mut cluster, TOPIC), 37);
    fill(&mut cluster, TOPIC, 10);
}

#[test]
fn a_node_that_was_away_lets_go_too_and_starts_over_where_it_must() {
    const TOPIC: &str = "missed-deletion";
    let mut cluster = Cluster::start(3);
    cluster.create_topic(TOPIC, 1, 3, &[KEEP, ("min.insync.replicas", "1")]);
    fill(&mut cluster, TOPIC, 50);
    let leader = cluster.leader_of(TOPIC, 0);
    let away = cluster.others(leader)[0];
    cluster.kill9(away);
    fill(&mut cluster, TOPIC, 50);
    // Waits for the dead one only until it is known to be dead.
    assert_eq!(delete(&mut cluster, TOPIC, 30), 30);
    cluster.start_again(away);
    cluster.wait_for_isr(TOPIC, 3, seconds(30));
    assert_eq!(start_of(&cluster, away, TOPIC), Some(30));

    cluster.kill9(away);
    fill(&mut cluster, TOPIC, 50);
    assert_eq!(delete(&mut cluster, TOPIC, HIGH_WATERMARK), 150);
    fill(&mut cluster, TOPIC, 20);
    cluster.start_again(away);
    cluster.wait_for_isr(TOPIC, 3, seconds(30));
    assert_eq!(start_of(&cluster, away, TOPIC), Some(150));
    let leader = cluster.leader_of(TOPIC, 0);
    cluster.kill9(leader);
    wait_for_another_leader(&mut cluster, TOPIC, leader);
    assert_eq!(earliest(&mut cluster, TOPIC), 150);
    assert_eq!(cluster.high_watermark(TOPIC, 0), 170);
}

/// Of three batches of ten records each the first is deleted, and the second up to its middle: a replica that
/// begins there is sent the second one whole.
#[test]
fn who_begins_in_the_middle_of_a_batch_joins_and_has_what_the_others_have() {
    const TOPIC: &str = "cut-in-half";
    const HALF: i64 = 15;
    let mut cluster = Cluster::start(4);
    let configs = [KEEP, ("min.insync.replicas", "1")];
    cluster.create_topic_on(TOPIC, &[&[1, 2, 3]], &configs);
    fill(&mut cluster, TOPIC, 30);
    cluster.wait_for_isr(TOPIC, 3, seconds(30));
    assert_eq!(delete(&mut cluster, TOPIC, HALF), HALF);

    // 4 never had it.
    let moved = cluster.reassign(TOPIC, 0, Some(&[1, 2, 4]));
    assert_eq!(code(moved), ErrorCode::None);
    cluster.wait_for_replicas(TOPIC, 0, &[1, 2, 4], seconds(30));
    assert_eq!(start_of(&cluster, 4, TOPIC), Some(HALF));

    // 2 had it, and comes back with an empty disk.
    cluster.kill9(2);
    wait_for("2 to be missed", seconds(20), || {
        let found = cluster.partition(TOPIC, 0);
        let is_out = found.leader_id != 2 && !found.isr_nodes.contains(&2);
        is_out.then_some(()).ok_or(format!("{found:?}"))
    });
    std::fs::remove_dir_all(cluster.node(2).data_dir()).unwrap();
    cluster.node_mut(2).spawn();
    cluster.operator(&["node", "readmit", "2"]).done();
    cluster.node(2).wait_ready(seconds(30));
    cluster.wait_for_isr(TOPIC, 3, seconds(60));
    assert_eq!(start_of(&cluster, 2, TOPIC), Some(HALF));

    fill(&mut cluster, TOPIC, 10);
    let left = (0..30).map(line).skip(15).chain((0..10).map(line));
    let expected: Vec<Vec<u8>> = left.map(String::into_bytes).collect();
    for leader in [2, 4, 1] {
        let others = [1, 2, 4].into_iter().filter(|it| *it != leader);
        let order: Vec<i32> = [leader].into_iter().chain(others).collect();
        assert_eq!(
            code(cluster.reassign(TOPIC, 0, Some(&order))),
            ErrorCode::None
        );
        cluster.wait_for_replicas(TOPIC, 0, &order, seconds(20));
        // Refused where it leads already.
        cluster.drave(&["elect", &format!("{TOPIC}:0")]);
        wait_for("it to lead", seconds(20), || {
            let found = cluster.partition(TOPIC, 0);
            let leads = found.leader_id == leader;
            leads.then_some(()).ok_or(format!("{found:?}"))
        });
        assert_eq!(cluster.high_watermark(TOPIC, 0), 40);
        assert_eq!(earliest(&mut cluster, TOPIC), HALF);
        let mut wire = cluster.leader_wire(TOPIC, 0);
        let found = client::read_from(&mut wire, TOPIC, 0, HALF);
        assert_eq!(found, expected, "{leader}");
        let below = client::fetch(&mut wire, TOPIC, 0, HALF - 1).unwrap();
        assert_eq!(code(below.error_code), ErrorCode::OffsetOutOfRange);
    }
}

fn start_of(cluster: &Cluster, node: i32, topic: &str) -> Option<i64> {
    let answer = cluster.node(node).get("/v1/replicas").ok()?.json();
    let replicas = answer.get("replicas")?.as_array()?.clone();
    let found = replicas.iter().find(|it| it["topic"] == topic)?;
    found.get("log_start_offset")?.as_i64()
}

#[test]
fn the_admin_client_of_librdkafka_deletes_records() {
    const TOPIC: &str = "by-admin";
    const PROGRAM: &str = r#"
import sys
from confluent_kafka import TopicPartition, KafkaError, OFFSET_END
from confluent_kafka.admin import AdminClient
admin = AdminClient({"bootstrap.servers": sys.argv[1]})
topic = sys.argv[2]
for asked in (25, OFFSET_END):
    futures = admin.delete_records([TopicPartition(topic, 0, asked)], request_timeout=20)
    for future in futures.values():
        print(future.result().low_watermark)
for future in admin.delete_records([TopicPartition(topic, 0, 99)]).values():
    print(future.exception().args[0].name())
"#;
    if !python::has_confluent_kafka() {
        return;
    }
    let mut cluster = Cluster::start(3);
    cluster.create_topic(TOPIC, 1, 3, &[KEEP]);
    fill(&mut cluster, TOPIC, 40);
    let said = python::must_run(PROGRAM, &cluster.bootstrap(), &[TOPIC]);
    let said: Vec<&str> = said.lines().collect();
    assert_eq!(said, ["25", "40", "OFFSET_OUT_OF_RANGE"]);
    assert_eq!(earliest(&mut cluster, TOPIC), 40);
}
