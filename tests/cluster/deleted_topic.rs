//! A topic is deleted, and made anew, while a node that holds it is away.

use drave_protocol::schema::delete_topics::{DeleteTopicState, DeleteTopicsRequest};

use crate::support::cluster::Cluster;
use crate::support::segments::assert_copies_are_equal;
use crate::support::wait::{seconds, wait_until};

#[test]
fn a_node_that_missed_a_deletion_keeps_nothing_of_the_old_topic() {
    let mut cluster = Cluster::start(3);
    for name in ["gone", "again"] {
        cluster.create_topic(name, 1, 3, &[]);
        cluster.produce(name, 0, ["old", "older", "oldest"]);
    }
    let away = cluster.leader_of("again", 0);
    cluster.kill9(away);
    cluster.wait_for_other_leader("again", 0, away);
    let by_name = |name: &str| DeleteTopicState {
        name: Some(name.to_owned()),
        ..DeleteTopicState::default()
    };
    let request = DeleteTopicsRequest {
        topics: ["gone", "again"].map(by_name).to_vec(),
        timeout_ms: 10_000,
        ..DeleteTopicsRequest::default()
    };
    let answer = cluster.ask(|wire| wire.call_newest(&request));
    assert!(
        answer.responses.iter().all(|it| it.error_code == 0),
        "{answer:?}"
    );
    cluster.create_topic("again", 1, 2, &[]);
    assert_eq!(
        cluster.produce("again", 0, ["new"]),
        0,
        "a new topic begins at 0"
    );

    let data_dir = cluster.node(away).data_dir();
    // As if it had heard of a topic, and of its end, without living to remove it.
    let ghost = data_dir.join("ghost-0");
    std::fs::create_dir(&ghost).unwrap();
    for entry in std::fs::read_dir(data_dir.join("gone-0")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), ghost.join(entry.file_name())).unwrap();
    }

    cluster.start_again(away);
    wait_until(
        "the old partition to be gone from its disk",
        seconds(20),
        || !data_dir.join("gone-0").exists() && !ghost.exists(),
    );
    assert_eq!(cluster.read_all("again", 0), [b"new"]);
    cluster.create_topic("gone", 1, 3, &[]);
    cluster.produce("gone", 0, ["newer"]);
    cluster.wait_for_isr("gone", 3, seconds(20));
    assert_eq!(cluster.read_all("gone", 0), [b"newer"]);
    assert_copies_are_equal(&mut cluster, "gone", 0);
}

#[test]
fn a_node_that_slept_through_a_deletion_and_a_new_beginning_mixes_nothing() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic("again", 1, 3, &[]);
    cluster.produce("again", 0, ["old", "older"]);
    cluster.wait_for_isr("again", 3, seconds(20));
    let leader = cluster.leader_of("again", 0);
    let asleep = cluster.others(leader)[0];
    cluster.spokesman = leader;
    // It wakes with its fetches of the old topic under way.
    cluster.node(asleep).pause();
    cluster.spokesman = leader;
    wait_until("the sleeper to be fenced", seconds(20), || {
        !cluster.partition("again", 0).isr_nodes.contains(&asleep)
    });
    cluster.delete_topic("again");
    cluster.ask_for_topic("again", 1, 2, &[]);
    assert_eq!(cluster.produce("again", 0, ["new"]), 0);
    cluster.delete_topic("again");
    cluster.ask_for_topic("again", 1, 2, &[]);
    assert_eq!(cluster.produce("again", 0, ["newest", "last"]), 0);
    cluster.node(asleep).resume();

    cluster.node(asleep).wait_ready(seconds(30));
    cluster.create_topic("on-all", 1, 3, &[]);
    cluster.produce("on-all", 0, ["x"]);
    cluster.wait_for_isr("on-all", 3, seconds(30));
    assert_eq!(
        cluster.read_all("again", 0),
        [b"newest".as_slice(), b"last"]
    );
    let is_there = cluster.node(asleep).data_dir().join("again-0").exists();
    let replicas = cluster.partition("again", 0).replica_nodes;
    assert_eq!(is_there, replicas.contains(&asleep), "{replicas:?}");
}
