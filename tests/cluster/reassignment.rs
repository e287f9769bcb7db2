//! Replicas move to other brokers while records come in and nodes die.

use std::time::Instant;

use drave_protocol::error_code::ErrorCode;

use crate::support::client::code;
use crate::support::cluster::Cluster;
use crate::support::segments::assert_copies_are_equal;
use crate::support::steady::Steady;
use crate::support::wait::{seconds, wait_until};

#[test]
fn a_reassignment_under_load_with_a_kill_in_the_middle_loses_nothing() {
    let mut cluster = Cluster::start(4);
    cluster.create_topic_on("t", &[&[1, 2, 3]], &[]);
    let ballast = vec![vec![7_u8; 100_000]; 5];
    for _ in 0..20 {
        cluster.produce("t", 0, &ballast);
    }
    let ports = cluster
        .ids()
        .into_iter()
        .map(|id| cluster.node(id).ports.kafka);
    let producer = Steady::to_leader(ports.collect(), "t", 0);
    wait_until("the producer to be under way", seconds(20), || {
        producer.n_acked() >= 20
    });

    assert_eq!(
        code(cluster.reassign("t", 0, Some(&[4, 3, 2]))),
        ErrorCode::None
    );
    // Its leader, which is to go, dies before the new one has it all, or just after.
    cluster.kill9(1);
    let before = producer.n_acked();
    cluster.wait_for_replicas("t", 0, &[4, 3, 2], seconds(60));
    wait_until("acks to go on", seconds(30), || {
        producer.n_acked() >= before + 20
    });
    assert_eq!(cluster.reassignments(), vec![]);
    let account = producer.stop();

    let values = cluster.read_all("t", 0);
    for (value, offset) in &account.acked {
        let at = usize::try_from(*offset).unwrap();
        assert_eq!(values[at], value.as_bytes(), "acked at {offset}");
    }
    cluster.start_again(1);
    let left = cluster.node(1).data_dir().join("t-0");
    wait_until(
        "what is not held any more to be deleted",
        seconds(30),
        || !left.exists(),
    );
    assert_copies_are_equal(&mut cluster, "t", 0);
}

#[test]
fn a_reassignment_is_shown_cancelled_and_its_leader_moves() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic_on("t", &[&[1, 2]], &[]);
    cluster.produce("t", 0, ["a", "b"]);
    assert_eq!(
        code(cluster.reassign("t", 0, None)),
        ErrorCode::NoReassignmentInProgress
    );
    // Nobody fetches to a dead node, so this one stays on its way.
    cluster.kill9(3);
    assert_eq!(
        code(cluster.reassign("t", 0, Some(&[3, 2]))),
        ErrorCode::None
    );
    let ongoing = cluster.reassignments();
    let partition = &ongoing[0].partitions[0];
    assert_eq!(partition.replicas, [3, 2, 1]);
    let moves = (
        &partition.adding_replicas[..],
        &partition.removing_replicas[..],
    );
    assert_eq!(moves, (&[3][..], &[1][..]));
    let shown = cluster.drave(&["reassign", "list", "--format", "json"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("\"adding\""), "{shown}");
    cluster.produce("t", 0, ["c"]);
    assert_eq!(code(cluster.reassign("t", 0, None)), ErrorCode::None);
    cluster.wait_for_replicas("t", 0, &[2, 1], seconds(20));

    cluster.start_again(3);
    let begun = cluster.drave(&["reassign", "execute", "--topic", "t", "--to", "3,2"]);
    assert!(begun.status.success(), "{begun:?}");
    cluster.wait_for_replicas("t", 0, &[3, 2], seconds(30));
    wait_until("another leader than the one that left", seconds(20), || {
        [2, 3].contains(&cluster.partition("t", 0).leader_id)
    });
    assert_eq!(cluster.read_all("t", 0), [b"a", b"b", b"c"]);
}

#[test]
fn a_throttled_reassignment_takes_its_time_and_goes_on_when_let() {
    let mut cluster = Cluster::start(3);
    for (side, broker) in [("follower", "broker:3"), ("leader", "cluster")] {
        let replicas = format!("{side}.replication.throttled.replicas");
        let rate = format!("{side}.replication.throttled.rate");
        let topic = format!("{side}-paced");
        cluster.create_topic_on(&topic, &[&[1, 2]], &[(&replicas, "*")]);
        let ballast = vec![vec![7_u8; 100_000]; 5];
        for _ in 0..20 {
            cluster.produce(&topic, 0, &ballast);
        }
        let set = cluster.drave(&["config", "set", broker, &format!("{rate}=500000")]);
        assert!(set.status.success(), "{set:?}");
        // 10 MB at half a megabyte a second take about 19 seconds.
        let began = Instant::now();
        assert_eq!(
            code(cluster.reassign(&topic, 0, Some(&[1, 3]))),
            ErrorCode::None
        );
        wait_until("some of it to be copied", seconds(20), || {
            began.elapsed() > seconds(4)
                && cluster
                    .node(3)
                    .data_dir()
                    .join(format!("{topic}-0"))
                    .exists()
        });
        assert_eq!(cluster.reassignments().len(), 1, "{side}: not so fast");
        let unset = cluster.drave(&["config", "unset", broker, &rate]);
        assert!(unset.status.success(), "{unset:?}");
        cluster.wait_for_replicas(&topic, 0, &[1, 3], seconds(30));
        assert!(
            began.elapsed() < seconds(17),
            "{side}: the limit was taken back"
        );
    }
}
