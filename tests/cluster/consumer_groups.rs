//! Groups of the consumer protocol (KIP-848) of everyday clients: they share, they resume, they outlive their
//! coordinator, and they take over from the classic protocol while they run.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};

use crate::support::cluster::Cluster;
use crate::support::groups::{self, FAILOVER};
use crate::support::java::{self, Java};
use crate::support::shared_topic::{self, TOPIC, produce};

fn cluster() -> Cluster {
    let settings = [
        ("group.initial.rebalance.delay.ms", "0"),
        ("group.consumer.heartbeat.interval.ms", "500"),
        ("group.consumer.min.heartbeat.interval.ms", "500"),
        ("offsets.topic.num.partitions", "4"),
    ];
    shared_topic::cluster(&settings)
}

fn member(cluster: &Cluster, protocol: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", cluster.bootstrap())
        .set("group.id", "g")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("group.protocol", protocol);
    if protocol == "classic" {
        // The group may change its protocol only if its assignor tells the broker all.
        config.set("partition.assignment.strategy", "range");
        config.set("session.timeout.ms", "6000");
        config.set("heartbeat.interval.ms", "500");
    }
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[TOPIC]).unwrap();
    consumer
}

/// Polls all members until it is so; what they were given meanwhile.
fn poll_until(
    members: &[&BaseConsumer],
    what: &str,
    mut is_so: impl FnMut(&BTreeSet<usize>) -> bool,
) -> BTreeSet<usize> {
    let mut given = BTreeSet::new();
    let began = Instant::now();
    while !is_so(&given) {
        let shares: Vec<usize> = shares(members);
        assert!(
            began.elapsed() < FAILOVER,
            "{what}: {} read, {shares:?}",
            given.len()
        );
        for member in members {
            let Some(Ok(message)) = member.poll(Duration::from_millis(20)) else {
                continue; // errors tell that nodes come and go
            };
            let text = std::str::from_utf8(message.payload().unwrap()).unwrap();
            given.insert(text.parse().unwrap());
        }
    }
    given
}

fn shares(members: &[&BaseConsumer]) -> Vec<usize> {
    let shares = members.iter().map(|it| it.assignment().unwrap().count());
    shares.collect()
}

fn poll_until_shared(members: &[&BaseConsumer], wanted: &[usize]) {
    poll_until(members, "shares", |_| shares(members) == wanted);
}

#[test]
fn members_share_and_go_on_while_their_coordinator_dies() {
    let mut cluster = cluster();
    produce(&cluster, 0..600);
    let (first, second) = (member(&cluster, "consumer"), member(&cluster, "consumer"));
    let both = [&first, &second];
    let mut given = poll_until(&both, "all", |given| given.len() == 600);
    poll_until_shared(&both, &[3, 3]);
    for member in both {
        member.commit_consumer_state(CommitMode::Sync).unwrap();
    }

    let victim = groups::coordinator(&mut cluster.wire(1), "g");
    cluster.kill9(victim);
    produce(&cluster, 600..900);
    given.extend(poll_until(&both, "the rest", |given| {
        given.iter().filter(|it| **it >= 600).count() == 300
    }));
    assert_eq!(given, (0..900).collect());

    drop(second);
    poll_until_shared(&[&first], &[6]);
    cluster.start_again(victim);
}

#[test]
fn a_group_changes_its_protocol_and_back_while_it_runs() {
    let cluster = cluster();
    produce(&cluster, 0..60);
    let classic = member(&cluster, "classic");
    poll_until(&[&classic], "all", |given| given.len() == 60);
    classic.commit_consumer_state(CommitMode::Sync).unwrap();

    let new = member(&cluster, "consumer");
    poll_until_shared(&[&classic, &new], &[3, 3]);
    produce(&cluster, 60..120);
    let given = poll_until(&[&classic, &new], "the rest", |given| given.len() == 60);
    assert_eq!(given, (60..120).collect(), "nothing is given again");
    for member in [&classic, &new] {
        member.commit_consumer_state(CommitMode::Sync).unwrap();
    }

    drop(new);
    poll_until_shared(&[&classic], &[6]);
    produce(&cluster, 120..180);
    poll_until(&[&classic], "the rest", |given| {
        given.range(120..).count() == 60
    });
}

#[test]
fn kafkas_java_consumer_speaks_the_new_protocol() {
    if !java::is_here() {
        return;
    }
    let cluster = cluster();
    let run = |topic: &str, n_records: &str| {
        let bootstrap = cluster.bootstrap();
        let arguments = [bootstrap.as_str(), topic, "javas", n_records, "consumer"];
        let mut consumer = Java::spawn("DefaultConsumer", &arguments);
        let last = consumer.lines().last();
        consumer.finish();
        last
    };
    produce(&cluster, 0..300);
    assert_eq!(run(TOPIC, "300").as_deref(), Some("read 300"));
    produce(&cluster, 300..360);
    assert_eq!(run("/sha.*/", "60").as_deref(), Some("read 60"));
}
