//! Consumer groups of everyday clients: they share, they resume, and they outlive their coordinator.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};

use crate::support::cluster::Cluster;
use crate::support::groups::{self, FAILOVER, committed};
use crate::support::java::{self, Java};
use crate::support::kcat;
use crate::support::shared_topic::{self, N_PARTITIONS, TOPIC, produce};
use crate::support::wait::{seconds, wait_for};

fn cluster() -> Cluster {
    let settings = [
        ("group.initial.rebalance.delay.ms", "500"),
        ("offsets.topic.num.partitions", "4"),
    ];
    shared_topic::cluster(&settings)
}

fn member(cluster: &Cluster, group: &str) -> BaseConsumer {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "500")
        .create()
        .unwrap();
    consumer.subscribe(&[TOPIC]).unwrap();
    consumer
}

/// Polls all members until they were given `wanted` between them, each record as often as it was given.
fn read(members: &[&BaseConsumer], wanted: usize) -> BTreeMap<usize, usize> {
    let mut given: BTreeMap<usize, usize> = BTreeMap::new();
    let began = Instant::now();
    while given.len() < wanted {
        assert!(
            began.elapsed() < FAILOVER,
            "{} of {wanted} were read",
            given.len()
        );
        for member in members {
            let Some(Ok(message)) = member.poll(Duration::from_millis(20)) else {
                continue; // errors tell that nodes come and go
            };
            let text = std::str::from_utf8(message.payload().unwrap()).unwrap();
            *given.entry(text.parse().unwrap()).or_default() += 1;
        }
    }
    given
}

#[test]
fn members_share_a_topic_and_the_next_ones_go_on_where_they_committed() {
    let cluster = cluster();
    produce(&cluster, 0..600);
    let members = [member(&cluster, "g"), member(&cluster, "g")];
    let given = read(&[&members[0], &members[1]], 600);
    assert!(
        given.values().all(|n| *n == 1),
        "each record once: {given:?}"
    );
    let shares = members.iter().map(|it| it.assignment().unwrap().count());
    assert_eq!(shares.collect::<Vec<_>>(), [3, 3]);
    for member in &members {
        member.commit_consumer_state(CommitMode::Sync).unwrap();
    }
    drop(members);
    produce(&cluster, 600..660);
    let next = member(&cluster, "g");
    let given = read(&[&next], 60);
    assert_eq!(given.keys().next(), Some(&600), "nothing is given again");
    assert_eq!(given.len(), 60);
}

#[test]
fn what_was_committed_outlives_the_coordinator_and_the_members_go_on() {
    let mut cluster = cluster();
    produce(&cluster, 0..60);
    let member = member(&cluster, "g");
    assert_eq!(read(&[&member], 60).len(), 60);
    member.commit_consumer_state(CommitMode::Sync).unwrap();
    let victim = groups::coordinator(&mut cluster.wire(1), "g");
    cluster.kill9(victim);
    let survivor = cluster.others(victim)[0];
    let mut offsets = BTreeSet::new();
    for partition in 0..N_PARTITIONS {
        offsets.insert(wait_for("the offset", FAILOVER, || {
            let found = groups::find(&mut cluster.wire(survivor), "g");
            let node = found.ok().flatten().filter(|it| *it != victim);
            let mut wire = cluster.wire(node.ok_or("no coordinator yet")?);
            let found = committed(&mut wire, "g", TOPIC, partition);
            found
                .map_err(|it| it.to_string())?
                .map_err(|it| it.to_string())
        }));
    }
    assert_eq!(
        offsets,
        BTreeSet::from([10]),
        "ten records in each partition"
    );
    produce(&cluster, 60..120);
    let given = read(&[&member], 60);
    assert_eq!(
        given.keys().next(),
        Some(&60),
        "the member went on from where it was"
    );
    cluster.start_again(victim);
}

#[test]
fn kcat_reads_a_topic_as_a_group() {
    if !kcat::is_here() {
        return;
    }
    let cluster = cluster();
    produce(&cluster, 0..300);
    let arguments = [
        "-G",
        "kcats",
        "-c",
        "300",
        "-X",
        "auto.offset.reset=earliest",
        TOPIC,
    ];
    let text = kcat::must_run(&cluster.bootstrap(), &arguments, "");
    let numbers: BTreeSet<usize> = text.lines().map(|it| it.parse().unwrap()).collect();
    assert_eq!(numbers, (0..300).collect());
    produce(&cluster, 300..360);
    let arguments = ["-G", "kcats", "-c", "60", TOPIC];
    let text = kcat::must_run(&cluster.bootstrap(), &arguments, "");
    let numbers: BTreeSet<usize> = text.lines().map(|it| it.parse().unwrap()).collect();
    assert_eq!(numbers, (300..360).collect());
}

#[test]
fn kafkas_java_consumer_joins_commits_and_goes_on() {
    if !java::is_here() {
        return;
    }
    let cluster = cluster();
    let run = |n_records: &str| {
        let bootstrap = cluster.bootstrap();
        let arguments = [bootstrap.as_str(), TOPIC, "javas", n_records];
        let mut consumer = Java::spawn("DefaultConsumer", &arguments);
        let last = consumer.lines().last();
        consumer.finish();
        last
    };
    produce(&cluster, 0..300);
    assert_eq!(run("300").as_deref(), Some("read 300"));
    produce(&cluster, 300..360);
    assert_eq!(run("60").as_deref(), Some("read 60"));
}

#[test]
fn an_operator_sees_a_group_moves_its_offsets_and_deletes_it() {
    let cluster = cluster();
    produce(&cluster, 0..60);
    let member = member(&cluster, "watched");
    read(&[&member], 60);
    member.commit_consumer_state(CommitMode::Sync).unwrap();

    let described = cluster.operator(&["group", "describe", "watched"]).done();
    assert!(described.contains("Stable, 1 members"), "{described}");
    let rows = |text: &str| text.lines().filter(|it| it.starts_with(TOPIC)).count();
    assert_eq!(rows(&described), 6, "{described}");

    let reset = [
        "group",
        "reset-offsets",
        "watched",
        "--topic",
        TOPIC,
        "--to",
    ];
    let reset = |to| cluster.operator(&[&reset[..], &[to]].concat());
    reset("earliest").refused(); // its member would commit over it
    drop(member);
    wait_for("the group to be empty", seconds(30), || {
        let listed = cluster.operator(&["group", "list"]).done();
        let is_empty = listed
            .lines()
            .any(|it| it.starts_with("watched") && it.contains("Empty"));
        if is_empty { Ok(()) } else { Err(listed) }
    });
    assert_eq!(rows(&reset("earliest").done()), 6);
    let described = cluster.operator(&["group", "describe", "watched", "--format", "json"]);
    let described: serde_json::Value = serde_json::from_str(&described.done()).unwrap();
    let offsets = described["offsets"].as_array().unwrap();
    assert!(offsets.iter().all(|it| it["offset"] == 0), "{described}");

    cluster.operator(&["group", "delete", "watched"]).done();
    let listed = cluster.operator(&["group", "list"]).done();
    assert!(!listed.contains("watched"), "{listed}");
}
