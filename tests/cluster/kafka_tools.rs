//! Kafka's own command-line tools against a cluster of ours.

use std::path::Path;

use crate::support::cluster::Cluster;
use crate::support::java;
use crate::support::wait::{seconds, wait_for};

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const CONFIGS: &str = "kafka.admin.ConfigCommand";
const REASSIGNMENTS: &str = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand";
const ELECTIONS: &str = "org.apache.kafka.tools.LeaderElectionCommand";

/// What a tool prints; it must end well.
#[track_caller]
fn run(cluster: &Cluster, tool: &str, arguments: &[&str]) -> String {
    let bootstrap = cluster.bootstrap();
    let mut command = java::command();
    command
        .arg(tool)
        .args(["--bootstrap-server", &bootstrap])
        .args(arguments);
    let output = command.output().expect("java starts");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{tool} {arguments:?}: {said}");
    said
}

#[test]
fn topics_configs_and_elections() {
    if !java::is_here() {
        return;
    }
    let never = ("auto.leader.rebalance.enable", "false");
    let mut cluster = Cluster::start_with(3, &[never]);
    cluster.create_topic_on("t", &[&[1, 2, 3]], &[]);
    run(
        &cluster,
        TOPICS,
        &["--alter", "--topic", "t", "--partitions", "3"],
    );
    let described = run(&cluster, TOPICS, &["--describe", "--topic", "t"]);
    assert!(described.contains("PartitionCount: 3"), "{described}");

    let of_topic = ["--entity-type", "topics", "--entity-name", "t"];
    let with = |entity: &[&'static str], more: &[&'static str]| [entity, more].concat();
    run(
        &cluster,
        CONFIGS,
        &with(
            &of_topic,
            &["--alter", "--add-config", "retention.ms=12345"],
        ),
    );
    let described = run(&cluster, CONFIGS, &with(&of_topic, &["--describe"]));
    assert!(described.contains("retention.ms=12345"), "{described}");
    run(
        &cluster,
        CONFIGS,
        &with(&of_topic, &["--alter", "--delete-config", "retention.ms"]),
    );
    let described = run(&cluster, CONFIGS, &with(&of_topic, &["--describe"]));
    assert!(!described.contains("12345"), "{described}");
    let of_all = ["--entity-type", "brokers", "--entity-default"];
    run(
        &cluster,
        CONFIGS,
        &with(
            &of_all,
            &["--alter", "--add-config", "log.retention.ms=777000"],
        ),
    );
    let described = run(&cluster, CONFIGS, &with(&of_all, &["--describe"]));
    assert!(described.contains("log.retention.ms=777000"), "{described}");
    let of_one = ["--entity-type", "brokers", "--entity-name", "2"];
    run(
        &cluster,
        CONFIGS,
        &with(
            &of_one,
            &["--alter", "--add-config", "log.retention.ms=888000"],
        ),
    );
    let described = run(&cluster, CONFIGS, &with(&of_one, &["--describe"]));
    assert!(described.contains("log.retention.ms=888000"), "{described}");
    assert!(
        described.contains("DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=777000"),
        "{described}"
    );
    let of_group = ["--entity-type", "groups", "--entity-name", "g"];
    let session = "consumer.session.timeout.ms=50000";
    run(
        &cluster,
        CONFIGS,
        &with(&of_group, &["--alter", "--add-config", session]),
    );
    let described = run(&cluster, CONFIGS, &with(&of_group, &["--describe"]));
    assert!(described.contains(session), "{described}");
    assert!(described.contains("DYNAMIC_GROUP_CONFIG"), "{described}");

    cluster.kill9(1);
    cluster.wait_for_other_leader("t", 0, 1);
    cluster.start_again(1);
    cluster.wait_for_isr("t", 3, seconds(30));
    let preferred = ["--election-type", "preferred", "--all-topic-partitions"];
    let said = run(&cluster, ELECTIONS, &preferred);
    assert!(said.contains("t-0"), "{said}");
    assert_eq!(cluster.partition("t", 0).leader_id, 1);
}

fn plan(dir: &Path, replicas: &str) -> String {
    let path = dir.join(format!("plan-{}.json", replicas.replace(',', "")));
    let text = format!(
        r#"{{"version":1,"partitions":[{{"topic":"t","partition":0,"replicas":[{replicas}]}}]}}"#
    );
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn partitions_are_reassigned_verified_and_cancelled() {
    if !java::is_here() {
        return;
    }
    let mut cluster = Cluster::start(3);
    cluster.create_topic_on("t", &[&[1, 2]], &[]);
    cluster.produce("t", 0, ["a"]);
    let to_third = plan(&cluster.path(), "3,2");
    let file = ["--reassignment-json-file", &to_third];
    let with = |more: &[&'static str]| [&file[..], more].concat();
    let said = run(&cluster, REASSIGNMENTS, &with(&["--execute"]));
    assert!(said.contains("Successfully started"), "{said}");
    wait_for("the reassignment to be complete", seconds(60), || {
        let said = run(&cluster, REASSIGNMENTS, &with(&["--verify"]));
        if said.contains("is completed") {
            Ok(())
        } else {
            Err(said)
        }
    });
    cluster.wait_for_replicas("t", 0, &[3, 2], seconds(20));
    let shown = cluster.drave(&["config", "show", "broker:3", "--format", "json"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        !shown.contains("throttled"),
        "the tool takes its throttles back: {shown}"
    );

    // So much at that pace stays on its way until it is cancelled.
    let ballast = vec![vec![7_u8; 100_000]; 5];
    for _ in 0..10 {
        cluster.produce("t", 0, &ballast);
    }
    let to_first = plan(&cluster.path(), "1,2");
    let file = ["--reassignment-json-file", &to_first];
    let with = |more: &[&'static str]| [&file[..], more].concat();
    run(
        &cluster,
        REASSIGNMENTS,
        &with(&["--execute", "--throttle", "50000"]),
    );
    let said = run(&cluster, REASSIGNMENTS, &["--list"]);
    assert!(said.contains("adding: 1"), "{said}");
    let said = run(&cluster, REASSIGNMENTS, &with(&["--cancel"]));
    assert!(said.contains("Successfully cancelled"), "{said}");
    cluster.wait_for_replicas("t", 0, &[2, 3], seconds(20));
}
