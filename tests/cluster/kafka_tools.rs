//! Kafka's own command-line tools against a cluster of ours.

use crate::support::cluster::Cluster;
use crate::support::java;
use crate::support::wait::seconds;

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const CONFIGS: &str = "kafka.admin.ConfigCommand";
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

    cluster.kill9(1);
    cluster.wait_for_other_leader("t", 0, 1);
    cluster.start_again(1);
    cluster.wait_for_isr("t", 3, seconds(30));
    let preferred = ["--election-type", "preferred", "--all-topic-partitions"];
    let said = run(&cluster, ELECTIONS, &preferred);
    assert!(said.contains("t-0"), "{said}");
    assert_eq!(cluster.partition("t", 0).leader_id, 1);
}
